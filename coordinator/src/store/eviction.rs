//! Makes room in the store.

use crate::store::{
    Store,
    heads::Heads,
    quota::{Quota, counters},
    recency::{Rank, Recency},
    table::{SHARDS, Tables},
};
use std::sync::{Arc, atomic::Ordering::Relaxed};

impl Store {
    /// Evicts until this many bytes fit: from the group itself while it is at its limit, then from all.
    pub(super) fn make_room(&self, quota: &Quota, bytes: u64, now: u64, used: Option<Recency>) -> bool {
        let lacking = || {
            let own = quota.used() + bytes > quota.limit();
            let any = self.used() + bytes > self.limit;
            (own || any).then_some(Tables { quota: own.then_some(quota.id), cache_type: None })
        };
        self.evict_while(lacking, now, |key| used.is_none_or(|used| key.is_used_less(used)))
    }

    /// Evicts what `may_go` from the tables that are `lacking` room until none is. Takes the shards in turn, so that
    /// together they evict in the order of use.
    pub(super) fn evict_while(
        &self,
        lacking: impl Fn() -> Option<Tables>,
        now: u64,
        may_go: impl Fn(&Rank) -> bool,
    ) -> bool {
        let mut misses = 0;
        while let Some(tables) = lacking() {
            let at = self.next_shard.fetch_add(1, Relaxed) % SHARDS;
            let Some((table, slot)) = self.shards.get(at).and_then(|shard| shard.lock().evict(tables, &may_go)) else {
                misses += 1;
                // Nothing is left to evict: it cannot fit.
                if misses > 2 * SHARDS {
                    return false;
                }
                continue;
            };
            misses = 0;
            if let Some(counters) = counters(&self.quotas.read(), table) {
                let freed = self.record_freed(counters, &slot);
                counters.evictions.fetch_add(freed.entries, Relaxed);
                counters
                    .evictions_nonexpired
                    .fetch_add(slot.variants.iter().filter(|entry| entry.deadline() > now).count() as u64, Relaxed);
            }
        }
        true
    }

    pub(super) fn remove_group(&self, id: u32, quotas: &[Arc<Quota>]) {
        let Some(quota) = quotas.get(id as usize) else { return };
        *quota.heads.lock() = Heads::default();
        for shard in &self.shards {
            loop {
                let tables = Tables { quota: Some(id), cache_type: None };
                let Some((table, slot)) = shard.lock().evict(tables, |_| true) else { break };
                self.record_freed(quota.counters(table.cache_type()), &slot);
            }
        }
    }
}
