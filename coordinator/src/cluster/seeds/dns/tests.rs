//! A name as name servers answer it, well and not: a server in this process says what the test wants.

use super::*;
use crate::cluster::seeds::{SeedSource, Seeds};
use domain::{
    base::{Message, MessageBuilder, Ttl, iana::Rcode, message_builder::AnswerBuilder},
    rdata::Cname,
    resolv::stub::conf::{ResolvConf, ServerConf, Transport},
};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

/// The largest answer over UDP.
const UDP: usize = 512;

/// What the server says to one question.
enum Said {
    Records(Vec<Record>),
    Code(Rcode),
    Nothing,
}

enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv(u16, &'static str),
    Cname(&'static str),
}

type Answers = Arc<dyn Fn(&str, Rtype) -> Said + Send + Sync>;

/// A server that says this. Longer answers are truncated over UDP.
async fn server(answers: impl Fn(&str, Rtype) -> Said + Send + Sync + 'static) -> SocketAddr {
    let answers: Answers = Arc::new(answers);
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // The same port may be another's over UDP.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let at = tcp.local_addr().unwrap();
    tokio::spawn({
        let answers = answers.clone();
        async move {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                if let Some(answer) = answer(&buffer[..length], UDP, &answers) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let answers = answers.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; usize::from(length)];
                    stream.read_exact(&mut question).await.unwrap();
                    if let Some(answer) = answer(&question, usize::from(u16::MAX), &answers) {
                        stream.write_u16(answer.len() as u16).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                }
            });
        }
    });
    at
}

fn answer(question: &[u8], most: usize, answers: &Answers) -> Option<Vec<u8>> {
    let question = Message::from_octets(question).unwrap();
    let asked = question.sole_question().unwrap();
    let begin = |code| MessageBuilder::new_vec().start_answer(&question, code).unwrap();
    match answers(&asked.qname().to_string(), asked.qtype()) {
        Said::Nothing => None,
        Said::Code(code) => Some(begin(code).finish()),
        Said::Records(records) => {
            let mut answer = begin(Rcode::NOERROR);
            records.into_iter().for_each(|record| push(&mut answer, asked.qname(), record));
            let whole = answer.finish();
            if whole.len() <= most {
                return Some(whole);
            }
            let mut cut = begin(Rcode::NOERROR);
            cut.header_mut().set_tc(true);
            Some(cut.finish())
        }
    }
}

fn push(answer: &mut AnswerBuilder<Vec<u8>>, name: impl ToName, record: Record) {
    let name = name.to_name::<Vec<u8>>();
    let target = |text: &str| text.parse::<WireName>().unwrap();
    match record {
        Record::A(ip) => answer.push((name, Ttl::ZERO, A::new(ip))),
        Record::Aaaa(ip) => answer.push((name, Ttl::ZERO, Aaaa::new(ip))),
        Record::Srv(port, host) => answer.push((name, Ttl::ZERO, Srv::new(0, 0, port, target(host)))),
        Record::Cname(host) => answer.push((name, Ttl::ZERO, Cname::new(target(host)))),
    }
    .unwrap();
}

fn a(last: u8) -> Record {
    Record::A([10, 0, 0, last].into())
}

/// What a coordinator with peer port 8083 finds by `cache.example.` at this server.
async fn found(at: SocketAddr) -> Result<Vec<String>, String> {
    let mut seeds = DnsSeeds::new("cache.example".parse().unwrap(), Some(at), 8083);
    let found = seeds.addresses().await.map_err(|error| error.to_string())?;
    Ok(found.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn addresses_have_the_own_peer_port_and_services_their_own() {
    let at = server(|name, record| match (name, record) {
        ("cache.example", Rtype::A) => Said::Records(vec![a(2), a(1), a(2)]),
        ("cache.example", Rtype::AAAA) => Said::Records(vec![Record::Aaaa("fd00::1".parse().unwrap())]),
        ("_peer._tcp.cache.example", Rtype::SRV) => Said::Records(vec![
            Record::Srv(9000, "b.example"),
            Record::Srv(9001, "b.example"),
            Record::Srv(8083, "a.example"),
            Record::Srv(1, "."),
            Record::Srv(1, "gone.example"),
        ]),
        ("a.example", Rtype::A) => Said::Records(vec![Record::Cname("c.example"), a(1)]),
        ("b.example", Rtype::A) => Said::Records(vec![a(9)]),
        ("a.example" | "b.example", _) => Said::Records(vec![]),
        _ => Said::Code(Rcode::NXDOMAIN),
    })
    .await;
    let all = ["10.0.0.1:8083", "10.0.0.2:8083", "10.0.0.9:9000", "10.0.0.9:9001", "[fd00::1]:8083"];
    assert_eq!(found(at).await.unwrap(), all, "in order, each once");
}

#[tokio::test]
async fn services_are_enough_and_so_are_addresses_where_services_are_refused() {
    let services = server(|name, record| match (name, record) {
        ("_peer._tcp.cache.example", Rtype::SRV) => Said::Records(vec![Record::Srv(9000, "a.example")]),
        ("a.example", Rtype::A) => Said::Records(vec![a(1)]),
        _ => Said::Code(Rcode::NXDOMAIN),
    })
    .await;
    assert_eq!(found(services).await.unwrap(), ["10.0.0.1:9000"]);
    let addresses = server(|_, record| match record {
        Rtype::A => Said::Records(vec![a(1)]),
        _ => Said::Code(Rcode::NOTIMP),
    })
    .await;
    assert_eq!(found(addresses).await.unwrap(), ["10.0.0.1:8083"]);
}

#[tokio::test]
async fn two_thousand_addresses_come_over_tcp() {
    let at = server(|_, record| match record {
        Rtype::A => Said::Records((0..2000_u16).map(|n| Record::A([10, 1, (n >> 8) as u8, n as u8].into())).collect()),
        _ => Said::Records(vec![]),
    })
    .await;
    assert_eq!(found(at).await.unwrap().len(), 2000);
    let source = SeedSource::Dns(DnsSeeds::new("cache.example".parse().unwrap(), Some(at), 1));
    assert_eq!(Seeds::new(source).refresh().await.len(), MAX_SEEDS);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_from_one_without_records_and_from_servers_that_fail() {
    for (said, line) in [
        (Rcode::NXDOMAIN, "no such name, and no records of _peer._tcp below it"),
        (Rcode::NOERROR, "no A, AAAA or SRV record"),
        (Rcode::SERVFAIL, "SERVFAIL"),
        (Rcode::REFUSED, "REFUSED"),
    ] {
        let at = server(move |_, _| Said::Code(said)).await;
        assert_eq!(found(at).await.unwrap_err(), format!("cache.example: {line}"));
    }
    let service =
        server(|name, _| Said::Code(if name.starts_with('_') { Rcode::SERVFAIL } else { Rcode::NOERROR })).await;
    assert_eq!(found(service).await.unwrap_err(), "cache.example: SERVFAIL", "there may be a service");
    let target = server(|_, record| match record {
        Rtype::SRV => Said::Records(vec![Record::Srv(1, "gone.example")]),
        _ => Said::Code(Rcode::NXDOMAIN),
    })
    .await;
    assert_eq!(found(target).await.unwrap_err(), "cache.example: gone.example: no such name");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let at = server(|_, _| Said::Nothing).await;
    let resolver = resolver(&[at], "");
    let seeds = DnsSeeds::new("cache.example".parse().unwrap(), None, 1);
    assert_eq!(seeds.resolve(&resolver).await, Err(NoAnswer::Failed("no answer in 50ms".into())));
}

/// A resolver of these servers and the lines of a resolv.conf.
fn resolver(servers: &[SocketAddr], lines: &str) -> Resolver {
    let mut conf = ResolvConf::new();
    for line in lines.lines() {
        conf.parse(&mut line.as_bytes()).unwrap();
    }
    conf.servers = servers.iter().map(|at| ServerConf::new(*at, Transport::UdpTcp)).collect();
    conf.options.timeout = std::time::Duration::from_millis(50);
    Resolver::new(conf)
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_is_down_silent_or_failing() {
    let gone = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let silent = server(|_, _| Said::Nothing).await;
    let failing = server(|_, _| Said::Code(Rcode::SERVFAIL)).await;
    let good = server(|_, record| match record {
        Rtype::A => Said::Records(vec![a(1)]),
        _ => Said::Records(vec![]),
    })
    .await;
    let seeds = DnsSeeds::new("cache.example".parse().unwrap(), None, 1);
    for first in [gone, silent, failing] {
        let found = seeds.resolve(&resolver(&[first, good], "")).await.unwrap();
        assert_eq!(found, ["10.0.0.1:1".parse().unwrap()]);
    }
}

#[tokio::test]
async fn a_short_name_is_searched_for_and_an_absolute_one_is_not() {
    let at = server(|name, record| match (name, record) {
        ("cache.b.example", Rtype::A) => Said::Records(vec![a(1)]),
        _ => Said::Code(Rcode::NXDOMAIN),
    })
    .await;
    let resolver = resolver(&[at], "search a.example b.example\noptions ndots:1");
    let found = async |name: &str| DnsSeeds::new(name.parse().unwrap(), None, 1).resolve(&resolver).await;
    assert_eq!(found("cache").await.unwrap(), ["10.0.0.1:1".parse().unwrap()]);
    assert_eq!(found("cache.").await, Err(NoAnswer::NoSuchName));
    assert_eq!(resolver.candidates("cache"), ["cache.a.example", "cache.b.example", "cache"]);
    assert_eq!(resolver.candidates("cache.c"), ["cache.c", "cache.c.a.example", "cache.c.b.example"]);
}

#[test]
fn a_line_of_resolv_conf_that_is_not_understood_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    std::fs::write(&file, "# comment\nlookup file bind\nnameserver 10.0.0.1\nnameserver fd00::1\nnameserver\noptions ndots:5 x:y timeout:1\nsearch a b\n").unwrap();
    let conf = resolver::read(&file);
    let servers: Vec<_> = conf.servers.iter().map(|server| server.addr.to_string()).collect();
    assert_eq!(servers, ["10.0.0.1:53", "[fd00::1]:53"]);
    assert_eq!(Resolver::new(conf).candidates("a.b.c.d")[0], "a.b.c.d.a");
    assert!(resolver::read(&folder.path().join("missing")).servers.is_empty());
}
