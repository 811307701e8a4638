//! The peers of a library's node: a list that its program may replace at any time.

use crate::{
    cluster::{membership::Membership, static_peers::StaticPeers},
    config::peers_flag::Member,
};
use meshcache_protocol::{Peer, request::split_port};
use parking_lot::Mutex;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::task::AbortHandle;

/// Reads a peer's name and its address, HOST:PORT.
pub fn member(name: &str, address: &str) -> Result<Member, String> {
    if name.is_empty() || name.len() > 253 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err(format!("`{name}` is not a name (letters, digits, `-`, `.`, `_`)"));
    }
    let (host, port) = split_port(address);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port {
        Some(port) if port > 0 && !host.is_empty() && !host.contains(['/', ' ']) => {
            Ok(Member { name: name.to_owned(), host: host.to_owned(), data: port, peer: port })
        }
        _ => Err(format!("peer `{name}`: `{address}` is not HOST:PORT (example: 10.0.0.1:8083)")),
    }
}

/// The list, and the task that resolves its names.
pub(super) struct PeerList {
    /// This node, where it listens; without an address where it does not.
    own: Peer,
    has_token: bool,
    membership: Arc<Membership>,
    resolving: Mutex<Option<AbortHandle>>,
    is_announced: AtomicBool,
}

impl PeerList {
    /// No list: the node is alone, and in no ring. So its first ring says that others owned its keys before.
    pub(super) fn new(own: Peer, has_token: bool, membership: Arc<Membership>) -> Self {
        Self { own, has_token, membership, resolving: Mutex::default(), is_announced: AtomicBool::new(false) }
    }

    /// Replaces the list. A list that cannot work is refused. Returns whether this node is to announce itself from now
    /// on.
    pub(super) fn set(&self, mut members: Vec<Member>) -> Result<bool, String> {
        let me = &self.own.name;
        for (n, member) in members.iter().enumerate() {
            if members.iter().take(n).any(|other| other.name == member.name) {
                return Err(format!("peers: two have the name `{}`", member.name));
            }
        }
        let others = members.iter().any(|member| member.name != *me);
        if others && !self.has_token {
            return Err("peers: nodes prove themselves with a token: set the same one on each, by `token`".into());
        }
        if members.iter().all(|member| member.name != *me) {
            match self.own.peer.parse::<SocketAddr>() {
                Ok(at) => members.push(Member {
                    name: me.clone(),
                    host: at.ip().to_string(),
                    data: at.port(),
                    peer: at.port(),
                }),
                Err(_) if others => {
                    return Err(format!(
                        "peers: `{me}` is not among them, and does not listen: name it with the address at which the others reach it"
                    ));
                }
                Err(_) => {}
            }
        }
        self.membership.set_peer_list(members.iter().map(|member| member.name.clone()).chain([me.clone()]));
        let literal: Option<Vec<Peer>> = members.iter().map(literal).collect();
        let mut resolving = self.resolving.lock();
        if let Some(before) = resolving.take() {
            before.abort();
        }
        match literal {
            Some(peers) => self.membership.set_resolved(peers),
            None => {
                let membership = self.membership.clone();
                let task = tokio::spawn(async move {
                    let mut peers = StaticPeers::new(members);
                    membership.set_resolved(peers.resolve().await);
                    peers.run(&membership).await;
                });
                *resolving = Some(task.abort_handle());
            }
        }
        Ok(others && !self.is_announced.swap(true, Relaxed))
    }

    /// Ends the resolving of names.
    pub(super) fn stop(&self) {
        if let Some(task) = self.resolving.lock().take() {
            task.abort();
        }
    }
}

impl Drop for PeerList {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A peer whose host is an address. `None`: it is a name.
fn literal(member: &Member) -> Option<Peer> {
    let ip: IpAddr = member.host.parse().ok()?;
    let at = |port| SocketAddr::new(ip, port).to_string();
    Some(Peer { name: member.name.clone(), data: at(member.data), peer: at(member.peer) })
}
