//! How often keys were requested lately, for groups that store a response at the n-th request only (`minUses`).

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// The most keys that are counted. For another one that which was requested longest ago is forgotten.
const KEYS: usize = 65_536;
/// For how long after its last request a key is counted, milliseconds: nginx's `inactive`.
const PERIOD: u64 = 600_000;

/// The requests of keys, by the store's clock.
pub(crate) struct Uses(Mutex<LruCache<Hash, Use>>);

/// The requests of one key.
#[derive(Clone, Copy, Default)]
struct Use {
    count: u32,
    last: u64,
}

impl Default for Uses {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(KEYS)))
    }
}

impl Uses {
    /// Counts a request.
    pub(crate) fn record(&self, key: Hash, now: u64) {
        let mut all = self.0.lock();
        let used = all.get_or_insert_mut(key, Use::default);
        *used = Use { count: used.count_at(now).saturating_add(1), last: now };
    }

    /// Returns how many requests of a key are counted.
    pub(crate) fn count(&self, key: Hash, now: u64) -> u32 {
        self.0.lock().peek(&key).map_or(0, |used| used.count_at(now))
    }
}

impl Use {
    fn count_at(&self, now: u64) -> u32 {
        if now.saturating_sub(self.last) < PERIOD { self.count } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_until_ten_minutes_pass_without_one() {
        let uses = Uses::default();
        let key = Hash(1);
        assert_eq!(uses.count(key, 0), 0);
        for (now, count) in [(0, 1), (599_999, 2), (1_199_998, 3), (1_799_998, 1)] {
            uses.record(key, now);
            assert_eq!((uses.count(key, now), uses.count(Hash(2), now)), (count, 0), "{now}");
        }
        assert_eq!((uses.count(key, 2_399_997), uses.count(key, 2_399_998)), (1, 0));
    }

    #[test]
    fn a_scan_of_many_keys_takes_a_bounded_memory_and_the_last_ones_are_counted() {
        let uses = Uses::default();
        for key in 0..2 * KEYS as u128 {
            uses.record(Hash(key), 0);
        }
        assert_eq!(uses.0.lock().len(), KEYS);
        assert_eq!((uses.count(Hash(0), 0), uses.count(Hash(2 * KEYS as u128 - 1), 0)), (0, 1));
    }
}
