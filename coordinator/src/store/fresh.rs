//! Fresh values by the bytes of their keys: what a call of `get` reads, without an allocation.

use crate::store::{Store, entry::Entry, protected_room, quota::Quota, table::CacheType};
use meshcache_protocol::Hash;
use std::sync::atomic::Ordering::Relaxed;

impl Store {
    /// Reads the newest fresh response to every request for a key, given as bytes, and counts this as a use of the key.
    /// `read` runs under a lock.
    pub(crate) fn read_fresh<T>(
        &self,
        cache_type: CacheType,
        quota: &Quota,
        (hash, key): (Hash, &[u8]),
        now: u64,
        read: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        if cache_type == CacheType::Hot {
            self.uses.record(hash.0);
        }
        let (counters, room) = (quota.counters(cache_type), protected_room(quota, cache_type));
        let mut shard = self.shard(hash).lock();
        let found = shard.read_fresh(quota.table(cache_type), (hash, key), now, room).map(read);
        drop(shard);
        // Whoever finds nothing fresh of the main type looks again, by `Store::get`, and is counted there.
        if found.is_some() || cache_type == CacheType::Hot {
            counters.gets.fetch_add(1, Relaxed);
        }
        if found.is_some() {
            counters.hits.fetch_add(1, Relaxed);
        }
        found
    }
}
