//! What is remembered of so many keys only: beyond that those are forgotten that were used longest ago.

use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;
use std::num::NonZeroUsize;

/// Room for so many. It takes memory as it is filled: most processes remember few.
pub(crate) fn recent<K: std::hash::Hash + Eq, V>(most: usize) -> LruCache<K, V> {
    let mut all = LruCache::unbounded();
    all.resize(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
    all
}

/// Something that is known of keys for a moment, each until a time of its own.
pub(crate) struct Lately<V>(Mutex<LruCache<Hash, (V, u64)>>);

impl<V: Copy> Lately<V> {
    /// Of so many keys at the most.
    pub(crate) fn new(most: usize) -> Self {
        Self(Mutex::new(recent(most)))
    }

    /// Remembers it for so many milliseconds, and says what was known before.
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
    fn what_is_known_of_a_key_is_known_for_a_moment() {
        let lately = Lately::new(2);
        assert_eq!(lately.replace(Hash(1), 'a', 0, 10), None);
        assert_eq!(lately.replace(Hash(1), 'b', 9, 10), Some('a'));
        assert_eq!(lately.replace(Hash(1), 'c', 19, 10), None, "the moment is over");
        assert_eq!(
            (lately.replace(Hash(2), 'x', 20, 10), lately.replace(Hash(3), 'y', 20, 10)),
            (None, None),
            "another key makes room"
        );
        assert_eq!(lately.replace(Hash(1), 'd', 20, 10), None);
    }
}
