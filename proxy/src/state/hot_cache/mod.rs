//! The hot cache: responses in the proxy's own memory, bounded in bytes, for the keys that are asked for most.
//!
//! Threads share it. A look-up reads: it takes a shard's lock together with others, and returns the response by reference
//! count, so that nothing is locked while it is given. What is stored, purged or evicted changes one shard at a time.

mod shard;
mod variant;

pub use shard::SidedHash as Place;
pub use variant::{StampedHead, Variant};

use crate::state::{
    lock::{Padded, read, write},
    purge::PurgeMatcher,
    side::Side,
};
use meshcache_protocol::{FrequencySketch, Key, Request, key::KeyRef};
use shard::{Evicted, Shard, SidedHash};
use std::sync::{
    Arc, RwLock, RwLockReadGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// One response takes at most this fraction of the whole.
const MAX_FRACTION: usize = 4;
/// The counters of the sketch that estimates how often keys are asked for, in each of its rows.
const SKETCH_WIDTH: usize = 8192;
/// The most entries of a shard that one call of [`HotCache::expire`] frees.
const EXPIRE_BATCH: usize = 256;
/// The shards, where more threads than one use them.
const SHARDS: usize = 16;

/// Responses by key. One that was not asked for lately makes room, but only for one that is asked for more often.
pub struct HotCache {
    shards: Box<[Padded<RwLock<Shard>>]>,
    sketch: FrequencySketch,
    bytes: AtomicUsize,
    capacity: AtomicUsize,
    /// The look-ups that had to wait for a lock.
    waits: AtomicU64,
}

impl HotCache {
    /// An empty hot cache of this many bytes, for this many threads. 0 bytes: it stores nothing.
    pub fn new(capacity: usize, threads: usize) -> Self {
        let shards = if threads > 1 { SHARDS } else { 1 };
        Self {
            shards: (0..shards).map(|_| Padded::default()).collect(),
            sketch: FrequencySketch::new(SKETCH_WIDTH, 10 * SKETCH_WIDTH),
            bytes: AtomicUsize::new(0),
            capacity: AtomicUsize::new(capacity),
            waits: AtomicU64::new(0),
        }
    }

    /// Returns the most bytes that one response may take.
    pub fn largest(&self) -> usize {
        self.capacity.load(Relaxed) / MAX_FRACTION
    }

    /// Changes the capacity and drops what exceeds it.
    pub fn resize(&self, capacity: usize) {
        self.capacity.store(capacity, Relaxed);
        for shard in &self.shards {
            while self.bytes() > capacity
                && let Some(bytes) = write(&shard.0).pop()
            {
                self.release(bytes);
            }
        }
    }

    /// Returns the bytes in use, with bookkeeping.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(&shard.0, &self.waits).len()).sum()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many look-ups had to wait for a lock since this was called last.
    pub fn take_waits(&self) -> u64 {
        self.waits.swap(0, Relaxed)
    }

    /// Looks for a response to this request under these rules, and records that its key was asked for.
    pub fn look_up(
        &self,
        side: Side,
        key: KeyRef<'_>,
        rules: &str,
        request: &Request<'_>,
        now: u64,
    ) -> Option<Arc<Variant>> {
        if self.capacity.load(Relaxed) == 0 {
            return None;
        }
        let hash = SidedHash::of(side, key);
        self.sketch.record(hash.0);
        self.read(hash)?.look_up(hash, side, key, |variant| {
            variant.until > now && &*variant.rules == rules && variant.selecting.matches(request)
        })
    }

    /// Returns the place of a key.
    pub fn place_of(side: Side, key: KeyRef<'_>) -> Place {
        SidedHash::of(side, key)
    }

    /// Records that a response was asked for that is here, as [`HotCache::look_up`] does.
    pub fn note_use(&self, place: Place, variant: &Variant) {
        self.sketch.record(place.0);
        variant.note_use();
    }

    /// Finds a response to this request, stale or not, that may replace a service's failure.
    pub fn find_stale(
        &self,
        side: Side,
        key: KeyRef<'_>,
        rules: &str,
        request: &Request<'_>,
        now: u64,
    ) -> Option<Arc<Variant>> {
        let hash = SidedHash::of(side, key);
        self.read(hash)?.look_up(hash, side, key, |variant| {
            variant.stored.if_error > 0
                && variant.last_use() > now
                && &*variant.rules == rules
                && variant.selecting.matches(request)
        })
    }

    /// Stores a response if its key is asked for more often than those which have to make room, and if it is still
    /// current. A purge counts itself, then removes what is here: what was current under the lock is seen by it. Returns
    /// whether it was stored.
    pub fn insert(&self, side: Side, key: &Key, variant: Variant, now: u64, is_current: impl FnOnce() -> bool) -> bool {
        let hash = SidedHash::of(side, key.by_ref());
        let whole = shard::weight(key, variant.bytes());
        if whole > self.largest() || variant.until <= now {
            return false;
        }
        let Some(shard) = self.shard(hash) else { return false };
        // What it replaces goes first. Another key with an equal hash stays, and this one is not stored.
        let Some(freed) = write(shard).replace(hash, side, key, &variant, now) else { return false };
        self.release(freed);
        self.bytes.fetch_add(whole, Relaxed);
        let mut added = 0;
        if self.make_room(hash, now) {
            let mut shard = write(shard);
            if is_current() {
                added = shard.insert(hash, side, key, variant);
            }
        }
        self.release(whole.saturating_sub(added));
        added > 0
    }

    /// Removes all keys of a hash, on both sides of the proxy.
    pub fn remove(&self, hash: meshcache_protocol::Hash) {
        for hash in [Side::Inbound, Side::Outbound].map(|side| SidedHash::on(side, hash)) {
            if let Some(shard) = self.shard(hash) {
                self.release(write(shard).remove(hash));
            }
        }
    }

    /// Removes the keys that a purge names.
    pub fn purge(&self, purge: &PurgeMatcher<'_>) {
        for Padded(shard) in &self.shards {
            // Look-ups go on while all keys are compared.
            let matching = read(shard, &self.waits).matching(|key| purge.matches(key));
            matching.into_iter().for_each(|hash| self.release(write(shard).remove(hash)));
        }
    }

    /// Removes everything.
    pub fn clear(&self) {
        for Padded(shard) in &self.shards {
            self.release(write(shard).clear());
        }
    }

    /// Frees expired entries among those that were not asked for lately, a few at a time.
    pub fn expire(&self, now: u64) {
        for Padded(shard) in &self.shards {
            for _ in 0..EXPIRE_BATCH {
                if !read(shard, &self.waits).has_expired(now) {
                    break;
                }
                self.release(write(shard).expire(now));
            }
        }
    }

    /// Makes room until the bytes are within the capacity, by dropping what is stale or asked for less often: in the
    /// candidate's own shard, or in the next that has something. Returns whether there is room.
    fn make_room(&self, candidate: SidedHash, now: u64) -> bool {
        let own = self.place(candidate);
        let shards = self.shards.iter().skip(own).chain(self.shards.iter().take(own));
        for Padded(shard) in shards {
            while self.bytes() > self.capacity.load(Relaxed) {
                match write(shard).evict(candidate, &self.sketch, now) {
                    Evicted::Bytes(bytes) => self.release(bytes),
                    Evicted::Refused => return false,
                    Evicted::Empty => break,
                }
            }
        }
        self.bytes() <= self.capacity.load(Relaxed)
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    fn place(&self, hash: SidedHash) -> usize {
        (hash.0 as usize).checked_rem(self.shards.len()).unwrap_or(0)
    }

    fn shard(&self, hash: SidedHash) -> Option<&RwLock<Shard>> {
        self.shards.get(self.place(hash)).map(|shard| &shard.0)
    }

    fn read(&self, hash: SidedHash) -> Option<RwLockReadGuard<'_, Shard>> {
        self.shard(hash).map(|shard| read(shard, &self.waits))
    }
}

#[cfg(test)]
mod tests;
