//! What is remembered of so many keys only: beyond that those are forgotten that were used longest ago.

use lru::LruCache;
use std::{hash::Hash, num::NonZeroUsize};

/// Room for so many. It takes memory as it is filled: most processes remember few.
pub(crate) fn recent<K: Hash + Eq, V>(most: usize) -> LruCache<K, V> {
    let mut all = LruCache::unbounded();
    all.resize(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
    all
}
