//! The store: responses by key, within a limit that counts every byte, freed when they are of no more use.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

mod alloc_size;
mod entry;
mod expiry_queue;
mod purge;
mod purge_guard;
mod purge_index;
pub(crate) mod purge_matcher;
mod quota;
mod shard;
mod slot;
mod slru;
#[cfg(test)]
mod tests;
mod tombstones;
pub mod usage;

pub(crate) use entry::{Entry, Parts, with_fields};
pub(crate) use purge::{Fate, Where};
pub(crate) use purge_guard::{Load, Meant};
pub(crate) use purge_index::Mark;
pub(crate) use quota::Share;
pub(crate) use shard::{Place, Used};
#[cfg(test)]
pub(crate) use tests::fresh;

use crate::store::usage::{Purged, Usage};
use meshcache_protocol::{Hash, Key, purge::Position};
use parking_lot::{Mutex, RwLock};
use purge_guard::UnderWay;
use shard::{Changed, Shard};
use slot::Slot;
use std::sync::{
    Arc,
    atomic::{
        AtomicI64, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};
use tombstones::Gone;

/// Locks: enough that cores seldom meet at one.
const SHARDS: usize = 16;
/// Of a share, the part whose keys have been asked for twice and are safe from a scan.
const PROTECTED: u64 = 80;
/// Keys that are expired under one lock before others have their turn.
const BATCH: usize = 256;

/// The store.
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    limit: u64,
    used: AtomicI64,
    shares: RwLock<Vec<Arc<Share>>>,
    hand: AtomicUsize,
    under_way: Arc<UnderWay>,
    gone: Gone,
}

impl Store {
    /// An empty store that takes at most so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            shards,
            limit,
            used: AtomicI64::new(0),
            shares: RwLock::default(),
            hand: AtomicUsize::new(0),
            under_way: Arc::default(),
            gone: Gone::default(),
        }
    }

    /// What it may take.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// What it takes, bookkeeping included.
    pub(crate) fn used(&self) -> u64 {
        u64::try_from(self.used.load(Relaxed)).unwrap_or_default()
    }

    /// The shares of these groups and limits. What a group had that is not among them is freed.
    pub(crate) fn shares(&self, groups: &[(&str, u64)]) -> Vec<Arc<Share>> {
        let mut all = self.shares.write();
        let gone: Vec<u32> = all
            .iter()
            .filter(|share| groups.iter().all(|(name, _)| *name != share.name))
            .map(|share| share.id)
            .collect();
        for share in gone {
            self.remove_share(share, &all);
        }
        let share = |(name, limit): &(&str, u64)| {
            let limit = (*limit).min(self.limit);
            if let Some(share) = all.iter().find(|share| share.name == *name) {
                share.set_limit(limit);
                return share.clone();
            }
            let share = Arc::new(Share::new(u32::try_from(all.len()).unwrap_or(u32::MAX), name, limit));
            all.push(share.clone());
            share
        };
        groups.iter().map(share).collect()
    }

    /// The newest variant of a key that fits, if it is still of use.
    pub(crate) fn get(&self, share: &Share, key: &Key, now: u64, fits: impl Fn(&Entry) -> bool) -> Option<Arc<Entry>> {
        share.gets.fetch_add(1, Relaxed);
        let found = self.shard(key.hash()).lock().ask(share.id, key, now, protected_room(share), fits);
        if found.is_some() {
            share.hits.fetch_add(1, Relaxed);
        }
        found
    }

    /// Begins a load, after these purges: called before its request is sent.
    pub(crate) fn begin(&self, key: Key, position: Arc<Position>) -> Load {
        self.under_way.begin(key, position)
    }

    /// Keeps out of the store what is being loaded now, as a purge means it.
    pub(crate) fn keep_out(&self, meant: impl Fn(&Key) -> Meant) {
        self.under_way.purge(meant);
    }

    /// All that is stored under a key and of use, without asking for it: its variants, and how it was used.
    pub(crate) fn peek(&self, share: &Share, key: &Key, now: u64) -> Option<(Vec<Arc<Entry>>, Used)> {
        self.look(share.id, key.hash(), now).filter(|(held, ..)| held == key).map(|(_, entries, used)| (entries, used))
    }

    /// The places of all keys, the most used first.
    pub(crate) fn by_use(&self) -> Vec<Place> {
        let mut places: Vec<Place> =
            self.shards.iter().flat_map(|shard| shard.lock().places().collect::<Vec<_>>()).collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        places
    }

    /// What is in a place, if it is still there and of use.
    pub(crate) fn at(&self, place: &Place, now: u64) -> Option<(Key, Vec<Arc<Entry>>, Used)> {
        self.look(place.share, place.hash, now)
    }

    fn look(&self, share: u32, hash: Hash, now: u64) -> Option<(Key, Vec<Arc<Entry>>, Used)> {
        let shard = self.shard(hash).lock();
        let (slot, warm) = shard.peek(share, hash)?;
        let entries: Vec<_> = slot.variants.iter().filter(|entry| entry.deadline() > now).cloned().collect();
        (!entries.is_empty()).then(|| (slot.key.clone(), entries, Used { warm, touched: slot.touched }))
    }

    /// Stores what a load brought. Not if a purge has named its key since it began, and not if it would not fit.
    pub(crate) fn put(&self, share: &Share, load: &Load, entry: Arc<Entry>, now: u64) -> bool {
        self.put_as(share, load, entry, now, None)
    }

    /// Stores what comes from another store, where it was used so. Nothing that was used more goes for it.
    pub(crate) fn put_used(&self, share: &Share, load: &Load, entry: Arc<Entry>, now: u64, used: Used) -> bool {
        self.put_as(share, load, entry, now, Some(used))
    }

    fn put_as(&self, share: &Share, load: &Load, entry: Arc<Entry>, now: u64, used: Option<Used>) -> bool {
        self.under_way.store(load, &entry.clone(), || {
            let bytes = entry.bytes() + Slot::bare(load.key());
            if bytes > share.limit() || !self.make_room(share, bytes, now, used) {
                return false;
            }
            let mut shard = self.shard(load.key().hash()).lock();
            let changed = shard.put(share.id, load.key(), entry, now, used.map(|used| (used, protected_room(share))));
            let overhead = shard.overhead_change();
            drop(shard);
            self.account(share, &changed);
            self.used.fetch_add(overhead, AcqRel);
            true
        })
    }

    /// Frees one key, whose responses are true no more: what is being loaded of it is kept out.
    pub(crate) fn remove(&self, share: &Share, key: Hash, now: u64) -> Purged {
        self.note_gone(key, now);
        self.under_way.purge(|loading| if loading.hash() == key { Meant::Yes } else { Meant::No });
        let slot = self.shard(key).lock().remove(share.id, key);
        slot.map_or_else(Purged::default, |slot| self.freed(share, &slot))
    }

    /// Frees those variants of a key that are named: another answer has taken their place, and it is not stored.
    pub(crate) fn remove_variants(&self, share: &Share, key: &Key, is_named: impl Fn(&Entry) -> bool) {
        let mut shard = self.shard(key.hash()).lock();
        let changed = shard.remove_variants(share.id, key, is_named);
        let overhead = shard.overhead_change();
        drop(shard);
        self.used.fetch_add(overhead, AcqRel);
        if let Some(changed) = changed {
            self.account(share, &changed);
        }
    }

    /// Remembers that what arrived up to now is true no more: of a key, or of whatever has this hash. Before loads are
    /// kept out, so that one that has begun after that finds it.
    pub(crate) fn note_gone(&self, what: Hash, now: u64) {
        self.gone.note(what, now);
    }

    /// Whether that was noted no earlier than this arrived.
    pub(crate) fn is_gone(&self, what: Hash, arrived: u64) -> bool {
        self.gone.covers(what, arrived)
    }

    /// Frees what is due in one shard, a batch at a time; whether there may be more.
    pub(crate) fn expire(&self, shard: usize, now: u64) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        let mut shard = shard.lock();
        let (seen, changes) = shard.expire(now, BATCH);
        let overhead = shard.overhead_change();
        drop(shard);
        self.used.fetch_add(overhead, AcqRel);
        let shares = self.shares.read();
        for (id, changed) in changes {
            let Some(share) = shares.get(id as usize) else { continue };
            share.evictions.fetch_add(changed.items.unsigned_abs(), Relaxed);
            self.account(share, &changed);
        }
        seen == BATCH
    }

    /// How many parts [`Store::expire`] has.
    pub(crate) const fn parts(&self) -> usize {
        SHARDS
    }

    /// What each group has.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let of = |share: &Arc<Share>| Usage {
            group: share.name.clone(),
            bytes: share.used.load(Relaxed),
            items: share.items.load(Relaxed),
            gets: share.gets.load(Relaxed),
            hits: share.hits.load(Relaxed),
            evictions: share.evictions.load(Relaxed),
            evictions_nonexpired: share.evictions_nonexpired.load(Relaxed),
        };
        self.shares.read().iter().map(of).collect()
    }

    fn shard(&self, hash: Hash) -> &Mutex<Shard> {
        // Neither the bits that the ring weighs nor those that a shard's tables begin with.
        let at = (hash.high() >> 40) as usize % SHARDS;
        &self.shards[at]
    }

    /// Evicts until so many bytes fit: first of the group itself where it is at its limit, then of all.
    /// A hand goes round the shards, so that together they are in the order of use.
    fn make_room(&self, share: &Share, bytes: u64, now: u64, used: Option<Used>) -> bool {
        let mut misses = 0;
        loop {
            let own = share.used.load(Relaxed) + bytes > share.limit();
            if !own && self.used() + bytes <= self.limit {
                return true;
            }
            let at = self.hand.fetch_add(1, Relaxed) % SHARDS;
            let Some((id, slot)) =
                self.shards.get(at).and_then(|shard| shard.lock().evict(own.then_some(share.id), used))
            else {
                misses += 1;
                // Nothing left to evict anywhere: it cannot fit.
                if misses > 2 * SHARDS {
                    return false;
                }
                continue;
            };
            misses = 0;
            let of = self.shares.read().get(id as usize).cloned();
            if let Some(of) = of {
                let freed = self.freed(&of, &slot);
                of.evictions.fetch_add(freed.entries, Relaxed);
                of.evictions_nonexpired
                    .fetch_add(slot.variants.iter().filter(|entry| entry.deadline() > now).count() as u64, Relaxed);
            }
        }
    }

    fn remove_share(&self, id: u32, shares: &[Arc<Share>]) {
        let Some(share) = shares.get(id as usize) else { return };
        for shard in &self.shards {
            loop {
                let Some((_, slot)) = shard.lock().evict(Some(id), None) else { break };
                self.freed(share, &slot);
            }
        }
    }

    fn freed(&self, share: &Share, slot: &Slot) -> Purged {
        let purged = Purged { entries: slot.variants.len() as u64, bytes: slot.bytes() };
        share.used.fetch_sub(purged.bytes, Relaxed);
        share.items.fetch_sub(purged.entries, Relaxed);
        self.used.fetch_sub(purged.bytes as i64, AcqRel);
        purged
    }

    fn account(&self, share: &Share, changed: &Changed) {
        // Two's complement: adding a negative number as an unsigned one subtracts.
        share.used.fetch_add(changed.bytes as u64, Relaxed);
        share.items.fetch_add(changed.items as u64, Relaxed);
        self.used.fetch_add(changed.bytes, AcqRel);
    }
}

/// Of a group's share, what each shard protects.
fn protected_room(share: &Share) -> u64 {
    share.limit() / 100 * PROTECTED / SHARDS as u64
}
