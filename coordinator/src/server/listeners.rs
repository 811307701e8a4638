//! The sockets of the four ports, and where others reach them.

use crate::{
    config::Config,
    server::{Listener, own_address},
    telemetry::metrics::Metrics,
};
use meshcache_protocol::Peer;
use std::{io, net::SocketAddr};

/// The listening sockets of a coordinator.
pub(crate) struct Listeners {
    pub(crate) data: Listener,
    pub(crate) admin: Listener,
    pub(crate) status: Listener,
    pub(crate) peer: Listener,
}

impl Listeners {
    /// Listens. `files`: the descriptors that this process may have.
    pub(crate) fn bind(config: &Config, metrics: &Metrics, files: u64) -> Result<Self, String> {
        // Most of the descriptors are clients'; the rest are for origins, peers and files.
        let port = |name: &str, at, most: u64| {
            let most = usize::try_from(most.max(64)).unwrap_or(64);
            Listener::bind(at, metrics.connections(name), metrics.heads_refused(name), most)
        };
        Ok(Self {
            data: port("data", config.listen, files / 2)?,
            admin: port("admin", config.admin_at(), (files / 64).min(256))?,
            status: port("status", config.status, (files / 64).min(256))?,
            peer: port("peer", config.peer_listen, (files / 16).min(4096))?,
        })
    }
}

/// Returns this coordinator as others reach it.
pub(crate) fn own_peer(config: &Config, data: &Listener, peer: &Listener) -> io::Result<Peer> {
    let at = |port: &Listener| {
        let at = port.address()?;
        let own = config.advertise.map_or_else(|| own_address(at), |ip| SocketAddr::new(ip, at.port()));
        Ok::<_, io::Error>(own.to_string())
    };
    Ok(Peer { name: config.name.clone(), data: at(data)?, peer: at(peer)? })
}
