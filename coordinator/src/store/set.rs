//! Values that a program sets: they take the place of what is being loaded.

use crate::store::{Entry, PurgeGuard, Quota, Recency, Store, heads, table::CacheType};
use meshcache_protocol::Key;
use std::sync::Arc;

impl Store {
    /// Stores a value that was set, unless a purge since its begin matches it, or it does not fit. What is being loaded
    /// for its key is stored nowhere: a load that begins later finds the value.
    pub(crate) fn put_set(&self, quota: &Quota, load: &PurgeGuard, entry: Arc<Entry>, now: u64) -> bool {
        self.loads.store_in_place_of_others(load, &entry.clone(), || {
            self.insert_if_it_fits(quota, load.key(), entry, now, None)
        })
    }

    pub(super) fn insert_if_it_fits(
        &self,
        quota: &Quota,
        key: &Key,
        entry: Arc<Entry>,
        now: u64,
        used: Option<Recency>,
    ) -> bool {
        let entry = self.pack(quota, &entry, key);
        let bytes = entry.bytes();
        if bytes > quota.limit() || !self.make_room(quota, bytes, now, used) {
            return false;
        }
        self.insert(CacheType::Main, quota, key, entry, now, used);
        true
    }

    /// Packs an entry as it is stored.
    pub(super) fn pack(&self, quota: &Quota, entry: &Entry, key: &Key) -> Arc<Entry> {
        Arc::new(heads::pack(&quota.heads, entry, key, &self.used))
    }
}
