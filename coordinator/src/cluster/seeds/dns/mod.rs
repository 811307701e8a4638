//! Seeds by a name in DNS: its A and AAAA records with this coordinator's peer port, and its SRV records.

mod resolver;
#[cfg(test)]
mod tests;

use crate::{
    cluster::seeds::{
        addresses::{MAX_SEEDS, distinct},
        error::SeedError,
    },
    config::seeds::DnsName,
};
use domain::{
    base::{Name, Rtype, ToName},
    rdata::{A, Aaaa, Srv},
    resolv::stub::Answer,
};
use futures_util::{StreamExt, stream};
use resolver::{NoAnswer, Resolver};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// The most targets of SRV records that are resolved at once.
const AT_ONCE: usize = 16;

/// A name whose addresses are coordinators.
#[derive(Debug)]
pub struct DnsSeeds {
    name: DnsName,
    server: Option<SocketAddr>,
    peer_port: u16,
}

/// A DNS name as it goes over the wire.
type WireName = Name<Vec<u8>>;

impl DnsSeeds {
    /// `server`: the name server; `None`: the system's.
    pub(super) fn new(name: DnsName, server: Option<SocketAddr>, peer_port: u16) -> Self {
        Self { name, server, peer_port }
    }

    /// Asks for all records of the name.
    pub(super) async fn addresses(&mut self) -> Result<Vec<SocketAddr>, SeedError> {
        let resolver = Resolver::open(self.server).await;
        self.resolve(&resolver).await.map_err(|why| {
            let why = match why {
                NoAnswer::NoSuchName => "no such name, and no records of _peer._tcp below it".to_owned(),
                NoAnswer::Failed(why) => why,
            };
            SeedError::Name(format!("{}: {why}", self.name))
        })
    }

    async fn resolve(&self, resolver: &Resolver) -> Result<Vec<SocketAddr>, NoAnswer> {
        let name = self.name.as_str();
        let candidates = if self.name.is_absolute() { vec![name.to_owned()] } else { resolver.candidates(name) };
        let mut last = NoAnswer::NoSuchName;
        for candidate in candidates {
            match self.records(resolver, &candidate).await {
                Err(NoAnswer::NoSuchName) => {}
                Ok(found) if found.is_empty() => last = NoAnswer::Failed("no A, AAAA or SRV record".into()),
                // Another name must not stand in for one that may be there.
                other => return other,
            }
        }
        Err(last)
    }

    /// The addresses of a name as it stands. A kind of record that fails is passed over where others answer.
    async fn records(&self, resolver: &Resolver, name: &str) -> Result<Vec<SocketAddr>, NoAnswer> {
        let (name, service) = (wire(name)?, wire(&format!("_peer._tcp.{name}"))?);
        let (hosts, service) =
            tokio::join!(addresses(resolver, &name, self.peer_port), resolver.query(&service, Rtype::SRV));
        let targets = match service {
            Ok(answer) => Ok(self::targets(&answer)),
            Err(NoAnswer::NoSuchName) => Ok(BTreeSet::new()),
            Err(failed) => Err(failed),
        };
        match (hosts, targets) {
            (Err(failed), Err(_)) => Err(failed),
            (Err(NoAnswer::NoSuchName), Ok(targets)) if targets.is_empty() => Err(NoAnswer::NoSuchName),
            (Err(failed @ NoAnswer::Failed(_)), Ok(targets)) if targets.is_empty() => Err(failed),
            (Ok(hosts), Err(failed)) if hosts.is_empty() => Err(failed),
            (hosts, targets) => {
                let targets = resolve_all(resolver, targets.unwrap_or_default()).await;
                match (hosts.unwrap_or_default(), targets) {
                    (hosts, Err(failed)) if hosts.is_empty() => Err(failed),
                    (hosts, targets) => Ok(distinct([hosts, targets.unwrap_or_default()].concat())),
                }
            }
        }
    }
}

fn wire(name: &str) -> Result<WireName, NoAnswer> {
    // With a suffix that is searched a name may be too long: there is none such.
    name.parse().map_err(|_| NoAnswer::NoSuchName)
}

/// The addresses of a host, by one or both kinds of records.
async fn addresses(resolver: &Resolver, name: &WireName, port: u16) -> Result<Vec<SocketAddr>, NoAnswer> {
    let (v4, v6) = tokio::join!(resolver.query(name, Rtype::A), resolver.query(name, Rtype::AAAA));
    let (v4, v6) = match (v4, v6) {
        (Err(failed), Err(_)) => return Err(failed),
        // One that failed does not say that the name has no address.
        (Err(failed), Ok(answer)) | (Ok(answer), Err(failed)) => {
            let found = ips(&answer);
            if found.is_empty() && failed != NoAnswer::NoSuchName {
                return Err(failed);
            }
            (found, Vec::new())
        }
        (Ok(v4), Ok(v6)) => (ips(&v4), ips(&v6)),
    };
    Ok(v4.into_iter().chain(v6).map(|ip| SocketAddr::new(ip, port)).collect())
}

/// The addresses in an answer, those behind an alias included.
fn ips(answer: &Answer) -> Vec<IpAddr> {
    let Ok(section) = answer.answer() else { return Vec::new() };
    let v4 = section.limit_to_in::<A>().filter_map(|record| Some(IpAddr::V4(record.ok()?.data().addr())));
    let v6 = section.limit_to_in::<Aaaa>().filter_map(|record| Some(IpAddr::V6(record.ok()?.data().addr())));
    v4.chain(v6).collect()
}

/// The targets of SRV records, each once. One `.` says that there is no such service (RFC 2782).
fn targets(answer: &Answer) -> BTreeSet<(WireName, u16)> {
    let Ok(section) = answer.answer() else { return BTreeSet::new() };
    let records = section.limit_to_in::<Srv<_>>().filter_map(Result::ok);
    let all = records.map(|record| (record.data().target().to_name::<Vec<u8>>(), record.data().port()));
    all.filter(|(target, port)| !target.is_root() && *port != 0).collect()
}

/// The addresses of targets. One that does not resolve is passed over where others do.
async fn resolve_all(resolver: &Resolver, targets: BTreeSet<(WireName, u16)>) -> Result<Vec<SocketAddr>, NoAnswer> {
    let lookups = targets.into_iter().take(MAX_SEEDS);
    let lookups = lookups.map(|(target, port)| async move {
        addresses(resolver, &target, port).await.map_err(|why| match why {
            NoAnswer::NoSuchName => NoAnswer::Failed(format!("{target}: no such name")),
            NoAnswer::Failed(why) => NoAnswer::Failed(format!("{target}: {why}")),
        })
    });
    let answers: Vec<_> = stream::iter(lookups).buffer_unordered(AT_ONCE).collect().await;
    let found: Vec<_> = answers.iter().flatten().flatten().copied().collect();
    match answers.into_iter().find_map(Result::err) {
        Some(failed) if found.is_empty() => Err(failed),
        _ => Ok(found),
    }
}
