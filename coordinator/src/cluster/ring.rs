//! The ring as this coordinator sees it: the owners of keys now and before, and the links to them.

use crate::{
    clock::Clock,
    cluster::{client::Peers, previous_rings::Former},
    telemetry::metrics::Metrics,
};
use arc_swap::ArcSwap;
use meshcache_protocol::{Key, Ring};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::BTreeSet, sync::Arc};

/// The other coordinators, now and before.
pub struct Cluster {
    me: String,
    clock: Clock,
    pub(crate) peers: Peers,
    /// The rings before this one. Its lock is held while the ring or the links to peers change.
    pub(crate) former: Mutex<Former>,
    /// Owners whose keys were loaded here, because they did not answer whoever asked: they have to hear of it.
    pub(crate) stood_in: Mutex<BTreeSet<String>>,
    ring: ArcSwap<Ring>,
}

impl Cluster {
    /// A cluster of this coordinator alone, with an empty ring. `me`: its name in the ring.
    pub(crate) fn new(me: &str, clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            me: me.to_owned(),
            clock,
            peers: Peers::new(clock, metrics),
            former: Mutex::default(),
            stood_in: Mutex::default(),
            ring: ArcSwap::default(),
        })
    }

    /// The ring.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    /// Milliseconds of the cache's own clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Takes this ring from now on. Those who owned keys in the one before are asked for what they have.
    pub fn set_ring(&self, ring: Arc<Ring>) {
        let former = self.note_ring(&ring);
        self.link(&former);
    }

    /// The same, without a connection to anybody. While what it gives is held, there is no other ring.
    pub(crate) fn note_ring(&self, ring: &Arc<Ring>) -> MutexGuard<'_, Former> {
        let (me, mut former) = (&self.me, self.former.lock());
        let before = self.ring.swap(ring.clone());
        let was_there = before.peer(me).is_some();
        // Who has just begun was in no ring: the others owned its keys.
        former.note(if was_there { (*before).clone() } else { ring.without(me) }, self.now());
        self.stood_in.lock().retain(|name| ring.peer(name).is_some());
        former
    }

    /// Keeps links to those in the ring, and to those before: the lock of these is held, so that no newer ring's links
    /// are lost.
    fn link(&self, former: &MutexGuard<'_, Former>) {
        self.peers.set(&self.ring(), former.peers(), &self.me);
    }

    /// Others have answered for this coordinator while it did not: they are asked for what it missed.
    pub(crate) fn missed_something(&self) {
        let former = self.note_missed();
        self.link(&former);
    }

    /// The same, without a connection to anybody.
    pub(crate) fn note_missed(&self) -> MutexGuard<'_, Former> {
        let (me, mut former) = (&self.me, self.former.lock());
        let ring = self.ring();
        if ring.peer(me).is_some() {
            former.note(ring.without(me), self.now());
        }
        former
    }

    /// A peer says that it is there.
    pub(crate) fn is_back(&self, peer: &str) {
        self.peers.is_back(peer);
    }

    /// A peer says that it answers no more.
    pub(crate) fn has_ended(&self, peer: &str) {
        let mut former = self.former.lock();
        former.forget(peer);
        self.link(&former);
    }

    /// A key is loaded here. If it is another's, that one did not answer whoever asked.
    pub(crate) fn note_stand_in(&self, key: &Key) {
        let ring = self.ring();
        if let Some(owner) =
            ring.owner(key.hash()).filter(|owner| owner.name != self.me && ring.peer(&self.me).is_some())
        {
            let mut stood_in = self.stood_in.lock();
            if !stood_in.contains(&owner.name) {
                stood_in.insert(owner.name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::client::Call;
    use meshcache_protocol::Peer;

    fn ring(names: &[String]) -> Arc<Ring> {
        let peer = |name: &String| Peer { name: name.clone(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:2".into() };
        Arc::new(Ring::new(names.iter().map(peer).collect()))
    }

    #[test]
    fn who_comes_while_something_was_missed_is_linked() {
        let cluster = Cluster::new("me", Clock::new(), Metrics::new().unwrap());
        for n in 0..1000 {
            let new = format!("new-{n}");
            let ring = ring(&["me".into(), new.clone()]);
            let together = std::sync::Barrier::new(2);
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    together.wait();
                    cluster.missed_something();
                });
                together.wait();
                cluster.set_ring(ring);
            });
            assert!(cluster.peers.admits(&new, Call::Question), "{new} has no link");
        }
    }
}
