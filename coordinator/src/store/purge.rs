//! Carries out purges in the store.

use crate::store::{
    Store, counters,
    entry::Entry,
    purge_scope::{PurgeAction, PurgeScope},
    table::Tables,
    usage::Purged,
};
use meshcache_protocol::Key;
use std::sync::{Arc, atomic::Ordering::AcqRel};

/// Keys that are looked at under one lock before others have their turn.
const PURGE_BATCH: usize = 512;

impl Store {
    /// Applies `action` to what `is` selects within these scopes. Returns what it matched, entries that are only made
    /// stale included.
    pub(crate) fn purge(
        &self,
        scopes: &[PurgeScope],
        action: PurgeAction,
        is: impl Fn(&Key, &[Arc<Entry>]) -> bool,
    ) -> Purged {
        let quotas = self.quotas.read().clone();
        let named = |name: &str| quotas.iter().find(|quota| quota.name == name).map(|quota| quota.id);
        let mut purged = Purged::default();
        for scope in scopes {
            let (quota, terms) = match scope {
                PurgeScope::Everywhere => (None, None),
                PurgeScope::Group(name) => (Some(named(name)), None),
                PurgeScope::Indexed(name, terms) => (Some(named(name)), Some(terms.as_slice())),
            };
            // An unknown group has no entries.
            if quota == Some(None) {
                continue;
            }
            for shard in &self.shards {
                // What is stored after this is not older than the purge: its guard keeps out loads that began before.
                let tables = Tables { quota: quota.flatten(), cache_type: None };
                let candidates = shard.lock().candidates(tables, terms);
                for among in candidates.chunks(PURGE_BATCH) {
                    let mut shard = shard.lock();
                    let (one, changes) = shard.purge(among, action, &is);
                    let overhead = shard.take_overhead_change();
                    drop(shard);
                    self.used.fetch_add(overhead, AcqRel);
                    for (table, changed) in changes {
                        if let Some(counters) = counters(&quotas, table) {
                            self.account(counters, &changed);
                        }
                    }
                    purged = Purged { entries: purged.entries + one.entries, bytes: purged.bytes + one.bytes };
                }
            }
        }
        purged
    }
}
