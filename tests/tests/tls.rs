//! Coordinators that speak TLS to each other and to clients, as processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use meshcache_tests::{
    Ask, Connection, Coordinator, Coordinators, Groups, Origin, Reply, await_until,
    certificates::{Authority, replace},
    coordinator::Views,
    herd, purging,
    wait::SOON,
};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// Where the members of a ring have their certificates.
struct Folder(tempfile::TempDir);

impl Folder {
    /// For three members, all by one authority.
    fn new(authority: &Authority) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for member in 0..3 {
            folder.trust(member, &authority.pem());
            folder.certify(member, authority);
        }
        folder
    }

    /// Writes the authorities that a member trusts.
    fn trust(&self, member: usize, authorities: &str) {
        replace(&self.0.path().join(format!("peer-{member}.ca.pem")), authorities);
    }

    /// Writes the certificate of a member.
    fn certify(&self, member: usize, authority: &Authority) {
        let name = format!("peer-{member}");
        authority.issue(&[&name, "localhost"]).write(self.0.path(), &name);
    }

    /// The arguments of all members.
    fn arguments(&self, flags: &[(&str, &str)]) -> Vec<String> {
        let path = |file: &str| self.0.path().join(file).to_str().unwrap().to_owned();
        flags.iter().flat_map(|(flag, file)| [(*flag).to_owned(), path(file)]).collect()
    }
}

const PEER: [(&str, &str); 3] =
    [("--peer-cert", "{name}.pem"), ("--peer-key", "{name}.key"), ("--peer-ca", "{name}.ca.pem")];
const PORT: [(&str, &str); 2] = [("--tls-cert", "{name}.pem"), ("--tls-key", "{name}.key")];

/// Starts three coordinators in front of an origin. The group `g` is every path of `g.test`.
async fn start(folder: &Folder, flags: &[(&str, &str)], origin: &Origin) -> Coordinators {
    // With a small machine's time gone into clients, a second of silence says nothing about an owner.
    let groups = Groups::example().plus("g", json!({"patience": "10s", "origin": {"url": origin.url()}}));
    let arguments = folder.arguments(flags);
    Coordinators::start(3, &groups.yaml(), &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// The number of members that hear all others.
async fn hearing(coordinators: &Coordinators) -> usize {
    let all = coordinators.metrics().await;
    let hears = |unresponsive: f64, lease: f64| unresponsive == 0.0 && lease == 1.0;
    all.iter()
        .filter(|metrics| {
            hears(metrics.sum("meshcache_unresponsive_peers", &[]), metrics.sum("meshcache_purge_lease_held", &[]))
        })
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_with_mutual_tls_are_one_cache_with_one_purge() {
    let folder = Folder::new(&Authority::new());
    let origin = Origin::start().await;
    origin.on("*", |request| Reply::fresh(600, format!("edition {}", request.nth)).delay(Duration::from_millis(300)));
    let coordinators = start(&folder, &PEER, &origin).await;
    await_until(async || hearing(&coordinators).await == 3, SOON, "they hear each other").await;
    for path in ["/a", "/b", "/c"] {
        let herd = herd(300, &coordinators.data(), |_| Ask::get("g.test", path)).await;
        herd.expect_all_ok();
        assert_eq!(origin.hits(path), 1, "{path}: one load for all three");
    }
    let (status, report) = purging::order(&coordinators.all[0], r#"{"group": "g"}"#).await;
    assert_eq!((status, &report["unreached"]), (200, &json!([])), "{report}");
    for to in coordinators.data() {
        assert_eq!(Ask::get("g.test", "/a").send(to).await.unwrap().text(), "edition 2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_of_another_authority_is_heard_by_nobody_and_the_log_says_so() {
    let folder = Folder::new(&Authority::new());
    let other = Authority::new();
    folder.trust(2, &other.pem());
    folder.certify(2, &other);
    let origin = Origin::start().await;
    origin.on("*", |request| Reply::fresh(600, format!("edition {}", request.nth)).delay(Duration::from_millis(300)));
    let coordinators = start(&folder, &PEER, &origin).await;
    let unresponsive = async || {
        let all = coordinators.metrics().await;
        all.iter().map(|metrics| metrics.sum("meshcache_unresponsive_peers", &[])).collect::<Vec<_>>()
    };
    await_until(async || unresponsive().await == [1.0, 1.0, 2.0], SOON, "one is outside").await;
    for member in &coordinators.all[..2] {
        let log = member.process.log();
        let says = |text: &str| log.contains(text);
        assert!(says("no TLS with a client") && says("error=\"TLS: invalid peer certificate: "), "{log}");
    }
    for path in ["/a", "/b", "/c", "/d"] {
        let herd = herd(100, &coordinators.data()[..2], |_| Ask::get("g.test", path)).await;
        herd.expect_all_ok();
        assert_eq!(origin.hits(path), 1, "{path}: one load for the two");
        // It does not know what the others purge, and so has no answer of its own.
        let outside = Ask::get("g.test", path).send(coordinators.data()[2]).await.unwrap();
        assert_eq!((outside.status, outside.text().as_str()), (200, "edition 2"));
    }
    let (status, report) = purging::order(&coordinators.all[0], r#"{"group": "g"}"#).await;
    assert!(status == 202 || status == 200, "{status} {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_finds_those_of_its_authority_alone() {
    let folder = Folder::new(&Authority::new());
    let other = Authority::new();
    folder.trust(2, &other.pem());
    folder.certify(2, &other);
    let origin = Origin::start().await;
    origin.on("*", |_| Reply::fresh(600, "a").delay(Duration::from_millis(300)));
    let groups = Groups::example().plus("g", json!({"patience": "10s", "origin": {"url": origin.url()}}));
    let arguments = folder.arguments(&PEER);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Each asks one address, and learns the names by what the others say.
    let seeds = Views::Seeds(vec![vec![0], vec![0], vec![0]]);
    let coordinators = Coordinators::with_views(&seeds, &groups.yaml(), &arguments).await;
    let ring = async |member: usize| {
        let peers = coordinators.all[member].peers().await;
        peers["peers"].as_array().unwrap().iter().map(|peer| peer["name"].clone()).collect::<Vec<_>>()
    };
    let of_two = async || ring(0).await == ["peer-0", "peer-1"] && ring(1).await == ["peer-0", "peer-1"];
    await_until(of_two, SOON, "two find each other").await;
    let herd = herd(100, &coordinators.data()[..2], |_| Ask::get("g.test", "/a")).await;
    herd.expect_all_ok();
    assert_eq!(origin.hits("/a"), 1);
    assert!(of_two().await);
    let log = coordinators.all[0].process.log();
    assert!(log.contains("no TLS with a client") && !log.contains("tokens of peers go in clear"), "{log}");
}

/// A client that trusts these authorities.
fn trusting(authorities: &[&Authority]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    TlsConnector::from(Arc::new(config.with_no_client_auth()))
}

#[tokio::test]
async fn clients_that_speak_tls_to_a_plain_port_are_one_line_in_the_log() {
    let coordinator = Coordinator::in_front_of("http://127.0.0.1:9", &[]).await;
    let tls = trusting(&[&Authority::new()]);
    for _ in 0..5 {
        let stream = TcpStream::connect(coordinator.ports.data).await.unwrap();
        assert!(tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.is_err());
    }
    let lines = || coordinator.process.log().matches("most likely it speaks TLS to a port that does not").count();
    await_until(async || lines() > 0, SOON, "the log says so").await;
    assert_eq!(lines(), 1);
}

/// A client of one data port: asks again and again on a connection that it opens anew when it has to.
async fn client(to: SocketAddr, tls: TlsConnector, n: usize, ends: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    while !ends.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(to).await.unwrap();
        let stream = tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let mut connection = Connection::over(stream, to).await.unwrap();
        while !ends.load(Ordering::Relaxed) {
            let path = format!("/{}", answered.load(Ordering::Relaxed).wrapping_add(n) % 500);
            let answer = connection.send(&Ask::get("g.test", &path)).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.header("connection") == "close" {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_authority_and_certificates_are_replaced_no_request_fails() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = Folder::new(&old);
    let origin = Origin::start().await;
    origin.on("*", |request| Reply::fresh(600, request.uri.path().to_owned()));
    let coordinators = start(&folder, &[&PEER[..], &PORT].concat(), &origin).await;
    await_until(async || hearing(&coordinators).await == 3, SOON, "they hear each other").await;

    let tls = trusting(&[&old, &new]);
    let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..12)
        .map(|n| tokio::spawn(client(coordinators.data()[n % 3], tls.clone(), 40 * n, ends.clone(), answered.clone())))
        .collect();
    let more = async || {
        let before = answered.load(Ordering::Relaxed);
        await_until(async || answered.load(Ordering::Relaxed) > before + 500, SOON, "clients are answered").await;
    };
    let times = |n: usize, member: usize| {
        coordinators.all[member].process.log().matches(&format!("peer-{member}.ca.pem: read again")).count() >= n
    };
    more().await;
    // One coordinator after the other, as an operator would.
    let both = format!("{}{}", old.pem(), new.pem());
    for (step, pem) in [(1, Some(&both)), (2, None), (3, Some(&new.pem()))] {
        for member in 0..3 {
            match pem {
                Some(pem) => folder.trust(member, pem),
                None => folder.certify(member, &new),
            }
            await_until(async || times(step, member), SOON, "the files are read again").await;
            more().await;
        }
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request of this client failed");
    }
    await_until(async || hearing(&coordinators).await == 3, SOON, "they hear each other").await;
    let loads = coordinators.sum("groupcache_local_load_total", &[("group", "g")]).await;
    let failed = coordinators.sum("meshcache_peer_failures_total", &[]).await;
    assert!(loads <= 510.0, "{loads} loads of 500 things, {failed} calls to peers that failed");
}
