//! Carries out purges in the store.

use crate::store::{
    Store,
    entry::Entry,
    purge_action::PurgeAction,
    purge_index::IndexTerm,
    quota::counters,
    shard::Shard,
    stale_heads::StaleHeads,
    table::{TableId, Tables},
    usage::Purged,
};
use meshcache_protocol::{Key, purge::Candidates};
use parking_lot::Mutex;
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
        let (mut purged, mut heads) = (Purged::default(), StaleHeads::default());
        for Candidates { group, terms } in among {
            let quota = group.map(named);
            // An unknown group has no entries.
            if quota == Some(None) {
                continue;
            }
            for shard in &self.shards {
                // What is stored after this is not older than the purge: its guard keeps out loads that began before.
                let tables = Tables { quota: quota.flatten(), cache_type: None };
                let candidates = self.candidates(shard, tables, terms.as_deref());
                for among in candidates.chunks(PURGE_BATCH) {
                    let mut shard = shard.lock();
                    let (one, changes) = shard.purge(among, action, &mut heads, &is);
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

    fn candidates(&self, shard: &Mutex<Shard>, tables: Tables, terms: Option<&[IndexTerm]>) -> Vec<(TableId, u64)> {
        loop {
            let mut shard = shard.lock();
            let (found, overhead) = (shard.candidates(tables, terms), shard.take_overhead_change());
            drop(shard);
            self.used.fetch_add(overhead, AcqRel);
            if let Some(mut found) = found {
                found.sort_unstable();
                found.dedup();
                return found;
            }
        }
    }
}
