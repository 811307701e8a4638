//! All that is stored under one key, and what it takes.

use crate::store::{alloc_size, entry::Entry};
use meshcache_protocol::{Hash, Key};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most variants that one key has.
pub(super) const VARIANTS: usize = 16;
/// Of them, parts (206) are no more than this: whoever asks for many ranges does not crowd out what is whole.
pub(super) const PARTS: usize = 4;

/// The responses of one key: mostly one.
pub(super) type Variants = SmallVec<[Arc<Entry>; 1]>;

/// All that is stored under one key.
pub(super) struct Slot {
    pub(super) key: Key,
    /// The newest first.
    pub(super) variants: Variants,
    /// When it was last asked for, by the store's clock.
    pub(super) touched: u64,
    /// The tick under which the shard's deadlines have it.
    pub(super) tick: u32,
}

impl Slot {
    /// The bytes that a slot takes without its variants.
    pub(super) fn bare(key: &Key) -> u64 {
        alloc_size::class(size_of::<(Hash, Self)>() + 2 * size_of::<usize>()) + alloc_size::class(key.bytes().len())
    }

    /// The bytes that it takes, its variants included.
    pub(super) fn bytes(&self) -> u64 {
        let spilled =
            if self.variants.spilled() { alloc_size::class(self.variants.capacity() * size_of::<usize>()) } else { 0 };
        Self::bare(&self.key) + spilled + self.variants.iter().map(|entry| entry.bytes()).sum::<u64>()
    }

    /// When the last of its variants is of no use any more.
    pub(super) fn deadline(&self) -> u64 {
        self.variants.iter().map(|entry| entry.deadline()).max().unwrap_or_default()
    }
}
