//! The ring as the cache uses it: who owns keys now, who did before, and who comes back.

use crate::cache::Cache;
use meshcache_protocol::{Key, Ring};
use std::sync::Arc;

impl Cache {
    /// Milliseconds of the cache's own clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Takes this ring from now on. Those who owned keys in the one before are asked for what they have.
    pub fn set_ring(&self, ring: Arc<Ring>) {
        self.note_ring(&ring);
        self.peers.set(&ring, self.former.lock().peers(), &self.settings.me);
    }

    /// The same, without a connection to anybody.
    pub(crate) fn note_ring(&self, ring: &Arc<Ring>) {
        let me = &self.settings.me;
        let before = self.swap_ring(ring.clone());
        let was_there = before.peer(me).is_some();
        // Who has just begun was in no ring: the others owned its keys.
        self.former.lock().note(if was_there { (*before).clone() } else { ring.without(me) }, self.now());
        self.stood_in.lock().retain(|name| ring.peer(name).is_some());
    }

    /// Others have answered for this coordinator while it did not: they are asked for what it missed.
    pub(crate) fn missed_something(&self) {
        self.note_missed();
        self.peers.set(&self.ring(), self.former.lock().peers(), &self.settings.me);
    }

    /// The same, without a connection to anybody.
    pub(crate) fn note_missed(&self) {
        let (me, ring) = (&self.settings.me, self.ring());
        if ring.peer(me).is_some() {
            self.former.lock().note(ring.without(me), self.now());
        }
    }

    /// A peer says that it is there.
    pub(crate) fn is_back(&self, peer: &str) {
        self.peers.is_back(peer);
    }

    /// A peer says that it answers no more.
    pub(crate) fn has_ended(&self, peer: &str) {
        let mut former = self.former.lock();
        former.forget(peer);
        self.peers.set(&self.ring(), former.peers(), &self.settings.me);
    }

    /// A key is loaded here. If it is another's, that one did not answer whoever asked.
    pub(crate) fn note_stand_in(&self, key: &Key) {
        let ring = self.ring();
        if let Some(owner) = ring.owner(key.hash()).filter(|owner| owner.name != self.settings.me && ring.peer(&self.settings.me).is_some()) {
            let mut stood_in = self.stood_in.lock();
            if !stood_in.contains(&owner.name) {
                stood_in.insert(owner.name.clone());
            }
        }
    }
}
