//! A segmented LRU of one group's keys in one shard. A key is on probation until it is used again, so that a scan of
//! cold keys evicts only keys on probation.

use crate::store::{
    alloc_size,
    expiry_queue::Expiry,
    purge_index::{IndexTerm, PurgeIndex, tag_terms},
    slot::Slot,
};
use lru::LruCache;
use meshcache_protocol::Hash;
use std::hash::{BuildHasherDefault, Hasher};

type Order = LruCache<Hash, Slot, BuildHasherDefault<High>>;

/// One group's part of one shard.
pub(super) struct Slru {
    probation: Order,
    protected: Order,
    /// The bytes in `protected`.
    pub(super) protected_bytes: u64,
    /// Reads by [`Shard::read_fresh`](super::Store::read_fresh) that found a value: counted under the lock, they cost
    /// nothing.
    pub(super) fresh_reads: u64,
    peak: [usize; 2],
    index: PurgeIndex,
}

impl Default for Slru {
    fn default() -> Self {
        let order = || LruCache::unbounded_with_hasher(BuildHasherDefault::default());
        Self {
            probation: order(),
            protected: order(),
            protected_bytes: 0,
            fresh_reads: 0,
            peak: [0; 2],
            index: PurgeIndex::default(),
        }
    }
}

impl Slru {
    pub(super) fn len(&self) -> usize {
        self.probation.len() + self.protected.len()
    }

    /// Returns the slot of a key, without counting this as a use.
    pub(super) fn peek(&self, hash: Hash) -> Option<&Slot> {
        self.protected.peek(&hash).or_else(|| self.probation.peek(&hash))
    }

    /// Uses a key, and reads its slot. The second use protects it. While more than `room` bytes are protected, the least
    /// recently used key goes back on probation.
    pub(super) fn get<T>(&mut self, hash: Hash, room: u64, read: impl FnOnce(&mut Slot) -> Option<T>) -> Option<T> {
        // Most uses are of warm keys: one look at one table.
        if let Some(slot) = self.protected.get_mut(&hash) {
            return read(slot);
        }
        let slot = self.probation.pop(&hash)?;
        self.protected_bytes += slot.bytes();
        self.protected.put(hash, slot);
        while self.protected_bytes > room && self.protected.len() > 1 {
            let Some((hash, slot)) = self.protected.pop_lru() else { break };
            self.protected_bytes = self.protected_bytes.saturating_sub(slot.bytes());
            self.probation.put(hash, slot);
        }
        self.note_peaks();
        self.protected.peek_mut(&hash).and_then(read)
    }

    /// Changes a slot in place. Its bytes may change.
    pub(super) fn change<T>(&mut self, hash: Hash, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let index = &mut self.index;
        let changed = |slot: &mut Slot| {
            let before = tag_terms(slot);
            let result = change(slot);
            let after = tag_terms(slot);
            index.change(hash, &before, &after);
            result
        };
        if let Some(slot) = self.protected.peek_mut(&hash) {
            let before = slot.bytes();
            let result = changed(slot);
            self.protected_bytes = self.protected_bytes.saturating_sub(before) + slot.bytes();
            return Some(result);
        }
        self.probation.peek_mut(&hash).map(changed)
    }

    /// Returns the keys of a term.
    pub(super) fn find(&self, term: IndexTerm) -> impl Iterator<Item = Hash> {
        self.index.find(term)
    }

    /// Inserts a slot, on probation.
    pub(super) fn insert(&mut self, hash: Hash, slot: Slot) {
        self.index.add(hash, &slot);
        self.probation.put(hash, slot);
        self.note_peaks();
    }

    /// Inserts a slot from another store. A `warm` one is protected, if there is room. It is evicted before all that
    /// were used later.
    pub(super) fn insert_used(&mut self, hash: Hash, slot: Slot, warm: bool, room: u64) {
        self.index.add(hash, &slot);
        let protected = warm && self.protected_bytes + slot.bytes() <= room;
        let order = if protected {
            self.protected_bytes += slot.bytes();
            &mut self.protected
        } else {
            &mut self.probation
        };
        let goes_first = order.peek_lru().is_some_and(|(_, oldest)| slot.touched < oldest.touched);
        order.put(hash, slot);
        if goes_first {
            order.demote(&hash);
        }
        self.note_peaks();
    }

    /// Returns whether a key was used more than once.
    pub(super) fn is_warm(&self, hash: Hash) -> bool {
        self.protected.contains(&hash)
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, hash: Hash) -> Option<Slot> {
        let slot = match self.probation.pop(&hash) {
            Some(slot) => slot,
            None => {
                let slot = self.protected.pop(&hash)?;
                self.protected_bytes = self.protected_bytes.saturating_sub(slot.bytes());
                slot
            }
        };
        self.index.remove(hash, &slot);
        Some(slot)
    }

    /// Returns the next key to evict, with its rank: on probation before protected, then by its last use.
    pub(super) fn first_out(&self) -> Option<(Hash, (bool, u64))> {
        let first = |order: &Order, protected| order.peek_lru().map(|(hash, slot)| (*hash, (protected, slot.touched)));
        first(&self.probation, false).or_else(|| first(&self.protected, true))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Hash, &Slot)> {
        self.probation.iter().chain(self.protected.iter())
    }

    /// Returns all slots, and whether each was used more than once.
    pub(super) fn iter_warm(&self) -> impl Iterator<Item = (&Hash, &Slot, bool)> {
        let with = |warm| move |(hash, slot)| (hash, slot, warm);
        self.probation.iter().map(with(false)).chain(self.protected.iter().map(with(true)))
    }

    /// Returns whether a deadline in the shard's queue is the current one of its key.
    pub(super) fn has(&self, due: &Expiry) -> bool {
        self.peek(due.hash()).is_some_and(|slot| slot.tick == due.tick)
    }

    /// Returns the bytes of its two tables and its index.
    pub(super) fn overhead(&self) -> u64 {
        let slot = 2 * size_of::<usize>();
        self.peak.iter().map(|held| alloc_size::table_size(*held, slot)).sum::<u64>() + self.index.bytes()
    }

    /// Shrinks tables that have become far too large: they never shrink by themselves.
    pub(super) fn shrink(&mut self) {
        for (order, peak) in [&mut self.probation, &mut self.protected].into_iter().zip(&mut self.peak) {
            if *peak > 1024 && order.len() < *peak / 8 {
                let mut small = LruCache::unbounded_with_hasher(BuildHasherDefault::default());
                while let Some((hash, slot)) = order.pop_lru() {
                    small.put(hash, slot);
                }
                *peak = small.len();
                *order = small;
            }
        }
    }

    fn note_peaks(&mut self) {
        self.peak = [self.peak[0].max(self.probation.len()), self.peak[1].max(self.protected.len())];
    }
}

/// A hasher that takes the high half of a key's hash as it is.
#[derive(Default)]
struct High(u64);

impl Hasher for High {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash >> 64) as u64;
    }
}
