//! What was removed because it is true no more, and when: other coordinators may still have it, and would bring it
//! back.

use crate::bounded_lru::recent;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// How many are remembered, about 70 bytes each once there are so many. Of more than that, those that were removed
/// longest ago are forgotten, as all are when the process ends: then a copy that another coordinator still has may come
/// back until it is stale.
const MAX_TOMBSTONES: usize = 65_536;

/// When what was removed, by the store's clock.
pub(super) struct Tombstones(Mutex<LruCache<Hash, u64>>);

impl Default for Tombstones {
    fn default() -> Self {
        Self(Mutex::new(recent(MAX_TOMBSTONES)))
    }
}

impl Tombstones {
    /// From now on what arrived up to now is true no more.
    pub(super) fn add(&self, what: Hash, now: u64) {
        self.0.lock().put(what, now);
    }

    /// Whether what arrived then was true no more later. To ask is no use that keeps it longer.
    pub(super) fn covers(&self, what: Hash, arrived: u64) -> bool {
        self.0.lock().peek(&what).is_some_and(|at| arrived <= *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let tombstones = Tombstones::default();
        for n in 0..=MAX_TOMBSTONES {
            tombstones.add(Hash(n as u128), 1000 + n as u64);
        }
        assert!(!tombstones.covers(Hash(0), 1), "forgotten");
        assert!(tombstones.covers(Hash(1), 1001) && !tombstones.covers(Hash(1), 1002));
        tombstones.add(Hash(1), 900_000);
        tombstones.add(Hash(0), 900_001);
        assert!(tombstones.covers(Hash(1), 900_000), "said again it counts as new");
        assert!(!tombstones.covers(Hash(2), 1));
    }
}
