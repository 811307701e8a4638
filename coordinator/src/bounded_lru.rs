//! Bounded least-recently-used maps.

use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;
use std::num::NonZeroUsize;

/// Returns an LRU of at most this many entries. Its memory grows as it fills: in most processes it stays small.
pub(crate) fn bounded_lru<K: std::hash::Hash + Eq, V>(most: usize) -> LruCache<K, V> {
    let mut all = LruCache::unbounded();
    all.resize(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
    all
}

/// Remembers a value of a key for a time.
pub(crate) struct ExpiringLru<V>(Mutex<LruCache<Hash, (V, u64)>>);

impl<V: Copy> ExpiringLru<V> {
    /// For at most this many keys.
    pub(crate) fn new(most: usize) -> Self {
        Self(Mutex::new(bounded_lru(most)))
    }

    /// Remembers a value for some milliseconds, and returns the one remembered until now.
    pub(crate) fn replace(&self, key: Hash, value: V, now: u64, ms: u64) -> Option<V> {
        let (_, (old, until)) =
            self.0.lock().push(key, (value, now.saturating_add(ms))).filter(|(other, _)| *other == key)?;
        (until > now).then_some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_remembered_for_its_time() {
        let lru = ExpiringLru::new(2);
        assert_eq!(lru.replace(Hash(1), 'a', 0, 10), None);
        assert_eq!(lru.replace(Hash(1), 'b', 9, 10), Some('a'));
        assert_eq!(lru.replace(Hash(1), 'c', 19, 10), None, "its time is over");
        assert_eq!(
            (lru.replace(Hash(2), 'x', 20, 10), lru.replace(Hash(3), 'y', 20, 10)),
            (None, None),
            "another key is forgotten for it"
        );
        assert_eq!(lru.replace(Hash(1), 'd', 20, 10), None);
    }
}
