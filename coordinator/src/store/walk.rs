//! Walks all that is stored, a few keys at a time.

use crate::store::{
    Store,
    entry::Entry,
    table::{CacheType, Tables},
};
use meshcache_protocol::Key;
use std::sync::Arc;

/// Keys that are looked at under one lock before others have their turn.
const WALK_BATCH: usize = 64;

/// What is stored under one key.
pub(crate) struct Held {
    pub(crate) cache_type: CacheType,
    pub(crate) key: Key,
    /// All variants.
    pub(crate) entries: Vec<Arc<Entry>>,
}

impl Store {
    /// Calls `see` with each key of a group, or of all groups, that is stored. It is called without a lock; what changes
    /// meanwhile may be seen or not.
    pub(crate) fn walk(&self, group: Option<&str>, mut see: impl FnMut(Held)) {
        let quota = group.map(|name| self.quotas.read().iter().find(|quota| quota.name == name).map(|quota| quota.id));
        // An unknown group has no entries.
        if quota == Some(None) {
            return;
        }
        let tables = Tables { quota: quota.flatten(), cache_type: None };
        for shard in &self.shards {
            let places = shard.lock().candidates(tables, None).unwrap_or_default();
            for batch in places.chunks(WALK_BATCH) {
                let shard = shard.lock();
                let entries = |(table, place): &(_, u64)| Some((*table, shard.peek(*table, *place)?.0.to_vec()));
                let found: Vec<(_, Vec<Arc<Entry>>)> = batch.iter().filter_map(entries).collect();
                drop(shard);
                for (table, entries) in found {
                    if let Some(key) = entries.first().map(|entry| entry.key()) {
                        see(Held { cache_type: table.cache_type(), key, entries });
                    }
                }
            }
        }
    }
}
