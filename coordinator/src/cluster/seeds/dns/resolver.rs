//! Name servers, and the questions that they are asked.

use domain::{
    base::{Message, Name, Rtype, iana::Rcode},
    resolv::{
        StubResolver,
        stub::{
            Answer,
            conf::{ResolvConf, ServerConf, Transport},
        },
    },
};
use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

/// The system's name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The longest time that one server has for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often all servers are asked for the same.
const ATTEMPTS: usize = 2;
/// The most servers that are asked, as in the C library.
const MAX_SERVERS: usize = 3;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The name does not exist.
    NoSuchName,
    /// No server answers well; what the last one did.
    Failed(String),
}

/// The servers, in the order in which they are asked, and the names that are searched.
pub(super) struct Resolver {
    servers: Vec<StubResolver>,
    timeout: Duration,
    search: Vec<String>,
    ndots: usize,
}

impl Resolver {
    /// One name server, or the system's as they are now.
    pub(super) async fn open(server: Option<SocketAddr>) -> Self {
        let conf = match server {
            Some(at) => {
                let mut conf = ResolvConf::new();
                conf.servers.push(ServerConf::new(at, Transport::UdpTcp));
                conf
            }
            // A file that cannot be read is one without lines: the C library asks 127.0.0.1 then.
            None => {
                tokio::task::spawn_blocking(|| read(Path::new(RESOLV_CONF))).await.unwrap_or_else(|_| ResolvConf::new())
            }
        };
        Self::new(conf)
    }

    pub(super) fn new(mut conf: ResolvConf) -> Self {
        let search = conf.options.search.as_slice().iter().map(ToString::to_string).collect();
        conf.finalize();
        let timeout = conf.options.timeout.clamp(Duration::from_millis(1), PATIENCE);
        // One resolver for each server: a resolver of several gives up when the first of them refuses.
        let only = |server: &ServerConf| {
            let mut one = ResolvConf { servers: vec![server.clone()], options: conf.options.clone() };
            one.options.timeout = timeout;
            StubResolver::from_conf(one)
        };
        let servers = conf.servers.iter().take(MAX_SERVERS).map(only).collect();
        Self { servers, timeout, search, ndots: conf.options.ndots }
    }

    /// The names by which a name is looked for, as the C library does: one with few dots is searched for first.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let suffixes = self.search.iter().map(|suffix| suffix.trim_matches('.')).filter(|suffix| !suffix.is_empty());
        let mut all: Vec<String> = suffixes.map(|suffix| format!("{name}.{suffix}")).collect();
        let dots = name.matches('.').count();
        all.insert(if dots >= self.ndots { 0 } else { all.len() }, name.to_owned());
        all
    }

    /// Asks the servers one after the other, until one answers well.
    pub(super) async fn query(&self, name: &Name<Vec<u8>>, record: Rtype) -> Result<Answer, NoAnswer> {
        let mut last = "no name server".to_owned();
        for server in self.servers.iter().cycle().take(self.servers.len() * ATTEMPTS) {
            match server.query((name, record)).await {
                Ok(answer) => match rcode(&answer) {
                    Rcode::NOERROR => return Ok(answer),
                    Rcode::NXDOMAIN => return Err(NoAnswer::NoSuchName),
                    other => last = other.to_string(),
                },
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    last = format!("no answer in {:?}", self.timeout)
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(NoAnswer::Failed(last))
    }
}

fn rcode(answer: &Message<bytes::Bytes>) -> Rcode {
    answer.header().rcode()
}

/// Reads a file line by line: one that is not understood does not hide the others.
pub(super) fn read(file: &Path) -> ResolvConf {
    let mut conf = ResolvConf::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        let _ = conf.parse(&mut line.as_bytes());
    }
    conf
}
