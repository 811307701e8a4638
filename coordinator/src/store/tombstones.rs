//! What was removed because it is true no more, and when: other coordinators may still have it, and would bring it
//! back.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// How many are remembered, about 70 bytes each once there are so many. Of more than that, those that were removed
/// longest ago are forgotten, as all are when the process ends: then a copy that another coordinator still has may come
/// back until it is stale.
const MOST: usize = 65_536;

/// When what was removed, by the store's clock.
pub(super) struct Gone(Mutex<LruCache<Hash, u64>>);

impl Default for Gone {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(MOST)))
    }
}

impl Gone {
    /// From now on what arrived up to now is true no more.
    pub(super) fn note(&self, what: Hash, now: u64) {
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
    fn so_many_are_remembered_the_latest_of_them() {
        let gone = Gone::default();
        for n in 0..=MOST {
            gone.note(Hash(n as u128), 1000 + n as u64);
        }
        assert!(!gone.covers(Hash(0), 1), "forgotten");
        assert!(gone.covers(Hash(1), 1001) && !gone.covers(Hash(1), 1002));
        gone.note(Hash(1), 900_000);
        gone.note(Hash(0), 900_001);
        assert!(gone.covers(Hash(1), 900_000), "said again it counts as new");
        assert!(!gone.covers(Hash(2), 1));
    }
}
