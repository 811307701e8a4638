//! The peers that asked here lately: each may hold a lease that rests on the answer, whether it is in the ring or not.

use crate::consistency::lease::LEASE;
use meshcache_protocol::Peer;
use parking_lot::Mutex;
use std::collections::HashMap;

/// The most listeners that are remembered: more than any ring has.
const MAX_LISTENERS: usize = 4096;

/// The peers that asked, by name, and when.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<HashMap<String, (Peer, u64)>>);

impl Listeners {
    /// Records that a peer asks. Called before its answer is made: a purge that comes after that has the peer in its
    /// audience.
    pub(crate) fn record(&self, from: &Peer, now: u64) {
        let mut listeners = self.0.lock();
        if let Some((peer, at)) = listeners.get_mut(&from.name) {
            *at = now;
            if peer != from {
                peer.clone_from(from);
            }
            return;
        }
        if listeners.len() >= MAX_LISTENERS {
            listeners.retain(|_, (_, at)| now < at.saturating_add(LEASE));
        }
        if listeners.len() < MAX_LISTENERS {
            listeners.insert(from.name.clone(), (from.clone(), now));
        }
    }

    /// The peers that asked within a lease, by name.
    pub(crate) fn current(&self, now: u64) -> Vec<Peer> {
        let listeners = self.0.lock();
        let mut current: Vec<_> =
            listeners.values().filter(|(_, at)| now < at.saturating_add(LEASE)).map(|(peer, _)| peer.clone()).collect();
        current.sort_by(|a, b| a.name.cmp(&b.name));
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_asked_is_a_listener_for_as_long_as_its_answer_is_valid() {
        let listeners = Listeners::default();
        let peer = |name: &str| Peer { name: name.into(), data: String::new(), peer: String::new() };
        listeners.record(&peer("b"), 0);
        listeners.record(&peer("c"), 1000);
        let names = |now| listeners.current(now).into_iter().map(|peer| peer.name).collect::<Vec<_>>();
        assert_eq!(
            (names(LEASE - 1), names(LEASE), names(1000 + LEASE)),
            (vec!["b".into(), "c".into()], vec!["c".into()], vec![])
        );
    }
}
