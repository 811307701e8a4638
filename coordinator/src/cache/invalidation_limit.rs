//! How often a key is invalidated on behalf of proxies and peers.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// A key is invalidated at most once in this time, milliseconds; the last invalidation counts, at its end.
pub(crate) const PAUSE: u64 = 1000;
/// The most keys that are limited at once.
const KEYS: usize = 65_536;

/// When each key may be invalidated next, by the store's clock.
pub(crate) struct InvalidationLimit(Mutex<LruCache<Hash, u64>>);

/// When an invalidation takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// At once.
    Now,
    /// After this many milliseconds.
    In(u64),
    /// Together with one that is pending already.
    Pending,
}

impl Default for InvalidationLimit {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(KEYS)))
    }
}

impl InvalidationLimit {
    /// Takes the key's next turn, and returns when that is.
    pub(crate) fn schedule(&self, key: Hash, now: u64) -> Due {
        let mut all = self.0.lock();
        let next = all.get(&key).copied().unwrap_or(0);
        let wait = next.saturating_sub(now);
        if wait > PAUSE {
            return Due::Pending;
        }
        all.put(key, now.max(next) + PAUSE);
        if wait == 0 { Due::Now } else { Due::In(wait) }
    }

    /// Takes the key's turn if it is due now, and returns whether it was.
    pub(crate) fn try_now(&self, key: Hash, now: u64) -> bool {
        let is_due = self.0.lock().peek(&key).is_none_or(|next| *next <= now);
        is_due && self.schedule(key, now) == Due::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_invalidated_at_most_once_a_second_and_the_last_invalidation_counts() {
        let (limit, key) = (InvalidationLimit::default(), Hash(7));
        assert_eq!(limit.schedule(key, 5000), Due::Now);
        assert_eq!((limit.schedule(key, 5300), limit.schedule(key, 5400)), (Due::In(700), Due::Pending));
        assert_eq!(limit.schedule(Hash(8), 5400), Due::Now, "another key");
        assert_eq!(limit.schedule(key, 6100), Due::In(900), "the one of 6000 has taken effect");
        assert!(!limit.try_now(key, 6200) && limit.try_now(key, 9000) && !limit.try_now(key, 9999));
        assert_eq!(limit.schedule(key, 10_000), Due::Now);
    }
}
