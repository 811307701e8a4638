//! A part of the hot cache, behind one lock: entries in the order in which they make room.

use crate::state::{hot_cache::Variant, side::Side};
use lru::LruCache;
use meshcache_protocol::{FrequencySketch, Key, key::KeyRef};
use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

/// The most variants of one key. The oldest makes room.
const MAX_VARIANTS: usize = 16;
/// The bytes of an entry beside its key and variants: its place in the table and in the order, allocations.
const ENTRY_OVERHEAD: usize = 256;
/// The most entries that are passed over at once because they were asked for.
const MAX_PASSED_OVER: usize = 64;

/// Entries by hash.
pub(super) struct Shard {
    /// The first to make room is the one that was stored, or passed over, longest ago. A look-up leaves a mark and the
    /// order as it is, so it changes nothing that other threads read.
    entries: LruCache<SidedHash, Entry, BuildHasherDefault<PassthroughHasher>>,
}

struct Entry {
    side: Side,
    key: Key,
    variants: Vec<Arc<Variant>>,
    bytes: usize,
}

/// What became of the entry that is the first to make room.
pub(super) enum Evicted {
    /// It is gone, with its bytes.
    Bytes(usize),
    /// It is asked for as often as the one that needs room.
    Refused,
    /// There is none.
    Empty,
}

/// The bytes of an entry with variants of this many bytes.
pub(super) fn weight(key: &Key, variants: usize) -> usize {
    variants.saturating_add(key.bytes().len()).saturating_add(ENTRY_OVERHEAD)
}

impl Default for Shard {
    fn default() -> Self {
        Self { entries: LruCache::unbounded_with_hasher(BuildHasherDefault::default()) }
    }
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The most recent response that fits (RFC 9111 section 4.1).
    pub(super) fn look_up(
        &self,
        hash: SidedHash,
        side: Side,
        key: KeyRef<'_>,
        fits: impl Fn(&Variant) -> bool,
    ) -> Option<Arc<Variant>> {
        let entry = self.entries.peek(&hash).filter(|entry| entry.is_of(side, key))?;
        let found = entry.variants.iter().rfind(|variant| fits(variant))?;
        found.note_use();
        Some(found.clone())
    }

    /// Drops the variants in whose place one is to be stored, and those that are over. Returns their bytes. `None`:
    /// another key has this place.
    pub(super) fn replace(
        &mut self,
        hash: SidedHash,
        side: Side,
        key: &Key,
        variant: &Variant,
        now: u64,
    ) -> Option<usize> {
        let Some(entry) = self.entries.peek_mut(&hash) else { return Some(0) };
        if !entry.is_of(side, key.by_ref()) {
            return None;
        }
        let before = entry.bytes;
        entry.variants.retain(|old| {
            let stays = old.last_use() > now && old.rules == variant.rules && old.selecting != variant.selecting;
            if !stays {
                old.note_later();
            }
            stays
        });
        if entry.variants.len() >= MAX_VARIANTS {
            entry.variants.drain(..1).for_each(|oldest| oldest.note_later());
        }
        entry.weigh();
        Some(before.saturating_sub(entry.bytes))
    }

    /// Stores a variant. Returns the bytes that this adds.
    pub(super) fn insert(&mut self, hash: SidedHash, side: Side, key: &Key, variant: Variant) -> usize {
        let new = || Entry { side, key: key.clone(), variants: Vec::new(), bytes: 0 };
        let entry = self.entries.get_or_insert_mut(hash, new);
        let before = entry.bytes;
        entry.variants.iter().for_each(|earlier| earlier.note_later());
        entry.variants.push(Arc::new(variant));
        entry.weigh();
        entry.bytes.saturating_sub(before)
    }

    /// Drops the first entry to make room, unless it is asked for as often as the candidate. Those that were asked for
    /// since they had their turn are passed over.
    pub(super) fn evict(&mut self, candidate: SidedHash, sketch: &FrequencySketch, now: u64) -> Evicted {
        for _ in 0..MAX_PASSED_OVER {
            match self.entries.peek_lru() {
                Some((hash, entry)) if *hash != candidate && !entry.is_over(now) && entry.is_asked_for() => {
                    let hash = *hash;
                    entry.variants.iter().for_each(|variant| variant.forget_use());
                    self.entries.promote(&hash);
                }
                _ => break,
            }
        }
        match self.entries.peek_lru() {
            None => Evicted::Empty,
            Some((hash, _)) if *hash == candidate => Evicted::Refused,
            Some((hash, entry)) if entry.is_over(now) || sketch.estimate(hash.0) < sketch.estimate(candidate.0) => {
                self.pop().map_or(Evicted::Empty, Evicted::Bytes)
            }
            Some(_) => Evicted::Refused,
        }
    }

    /// The hashes of the keys that match.
    pub(super) fn matching(&self, matches: impl Fn(&Key) -> bool) -> Vec<SidedHash> {
        self.entries.iter().filter(|(_, entry)| matches(&entry.key)).map(|(hash, _)| *hash).collect()
    }

    /// Removes the entry of a hash. Returns its bytes.
    pub(super) fn remove(&mut self, hash: SidedHash) -> usize {
        self.entries.pop(&hash).map_or(0, |entry| entry.bytes)
    }

    /// Removes the first entry to make room. Returns its bytes.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.entries.pop_lru().map(|(_, entry)| entry.bytes)
    }

    /// Removes everything. Returns its bytes.
    pub(super) fn clear(&mut self) -> usize {
        let bytes = self.entries.iter().map(|(_, entry)| entry.bytes).sum();
        self.entries.clear();
        bytes
    }

    /// Returns whether the first entry to make room is of no use any longer.
    pub(super) fn has_expired(&self, now: u64) -> bool {
        self.entries.peek_lru().is_some_and(|(_, entry)| entry.is_useless(now))
    }

    /// Removes that entry. Returns its bytes.
    pub(super) fn expire(&mut self, now: u64) -> usize {
        if self.has_expired(now) { self.pop().unwrap_or(0) } else { 0 }
    }

    /// The bytes of all entries, counted anew.
    #[cfg(test)]
    pub(super) fn weighed(&self) -> usize {
        let of = |entry: &Entry| weight(&entry.key, entry.variants.iter().map(|variant| variant.bytes()).sum());
        self.entries.iter().map(|(_, entry)| of(entry)).sum()
    }
}

impl Drop for Entry {
    /// Another thread may be giving a variant. Nobody gives it again.
    fn drop(&mut self) {
        self.variants.iter().for_each(|variant| variant.note_later());
    }
}

impl Entry {
    fn is_of(&self, side: Side, key: KeyRef<'_>) -> bool {
        self.side == side && key.is(&self.key)
    }

    fn is_asked_for(&self) -> bool {
        self.variants.iter().any(|variant| variant.is_asked_for())
    }

    fn is_over(&self, now: u64) -> bool {
        self.variants.iter().all(|variant| variant.until <= now)
    }

    fn is_useless(&self, now: u64) -> bool {
        self.variants.iter().all(|variant| variant.last_use() <= now)
    }

    fn weigh(&mut self) {
        self.bytes = weight(&self.key, self.variants.iter().map(|variant| variant.bytes()).sum());
    }
}

/// A key's hash, different on each side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidedHash(pub(super) u128);

impl SidedHash {
    pub(super) fn of(side: Side, key: KeyRef<'_>) -> Self {
        Self::on(side, key.hash())
    }

    pub(super) fn on(side: Side, hash: meshcache_protocol::Hash) -> Self {
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
pub(super) struct PassthroughHasher(u64);

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
