//! Fresh values by the bytes of their keys: what a call of `get` reads, without an allocation.

use crate::store::{
    Store,
    entry::Entry,
    hot::sketched,
    protected_room,
    quota::Quota,
    shard::Shard,
    table::{CacheType, TableId},
};
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
            self.uses.record(sketched(hash.high()));
        }
        let room = protected_room(quota, cache_type);
        let found = self.shard(hash).lock().read_fresh(quota.table(cache_type), (hash, key), now, room, read);
        // What is found the shard has counted. Who finds nothing of the main type looks again, by `Store::get`.
        if found.is_none() && cache_type == CacheType::Hot {
            quota.counters(cache_type).gets.fetch_add(1, Relaxed);
        }
        found
    }
}

impl Shard {
    /// Reads the newest fresh response to every request for a key, given as bytes, and counts this as a use.
    pub(super) fn read_fresh<T>(
        &mut self,
        table: TableId,
        (hash, key): (Hash, &[u8]),
        now: u64,
        room: u64,
        read: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let slrus = self.slrus.get_mut(table.index())?;
        let found = slrus.get(hash.high(), now, room, |variants| {
            let entry = variants.first().filter(|entry| entry.stored.is_fresh(entry.resident(now)))?;
            if !entry.has_key(key) || !entry.selecting.is_empty() || entry.stored.always_validate {
                return None;
            }
            Some(read(entry))
        })?;
        slrus.fresh_reads += 1;
        Some(found)
    }

    /// Returns the reads by [`Shard::read_fresh`] that found something.
    pub(super) fn fresh_reads(&self, table: TableId) -> u64 {
        self.slrus.get(table.index()).map_or(0, |slrus| slrus.fresh_reads)
    }
}
