//! The hot cache: responses in the worker's own memory, bounded in bytes, for the keys that are asked for most.

mod variant;

pub use variant::Variant;

use crate::state::{listener_config::Side, purge::PurgeMatcher};
use lru::LruCache;
use meshcache_protocol::{FrequencySketch, Key, Request};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The most variants of one key. The oldest makes room.
const MAX_VARIANTS: usize = 16;
/// The bytes of an entry beside its key and variants: its place in the table and in the order, allocations.
const ENTRY_OVERHEAD: usize = 256;
/// One response takes at most this fraction of the whole.
const MAX_FRACTION: usize = 4;
/// The counters in each row of the sketch that estimates how often keys are asked for.
const SKETCH_WIDTH: usize = 8192;
/// The most entries that one call of [`HotCache::expire`] frees.
const EXPIRE_BATCH: usize = 256;

/// Responses by key. The least recently used one makes room, but only for one that is asked for more often.
pub struct HotCache {
    entries: LruCache<SidedHash, Entry, BuildHasherDefault<PassthroughHasher>>,
    sketch: FrequencySketch,
    bytes: usize,
    capacity: usize,
}

struct Entry {
    side: Side,
    key: Key,
    variants: Vec<Variant>,
    bytes: usize,
}

/// Where a response was found. Valid until the hot cache is changed.
#[derive(Clone, Copy, Debug)]
pub struct VariantSlot(SidedHash, usize);

impl HotCache {
    /// An empty hot cache of this many bytes. 0: it stores nothing.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: LruCache::unbounded_with_hasher(BuildHasherDefault::default()),
            sketch: FrequencySketch::new(SKETCH_WIDTH, 10 * SKETCH_WIDTH),
            bytes: 0,
            capacity,
        }
    }

    /// Changes the capacity and drops what exceeds it.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.bytes > self.capacity && self.pop() {}
    }

    /// Returns the bytes in use, with bookkeeping.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks for a response to this request under these rules, and records that its key was asked for.
    pub fn look_up(
        &mut self,
        side: Side,
        key: &Key,
        rules: &str,
        request: &Request<'_>,
        now: u64,
    ) -> Option<VariantSlot> {
        if self.capacity == 0 {
            return None;
        }
        let hash = SidedHash::of(side, key);
        self.sketch.record(hash.0);
        let entry = self.entries.get(&hash).filter(|entry| entry.is_of(side, key))?;
        let fits =
            |variant: &Variant| variant.until > now && &*variant.rules == rules && variant.selecting.matches(request);
        // The most recent of those that fit (RFC 9111 section 4.1).
        entry.variants.iter().rposition(fits).map(|at| VariantSlot(hash, at))
    }

    /// Finds a response to this request, stale or not, that may replace a service's failure.
    pub fn find_stale(&self, side: Side, key: &Key, rules: &str, request: &Request<'_>, now: u64) -> Option<&Variant> {
        let entry = self.entries.peek(&SidedHash::of(side, key)).filter(|entry| entry.is_of(side, key))?;
        let fits = |variant: &&Variant| {
            variant.stored.if_error > 0
                && variant.last_use() > now
                && &*variant.rules == rules
                && variant.selecting.matches(request)
        };
        entry.variants.iter().find(fits)
    }

    /// Returns the response that was found there.
    pub fn get_mut(&mut self, slot: VariantSlot) -> Option<&mut Variant> {
        self.entries.peek_mut(&slot.0)?.variants.get_mut(slot.1)
    }

    /// Stores a response if its key is asked for more often than those which have to make room. Returns whether it was
    /// stored.
    pub fn insert(&mut self, side: Side, key: &Key, variant: Variant, now: u64) -> bool {
        let hash = SidedHash::of(side, key);
        let more = variant.bytes();
        let whole = more.saturating_add(key.bytes().len()).saturating_add(ENTRY_OVERHEAD);
        if whole > self.capacity / MAX_FRACTION || variant.until <= now {
            return false;
        }
        // What it replaces goes first. Another key with an equal hash stays, and this one is not stored.
        let mut freed = 0usize;
        if let Some(entry) = self.entries.get_mut(&hash) {
            if !entry.is_of(side, key) {
                return false;
            }
            let before = entry.bytes;
            entry
                .variants
                .retain(|old| old.last_use() > now && old.rules == variant.rules && old.selecting != variant.selecting);
            if entry.variants.len() >= MAX_VARIANTS {
                entry.variants.drain(..1);
            }
            entry.weigh();
            freed = before.saturating_sub(entry.bytes);
        }
        self.bytes = self.bytes.saturating_sub(freed);
        if !self.make_room(whole, hash, now) {
            return false;
        }
        let entry =
            self.entries.get_or_insert_mut(hash, || Entry { side, key: key.clone(), variants: Vec::new(), bytes: 0 });
        let before = entry.bytes;
        entry.variants.push(variant);
        entry.weigh();
        self.bytes = self.bytes.saturating_add(entry.bytes).saturating_sub(before);
        true
    }

    /// Removes all keys of a hash, on both sides of the proxy.
    pub fn remove(&mut self, hash: meshcache_protocol::Hash) {
        for side in [Side::Inbound, Side::Outbound] {
            self.pop_hash(SidedHash::on(side, hash));
        }
    }

    /// Removes the keys that a purge names.
    pub fn purge(&mut self, purge: &PurgeMatcher<'_>) {
        let matching: Vec<SidedHash> =
            self.entries.iter().filter(|(_, entry)| purge.matches(&entry.key)).map(|(hash, _)| *hash).collect();
        matching.into_iter().for_each(|hash| self.pop_hash(hash));
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Frees expired entries among the least recently used, a few at a time.
    pub fn expire(&mut self, now: u64) {
        for _ in 0..EXPIRE_BATCH {
            if !self.entries.peek_lru().is_some_and(|(_, entry)| entry.is_useless(now)) {
                return;
            }
            self.pop();
        }
    }

    /// Makes room for this many bytes by dropping what is stale or asked for less often. Returns whether there is room.
    fn make_room(&mut self, bytes: usize, candidate: SidedHash, now: u64) -> bool {
        let frequency = self.sketch.estimate(candidate.0);
        while self.bytes.saturating_add(bytes) > self.capacity {
            let goes = match self.entries.peek_lru() {
                Some((hash, _)) if *hash == candidate => false,
                Some((hash, entry)) => entry.is_over(now) || self.sketch.estimate(hash.0) < frequency,
                None => false,
            };
            if !goes || !self.pop() {
                return false;
            }
        }
        true
    }

    fn pop(&mut self) -> bool {
        match self.entries.pop_lru() {
            Some((_, entry)) => {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                true
            }
            None => false,
        }
    }

    fn pop_hash(&mut self, hash: SidedHash) {
        if let Some(entry) = self.entries.pop(&hash) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

impl Entry {
    fn is_of(&self, side: Side, key: &Key) -> bool {
        self.side == side && self.key == *key
    }

    fn is_over(&self, now: u64) -> bool {
        self.variants.iter().all(|variant| variant.until <= now)
    }

    fn is_useless(&self, now: u64) -> bool {
        self.variants.iter().all(|variant| variant.last_use() <= now)
    }

    fn weigh(&mut self) {
        let variants: usize = self.variants.iter().map(Variant::bytes).sum();
        self.bytes = variants.saturating_add(self.key.bytes().len()).saturating_add(ENTRY_OVERHEAD);
    }
}

/// A key's hash, different on each side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SidedHash(u128);

impl SidedHash {
    fn of(side: Side, key: &Key) -> Self {
        Self::on(side, key.hash())
    }

    fn on(side: Side, hash: meshcache_protocol::Hash) -> Self {
        let other = if side == Side::Inbound { u128::MAX / 3 } else { 0 };
        Self(hash.0 ^ other)
    }
}

impl Hash for SidedHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64((self.0 >> 64) as u64);
    }
}

/// Passes half of a [`SidedHash`] through, since it is a hash already.
#[derive(Default)]
struct PassthroughHasher(u64);

impl Hasher for PassthroughHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[cfg(test)]
mod tests;
