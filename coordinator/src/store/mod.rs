//! The store: responses by key, within a limit that counts every byte, freed when they become useless.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

mod alloc_size;
mod apart;
mod arena;
mod block;
mod entry;
mod eviction;
mod exact_bytes;
mod expiry_queue;
mod fresh;
mod head;
mod heads;
mod hot;
mod purge;
mod purge_action;
mod purge_guard;
mod purge_index;
pub(crate) mod purge_matcher;
mod quota;
mod recency;
mod set;
mod shard;
mod slot;
mod slru;
mod stale_heads;
mod table;
#[cfg(test)]
mod tests;
mod tombstones;
pub mod usage;
#[cfg(feature = "program")]
mod walk;

pub(crate) use entry::{Entry, Parts, with_fields};
pub(crate) use purge_action::PurgeAction;
pub(crate) use purge_guard::PurgeGuard;
pub(crate) use purge_index::IndexTerm;
pub(crate) use quota::Quota;
pub(crate) use recency::{RankedKey, Recency};
pub use table::CacheType;
#[cfg(test)]
pub(crate) use tests::fresh;
#[cfg(feature = "program")]
pub(crate) use walk::Held;

use crate::store::usage::{Purged, Usage};
use meshcache_protocol::{
    FrequencySketch, Hash, Key,
    purge::{KeyMatch, Position},
};
use parking_lot::{Mutex, RwLock};
use purge_guard::LoadsInFlight;
use quota::{Counters, counters, protected_room};
use shard::{Shard, SlotChange};
use slot::Slot;
use std::sync::{
    Arc,
    atomic::{
        AtomicI64, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};
use table::{SHARDS, TableId};
use tombstones::Tombstones;

/// Keys that expire under one lock before others have their turn.
const EXPIRY_BATCH: usize = 256;

/// The counters in each row of the sketch of uses: 128 KiB in all.
const SKETCH_WIDTH: usize = 32_768;
/// The lookups after which its counters are halved: half as many as there are in a row, so that few keys share one.
const SKETCH_WINDOW: usize = 16_384;

/// The store of all groups.
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    limit: u64,
    used: Arc<AtomicI64>,
    quotas: RwLock<Vec<Arc<Quota>>>,
    next_shard: AtomicUsize,
    loads: Arc<LoadsInFlight>,
    tombstones: Tombstones,
    /// How often keys of other coordinators are asked for.
    uses: FrequencySketch,
}

impl Store {
    /// Returns an empty store that takes at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            shards,
            limit,
            used: Arc::default(),
            quotas: RwLock::default(),
            next_shard: AtomicUsize::new(0),
            loads: Arc::default(),
            tombstones: Tombstones::default(),
            uses: FrequencySketch::new(SKETCH_WIDTH, SKETCH_WINDOW),
        }
    }

    /// Returns its limit, bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the bytes that it takes, bookkeeping included.
    pub(crate) fn used(&self) -> u64 {
        u64::try_from(self.used.load(Relaxed)).unwrap_or_default()
    }

    /// Sets the groups and their limits, and returns their quotas. Frees the entries of groups that are not among them.
    pub(crate) fn quotas(&self, groups: &[(&str, u64)]) -> Vec<Arc<Quota>> {
        let mut all = self.quotas.write();
        let gone: Vec<u32> = all
            .iter()
            .filter(|quota| groups.iter().all(|(name, _)| *name != quota.name))
            .map(|quota| quota.id)
            .collect();
        for quota in gone {
            self.remove_group(quota, &all);
        }
        let quota = |(name, limit): &(&str, u64)| {
            let limit = (*limit).min(self.limit);
            if let Some(quota) = all.iter().find(|quota| quota.name == *name) {
                quota.set_limit(limit);
                return quota.clone();
            }
            let quota = Arc::new(Quota::new(u32::try_from(all.len()).unwrap_or(u32::MAX), name, limit));
            all.push(quota.clone());
            quota
        };
        groups.iter().map(quota).collect()
    }

    /// Returns the newest useful variant of a key that fits, and counts this as a use of the key.
    pub(crate) fn get(&self, quota: &Quota, key: &Key, now: u64, fits: impl Fn(&Entry) -> bool) -> Option<Arc<Entry>> {
        self.get_of(CacheType::Main, quota, key, now, fits)
    }

    fn get_of(
        &self,
        cache_type: CacheType,
        quota: &Quota,
        key: &Key,
        now: u64,
        fits: impl Fn(&Entry) -> bool,
    ) -> Option<Arc<Entry>> {
        let (counters, room) = (quota.counters(cache_type), protected_room(quota, cache_type));
        counters.gets.fetch_add(1, Relaxed);
        let found = self.shard(key.hash()).lock().get(quota.table(cache_type), key, now, room, fits);
        if found.is_some() {
            counters.hits.fetch_add(1, Relaxed);
        }
        found
    }

    /// Begins a load that knows these purges. Call it before the load's request is sent.
    pub(crate) fn begin(&self, key: Key, position: Arc<Position>) -> PurgeGuard {
        self.loads.begin(key, position)
    }

    /// Marks loads in progress that a purge matches, so that their responses are not stored.
    pub(crate) fn purge_loads<'m>(&self, matches: impl Fn(&Key) -> KeyMatch<'m>) {
        self.loads.mark_purged(matches);
    }

    /// Returns the useful variants of a key and how it was used, without hot copies and without counting this as a use.
    pub(crate) fn peek(&self, quota: &Quota, key: &Key, now: u64) -> Option<(Vec<Arc<Entry>>, Recency)> {
        self.entries_under(quota.table(CacheType::Main), key.hash(), now)
            .filter(|(held, ..)| held == key)
            .map(|(_, entries, used)| (entries, used))
    }

    /// Returns all keys that are no hot copies, the most used first.
    pub(crate) fn keys_by_use(&self) -> Vec<RankedKey> {
        let ranked = |shard: &Mutex<Shard>| shard.lock().ranked().collect::<Vec<_>>();
        let hashed = |(rank, entry): (_, Arc<Entry>)| RankedKey { rank, hash: entry.key().hash() };
        let mut ranked_keys: Vec<_> = self.shards.iter().flat_map(ranked).map(hashed).collect();
        ranked_keys.sort_unstable_by(|a, b| b.cmp(a));
        ranked_keys
    }

    /// Returns the entries of a key, if it is still there and useful.
    pub(crate) fn entries_of(&self, ranked: &RankedKey, now: u64) -> Option<(Key, Vec<Arc<Entry>>, Recency)> {
        self.entries_under(ranked.rank.table, ranked.hash, now)
    }

    fn entries_under(&self, table: TableId, hash: Hash, now: u64) -> Option<(Key, Vec<Arc<Entry>>, Recency)> {
        let shard = self.shard(hash).lock();
        let (variants, used) = shard.peek(table, hash.high())?;
        let entries: Vec<_> = variants.iter().filter(|entry| entry.deadline() > now).cloned().collect();
        drop(shard);
        Some((entries.first()?.key(), entries, used))
    }

    /// Stores the response of a load, unless a purge since its begin matches it, or it does not fit.
    pub(crate) fn put(&self, quota: &Quota, load: &PurgeGuard, entry: Arc<Entry>, now: u64) -> bool {
        self.put_entry(quota, load, entry, now, None)
    }

    /// Stores an entry from another store, where its key was used so. Evicts nothing that was used more.
    pub(crate) fn put_transferred(
        &self,
        quota: &Quota,
        load: &PurgeGuard,
        entry: Arc<Entry>,
        now: u64,
        used: Recency,
    ) -> bool {
        self.put_entry(quota, load, entry, now, Some(used))
    }

    fn put_entry(&self, quota: &Quota, load: &PurgeGuard, entry: Arc<Entry>, now: u64, used: Option<Recency>) -> bool {
        self.loads
            .store_unless_purged(load, &entry.clone(), || self.insert_if_it_fits(quota, load.key(), entry, now, used))
    }

    fn insert(
        &self,
        cache_type: CacheType,
        quota: &Quota,
        key: &Key,
        entry: Arc<Entry>,
        now: u64,
        used: Option<Recency>,
    ) {
        let used = used.map(|used| (used, protected_room(quota, cache_type)));
        let mut shard = self.shard(key.hash()).lock();
        let changed = shard.put(quota.table(cache_type), key, entry, now, used);
        // It is newer than a copy of another coordinator's.
        let copy =
            (cache_type == CacheType::Main).then(|| shard.remove(quota.table(CacheType::Hot), key.hash().high()));
        let overhead = shard.take_overhead_change();
        drop(shard);
        self.used.fetch_add(overhead, AcqRel);
        self.account(quota.counters(cache_type), &changed);
        if let Some(copy) = copy.flatten() {
            self.record_freed(quota.counters(CacheType::Hot), &copy);
        }
    }

    /// Frees one key whose responses are no longer valid, and marks its loads in progress.
    pub(crate) fn remove(&self, quota: &Quota, key: Hash, now: u64) -> Purged {
        self.add_tombstone(key, now);
        self.loads.mark_purged(|loading| if loading.hash() == key { KeyMatch::Yes } else { KeyMatch::No });
        let remove = |cache_type| {
            let slot = self.shard(key).lock().remove(quota.table(cache_type), key.high());
            slot.map_or_else(Purged::default, |slot| self.record_freed(quota.counters(cache_type), &slot))
        };
        remove(CacheType::Hot);
        remove(CacheType::Main)
    }

    /// Frees the variants of a key that `is_named` selects: another response replaces them, and it is not stored.
    pub(crate) fn remove_variants(&self, quota: &Quota, key: &Key, is_named: impl Fn(&Entry) -> bool) {
        for cache_type in CacheType::ALL {
            let mut shard = self.shard(key.hash()).lock();
            let changed = shard.remove_variants(quota.table(cache_type), key, &is_named);
            let overhead = shard.take_overhead_change();
            drop(shard);
            self.used.fetch_add(overhead, AcqRel);
            if let Some(changed) = changed {
                self.account(quota.counters(cache_type), &changed);
            }
        }
    }

    /// Records that what arrived up to now is no longer valid, for a key or another hash. Call it before
    /// [`Store::purge_loads`], so that a load that begins later finds it.
    pub(crate) fn add_tombstone(&self, what: Hash, now: u64) {
        self.tombstones.add(what, now);
    }

    /// Returns whether a tombstone is at least as new as this arrival.
    pub(crate) fn has_tombstone(&self, what: Hash, arrived: u64) -> bool {
        self.tombstones.covers(what, arrived)
    }

    /// Frees a batch of expired keys of one shard. Returns whether there may be more.
    pub(crate) fn expire(&self, shard: usize, now: u64) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        let mut shard = shard.lock();
        let (seen, changes) = shard.expire(now, EXPIRY_BATCH);
        let overhead = shard.take_overhead_change();
        drop(shard);
        self.used.fetch_add(overhead, AcqRel);
        let quotas = self.quotas.read();
        for (table, changed) in changes {
            let Some(counters) = counters(&quotas, table) else { continue };
            counters.evictions.fetch_add(changed.items.unsigned_abs(), Relaxed);
            self.account(counters, &changed);
        }
        seen == EXPIRY_BATCH
    }

    /// Returns how many shards [`Store::expire`] takes.
    pub(crate) const fn shard_count(&self) -> usize {
        SHARDS
    }

    /// Returns what each group holds: of all groups what is no hot copy, then the hot copies.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let of = |quota: &Arc<Quota>, cache_type| {
            let (counters, table) = (quota.counters(cache_type), quota.table(cache_type));
            let fresh_reads = self.shards.iter().map(|shard| shard.lock().fresh_reads(table)).sum();
            Usage {
                group: quota.name.clone(),
                cache_type,
                bytes: counters.used.load(Relaxed),
                items: counters.items.load(Relaxed),
                gets: counters.gets.load(Relaxed) + fresh_reads,
                hits: counters.hits.load(Relaxed) + fresh_reads,
                fresh_reads,
                evictions: counters.evictions.load(Relaxed),
                evictions_nonexpired: counters.evictions_nonexpired.load(Relaxed),
            }
        };
        let quotas = self.quotas.read();
        CacheType::ALL
            .into_iter()
            .flat_map(|cache_type| quotas.iter().map(move |quota| of(quota, cache_type)))
            .collect()
    }

    fn shard(&self, hash: Hash) -> &Mutex<Shard> {
        // Neither the bits that the ring weighs nor those that a shard's tables begin with.
        let at = (hash.high() >> 40) as usize % SHARDS;
        &self.shards[at]
    }

    fn record_freed(&self, counters: &Counters, slot: &Slot) -> Purged {
        let purged = Purged { entries: slot.variants.len() as u64, bytes: slot.bytes() };
        counters.used.fetch_sub(purged.bytes, Relaxed);
        counters.items.fetch_sub(purged.entries, Relaxed);
        self.used.fetch_sub(purged.bytes as i64, AcqRel);
        purged
    }

    fn account(&self, counters: &Counters, changed: &SlotChange) {
        // Two's complement: adding a negative number as an unsigned one subtracts.
        counters.used.fetch_add(changed.bytes as u64, Relaxed);
        counters.items.fetch_add(changed.items as u64, Relaxed);
        self.used.fetch_add(changed.bytes, AcqRel);
    }
}
