//! Keys whose responses are no longer valid, and since when. Other coordinators may still have those responses, and
//! would bring them back.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// The most tombstones, about 70 bytes each. Beyond that the oldest are forgotten, as all are when the process ends:
/// then a copy on another coordinator may come back until it is stale.
const MAX_TOMBSTONES: usize = 65_536;

/// When each hash was removed, by the store's clock.
pub(super) struct Tombstones(Mutex<LruCache<Hash, u64>>);

impl Default for Tombstones {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(MAX_TOMBSTONES)))
    }
}

impl Tombstones {
    /// Records that what arrived up to now is no longer valid.
    pub(super) fn add(&self, what: Hash, now: u64) {
        self.0.lock().put(what, now);
    }

    /// Returns whether what arrived at that time is no longer valid. This does not keep the tombstone longer.
    pub(super) fn covers(&self, what: Hash, arrived: u64) -> bool {
        self.0.lock().peek(&what).is_some_and(|at| arrived <= *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_tombstones_are_kept() {
        let tombstones = Tombstones::default();
        for n in 0..=MAX_TOMBSTONES {
            tombstones.add(Hash(n as u128), 1000 + n as u64);
        }
        assert!(!tombstones.covers(Hash(0), 1), "forgotten");
        assert!(tombstones.covers(Hash(1), 1001) && !tombstones.covers(Hash(1), 1002));
        tombstones.add(Hash(1), 900_000);
        tombstones.add(Hash(0), 900_001);
        assert!(tombstones.covers(Hash(1), 900_000), "added again it counts as new");
        assert!(!tombstones.covers(Hash(2), 1));
    }
}
