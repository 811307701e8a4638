//! The other coordinators: the ring that names owners, the rings before it, the calls to peers, and discovery.

pub mod announcements;
pub(crate) mod announcer;
pub(crate) mod client;
pub mod gossip;
mod gossip_log;
pub mod gossiper;
pub mod membership;
pub mod peer_lists;
mod previous_rings;
mod seed_troubles;
#[cfg(feature = "program")]
pub mod seeds;
pub mod static_peers;

use crate::{
    clock::Clock,
    cluster::{client::PeerClient, gossiper::Gossiper, previous_rings::PreviousRings},
    telemetry::metrics::Metrics,
    tls::PeerTls,
};
use arc_swap::ArcSwap;
use meshcache_protocol::{Hash, Key, Peer, Ring};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

/// The ring as this coordinator sees it, now and before, and the calls to its peers.
pub struct Cluster {
    pub(crate) me: String,
    clock: Clock,
    pub(crate) peers: PeerClient,
    /// Its lock is held while the ring or the links to peers change.
    previous: Mutex<PreviousRings>,
    /// Owners whose keys were loaded here because they did not answer: they are to learn that they missed something.
    covered_owners: Mutex<BTreeSet<String>>,
    ring: ArcSwap<Ring>,
    gossiper: OnceLock<Arc<Gossiper>>,
}

impl Cluster {
    /// A cluster of this coordinator alone, with an empty ring. `me`: its name in the ring.
    pub(crate) fn new(me: &str, clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            me: me.to_owned(),
            clock,
            peers: PeerClient::new(clock, metrics),
            previous: Mutex::default(),
            covered_owners: Mutex::default(),
            ring: ArcSwap::default(),
            gossiper: OnceLock::new(),
        })
    }

    /// Sets that the peers find each other by gossip.
    pub(crate) fn set_gossiper(&self, gossiper: Arc<Gossiper>) {
        let _ = self.gossiper.set(gossiper);
    }

    /// The gossip by which peers find each other, where they do.
    pub(crate) fn gossiper(&self) -> Option<&Arc<Gossiper>> {
        self.gossiper.get()
    }

    /// The ring.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    /// Looks at the ring.
    pub(crate) fn with_ring<T>(&self, look: impl FnOnce(&Ring) -> T) -> T {
        look(&self.ring.load())
    }

    /// Milliseconds of the cache's own clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The owners of a key before this coordinator, the latest first. `since`: when the stored entries arrived here; a
    /// peer that owned the key only before that has nothing newer.
    pub(crate) fn previous_owners(&self, key: Hash, since: Option<u64>) -> Vec<String> {
        self.previous.lock().owners(key, &self.me, since, self.now())
    }

    /// The peer of that name where it was last, in the rings before this one.
    pub(crate) fn previous_peer(&self, name: &str) -> Option<Peer> {
        self.previous.lock().peer(name).cloned()
    }

    /// Sets the ring. Later loads peek at the owners of the one before.
    pub fn set_ring(&self, ring: Arc<Ring>) {
        let previous = self.swap_ring(&ring);
        self.link(&previous);
    }

    /// Sets the ring without a link to any peer. While the guard is held, no other ring is set.
    pub(crate) fn swap_ring(&self, ring: &Arc<Ring>) -> MutexGuard<'_, PreviousRings> {
        let (me, mut previous) = (&self.me, self.previous.lock());
        let before = self.ring.swap(ring.clone());
        // A coordinator that has just started was in no ring: the others owned its keys.
        let ended = if before.peer(me).is_some() { (*before).clone() } else { ring.without(me) };
        previous.push(ended, self.now());
        self.covered_owners.lock().retain(|name| ring.peer(name).is_some());
        previous
    }

    /// Sets what is shown to peers and asked of them: mutual TLS.
    pub(crate) fn set_tls(&self, tls: Arc<PeerTls>) {
        let _no_new_links = self.previous.lock();
        self.peers.set_tls(tls);
    }

    /// Sets the links: to the peers of the ring, and to those of the rings before. The lock of these is held, so that
    /// no newer ring's links are lost.
    fn link(&self, previous: &MutexGuard<'_, PreviousRings>) {
        self.peers.set_peers(&self.ring(), previous.peers(), &self.me);
    }

    /// Records that this coordinator did not answer for a while: its peers, which covered for it, are asked for what it
    /// missed.
    pub(crate) fn record_absence(&self) {
        let previous = self.push_absence();
        self.link(&previous);
    }

    /// Records an absence without a link to any peer.
    pub(crate) fn push_absence(&self) -> MutexGuard<'_, PreviousRings> {
        let (me, mut previous) = (&self.me, self.previous.lock());
        let ring = self.ring();
        if ring.peer(me).is_some() {
            previous.push(ring.without(me), self.now());
        }
        previous
    }

    /// Records that a peer has announced itself.
    pub(crate) fn peer_returned(&self, peer: &str) {
        self.peers.peer_returned(peer);
    }

    /// Records that a peer has announced its end.
    pub(crate) fn peer_ended(&self, peer: &str) {
        let previous = self.remove_previous(peer);
        self.link(&previous);
    }

    /// Removes a peer from the rings before, without a link to any peer.
    pub(crate) fn remove_previous(&self, peer: &str) -> MutexGuard<'_, PreviousRings> {
        let mut previous = self.previous.lock();
        previous.remove(peer);
        previous
    }

    /// Records that a key is loaded here. If it is another's, that owner did not answer.
    pub(crate) fn record_load(&self, key: &Key) {
        let ring = self.ring();
        if let Some(owner) =
            ring.owner(key.hash()).filter(|owner| owner.name != self.me && ring.peer(&self.me).is_some())
        {
            let mut covered = self.covered_owners.lock();
            if !covered.contains(&owner.name) {
                covered.insert(owner.name.clone());
            }
        }
    }

    /// The owners whose keys were loaded here, and that do not know it yet.
    pub(crate) fn covered_owners(&self) -> BTreeSet<String> {
        self.covered_owners.lock().clone()
    }

    /// Records that a covered owner knows that it missed something.
    pub(crate) fn remove_covered_owner(&self, owner: &str) {
        self.covered_owners.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::client::Call;

    fn ring(names: &[String]) -> Arc<Ring> {
        let peer = |name: &String| Peer { name: name.clone(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:2".into() };
        Arc::new(Ring::new(names.iter().map(peer).collect()))
    }

    #[test]
    fn a_peer_that_joins_during_an_absence_has_a_link() {
        let cluster = Cluster::new("me", Clock::new(), Metrics::new().unwrap());
        for n in 0..1000 {
            let new = format!("new-{n}");
            let ring = ring(&["me".into(), new.clone()]);
            let together = std::sync::Barrier::new(2);
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    together.wait();
                    cluster.record_absence();
                });
                together.wait();
                cluster.set_ring(ring);
            });
            assert!(cluster.peers.try_acquire(&new, Call::Question), "{new} has no link");
        }
    }
}
