//! Discovery by `--peers`: the names are fixed, and their addresses are resolved again and again.

use crate::{cluster::membership::Membership, config::peers_flag::Member};
use meshcache_protocol::Peer;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The pause before names are resolved again.
const INTERVAL: Duration = Duration::from_secs(5);
/// The timeout of resolving a name.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The members of `--peers`, and the last address of each host.
pub struct StaticPeers {
    members: Vec<Member>,
    addresses: HashMap<String, IpAddr>,
}

impl StaticPeers {
    /// Members without addresses.
    pub fn new(members: Vec<Member>) -> Self {
        Self { members, addresses: HashMap::new() }
    }

    /// Resolves all hosts, and returns the peers with an address. A host that does not resolve keeps its last one.
    pub async fn resolve(&mut self) -> Vec<Peer> {
        let lookups: Vec<_> =
            self.members.iter().map(|member| tokio::spawn(lookup(member.host.clone(), member.data))).collect();
        for (member, answer) in self.members.iter().zip(lookups) {
            let found = match answer.await {
                Ok(found) => found,
                Err(error) => Err(io::Error::other(error)),
            };
            match found.and_then(|found| {
                choose(&found, self.addresses.get(&member.host).copied()).ok_or_else(|| io::Error::other("no address"))
            }) {
                Ok(address) => {
                    self.addresses.insert(member.host.clone(), address);
                }
                Err(error) => tracing::warn!(peer = member.name, host = member.host, %error, "peer does not resolve"),
            }
        }
        let peer = |member: &Member| {
            let ip = *self.addresses.get(&member.host)?;
            let at = |port| SocketAddr::new(ip, port).to_string();
            Some(Peer { name: member.name.clone(), data: at(member.data), peer: at(member.peer) })
        };
        self.members.iter().filter_map(peer).collect()
    }

    /// Passes the peers to the membership, again and again. Never ends.
    pub async fn run(mut self, membership: &Membership) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            membership.set_resolved(self.resolve().await);
        }
    }
}

async fn lookup(host: String, port: u16) -> io::Result<Vec<IpAddr>> {
    let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host.as_str(), port))).await??;
    Ok(found.map(|address| address.ip()).collect())
}

/// Chooses one address, the same on every peer and each time: the last one while it is found, else the lowest of the
/// family that the system puts first (RFC 6724: IPv6 where it works).
fn choose(found: &[IpAddr], last: Option<IpAddr>) -> Option<IpAddr> {
    let first = found.first()?;
    last.filter(|last| found.contains(last))
        .or_else(|| found.iter().filter(|ip| ip.is_ipv6() == first.is_ipv6()).min().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::peers_flag::members;

    #[test]
    fn an_address_stays_while_it_is_found() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let found = [ip("10.0.0.2"), ip("fd00::1"), ip("10.0.0.1")];
        assert_eq!(choose(&found, None), Some(ip("10.0.0.1")));
        assert_eq!(choose(&found, Some(ip("10.0.0.2"))), Some(ip("10.0.0.2")));
        assert_eq!(choose(&found, Some(ip("10.0.0.9"))), Some(ip("10.0.0.1")));
        assert_eq!(choose(&[ip("fd00::2"), ip("10.0.0.1")], None), Some(ip("fd00::2")));
        assert_eq!(choose(&[], None), None);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_resolve_keeps_its_last_address() {
        let mut peers = StaticPeers::new(members("a=127.0.0.1:1/2,b=name.invalid:3/4").unwrap());
        let names =
            |peers: Vec<Peer>| peers.into_iter().map(|peer| format!("{}={}", peer.name, peer.data)).collect::<Vec<_>>();
        assert_eq!(names(peers.resolve().await), ["a=127.0.0.1:1"]);
        peers.addresses.insert("name.invalid".into(), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(names(peers.resolve().await), ["a=127.0.0.1:1", "b=10.0.0.1:3"]);
    }
}
