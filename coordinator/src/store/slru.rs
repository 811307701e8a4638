//! One group's keys in one shard, in two orders of use: a key is on probation until it is asked for again,
//! so that a scan of cold keys flushes only what is on probation.

use crate::store::{
    alloc_size,
    expiry_queue::Due,
    purge_index::{Mark, Marks, tags},
    slot::Slot,
};
use lru::LruCache;
use meshcache_protocol::Hash;
use std::hash::{BuildHasherDefault, Hasher};

type Order = LruCache<Hash, Slot, BuildHasherDefault<High>>;

/// One group's part of one shard.
pub(super) struct Segments {
    probation: Order,
    protected: Order,
    /// What is in `protected`, bytes.
    pub(super) protected_bytes: u64,
    peak: [usize; 2],
    marks: Marks,
}

impl Default for Segments {
    fn default() -> Self {
        let order = || LruCache::unbounded_with_hasher(BuildHasherDefault::default());
        Self { probation: order(), protected: order(), protected_bytes: 0, peak: [0; 2], marks: Marks::default() }
    }
}

impl Segments {
    pub(super) fn len(&self) -> usize {
        self.probation.len() + self.protected.len()
    }

    /// The slot of a key, without asking for it.
    pub(super) fn peek(&self, hash: Hash) -> Option<&Slot> {
        self.protected.peek(&hash).or_else(|| self.probation.peek(&hash))
    }

    /// The slot of a key that is asked for. The second time it is protected, and while there is more protected than
    /// `room` the one least lately used goes back on probation.
    pub(super) fn ask(&mut self, hash: Hash, room: u64) -> Option<&mut Slot> {
        if self.probation.contains(&hash) {
            let slot = self.probation.pop(&hash)?;
            self.protected_bytes += slot.bytes();
            self.protected.put(hash, slot);
            while self.protected_bytes > room && self.protected.len() > 1 {
                let Some((hash, slot)) = self.protected.pop_lru() else { break };
                self.protected_bytes = self.protected_bytes.saturating_sub(slot.bytes());
                self.probation.put(hash, slot);
            }
            self.note_peaks();
        }
        self.protected.get_mut(&hash)
    }

    /// Changes a slot where it is; its bytes may change.
    pub(super) fn change<T>(&mut self, hash: Hash, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let marks = &mut self.marks;
        let marked = |slot: &mut Slot| {
            let before = tags(slot);
            let result = change(slot);
            let after = tags(slot);
            marks.change(hash, &before, &after);
            result
        };
        if let Some(slot) = self.protected.peek_mut(&hash) {
            let before = slot.bytes();
            let result = marked(slot);
            self.protected_bytes = self.protected_bytes.saturating_sub(before) + slot.bytes();
            return Some(result);
        }
        self.probation.peek_mut(&hash).map(marked)
    }

    /// The keys under a mark.
    pub(super) fn marked(&self, mark: Mark) -> impl Iterator<Item = Hash> {
        self.marks.find(mark)
    }

    /// A new slot, on probation.
    pub(super) fn insert(&mut self, hash: Hash, slot: Slot) {
        self.marks.add(hash, &slot);
        self.probation.put(hash, slot);
        self.note_peaks();
    }

    /// A new slot from elsewhere, that was asked for so long ago: where `warm`, it is protected, if there is room for
    /// it; and it goes before all that were asked for later.
    pub(super) fn insert_used(&mut self, hash: Hash, slot: Slot, warm: bool, room: u64) {
        self.marks.add(hash, &slot);
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

    /// Whether a key has been asked for more than once.
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
        self.marks.remove(hash, &slot);
        Some(slot)
    }

    /// The key that has to go first, with its place in that order: on probation before protected, then by when it was
    /// last asked for.
    pub(super) fn first_out(&self) -> Option<(Hash, (bool, u64))> {
        let first = |order: &Order, protected| order.peek_lru().map(|(hash, slot)| (*hash, (protected, slot.touched)));
        first(&self.probation, false).or_else(|| first(&self.protected, true))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Hash, &Slot)> {
        self.probation.iter().chain(self.protected.iter())
    }

    /// All slots, and whether each was asked for more than once.
    pub(super) fn iter_warm(&self) -> impl Iterator<Item = (&Hash, &Slot, bool)> {
        let with = |warm| move |(hash, slot)| (hash, slot, warm);
        self.probation.iter().map(with(false)).chain(self.protected.iter().map(with(true)))
    }

    /// Whether the shard's deadlines have a key under this one.
    pub(super) fn has(&self, due: &Due) -> bool {
        self.peek(due.hash()).is_some_and(|slot| slot.tick == due.tick)
    }

    /// The bytes that its two tables and its marks take.
    pub(super) fn tables(&self) -> u64 {
        let slot = 2 * size_of::<usize>();
        self.peak.iter().map(|held| alloc_size::table(*held, slot)).sum::<u64>() + self.marks.bytes()
    }

    /// Gives back tables that have become far too large: they never shrink by themselves.
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

/// The key's own hash is good enough for a table: its high half is taken as it is.
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
