//! How often keys are invalidated on behalf of proxies and peers.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::{
    Hash,
    invalidation_limit::{InvalidationLimit, Schedule},
};
use parking_lot::Mutex;

/// The most keys that are limited at once.
const KEYS: usize = 65_536;

/// The limits of keys, by the store's clock.
pub(crate) struct InvalidationLimits(Mutex<LruCache<Hash, InvalidationLimit>>);

impl Default for InvalidationLimits {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(KEYS)))
    }
}

impl InvalidationLimits {
    /// Schedules an invalidation of a key.
    pub(crate) fn schedule(&self, key: Hash, now: u64) -> Schedule {
        self.0.lock().get_or_insert_mut(key, InvalidationLimit::default).schedule(now)
    }

    /// Schedules an invalidation of a key only if it may be carried out now. Returns whether it may.
    pub(crate) fn try_schedule_now(&self, key: Hash, now: u64) -> bool {
        self.0.lock().get_or_insert_mut(key, InvalidationLimit::default).try_schedule_now(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_invalidated_at_most_once_a_second_and_the_last_invalidation_counts() {
        let (limit, key) = (InvalidationLimits::default(), Hash(7));
        assert_eq!(limit.schedule(key, 5000), Schedule::Now);
        assert_eq!((limit.schedule(key, 5300), limit.schedule(key, 5400)), (Schedule::In(700), Schedule::Merged));
        assert_eq!(limit.schedule(Hash(8), 5400), Schedule::Now, "another key");
        assert_eq!(limit.schedule(key, 6100), Schedule::In(900), "the one of 6000 has taken effect");
        assert!(
            !limit.try_schedule_now(key, 6200)
                && limit.try_schedule_now(key, 9000)
                && !limit.try_schedule_now(key, 9999)
        );
        assert_eq!(limit.schedule(key, 10_000), Schedule::Now);
    }
}
