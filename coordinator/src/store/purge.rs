//! Carries out purges in the store.

use crate::store::{
    Store, entry::Entry, purge_action::PurgeAction, purge_index::IndexTerm, quota::counters, table::Tables,
    usage::Purged,
};
use meshcache_protocol::{Key, purge::Candidates};
use std::sync::{Arc, atomic::Ordering::AcqRel};

/// Keys that are looked at under one lock before others have their turn: few, since a regex may take a while for each.
const PURGE_BATCH: usize = 16;

impl Store {
    /// Applies `action` to what `is` selects among these. Returns what it matched, entries that are only made stale
    /// included.
    pub(crate) fn purge(
        &self,
        among: &[Candidates<'_, IndexTerm>],
        action: PurgeAction,
        is: impl Fn(&Key, &[Arc<Entry>]) -> bool,
    ) -> Purged {
        let quotas = self.quotas.read().clone();
        let named = |name: &str| quotas.iter().find(|quota| quota.name == name).map(|quota| quota.id);
        let mut purged = Purged::default();
        for Candidates { group, terms } in among {
            let quota = group.map(named);
            // An unknown group has no entries.
            if quota == Some(None) {
                continue;
            }
            for shard in &self.shards {
                // What is stored after this is not older than the purge: its guard keeps out loads that began before.
                let tables = Tables { quota: quota.flatten(), cache_type: None };
                let candidates = shard.lock().candidates(tables, terms.as_deref());
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
