//! The entries of one key, and their size.

use crate::store::{alloc_size, entry::Entry};
use meshcache_protocol::{Hash, Key};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most variants of one key.
pub(super) const MAX_VARIANTS: usize = 16;
/// The most parts (206) among them, so that a client that asks for many ranges does not crowd out whole responses.
pub(super) const MAX_PARTS: usize = 4;

/// The responses of one key: mostly one.
pub(super) type Variants = SmallVec<[Arc<Entry>; 1]>;

/// The entries of one key.
pub(super) struct Slot {
    pub(super) key: Key,
    /// The newest first.
    pub(super) variants: Variants,
    /// When the key was last used, by the store's clock.
    pub(super) touched: u64,
    /// The tick under which it is in the shard's expiry queue.
    pub(super) tick: u32,
}

impl Slot {
    /// Returns the bytes that a slot takes without its variants.
    pub(super) fn bare(key: &Key) -> u64 {
        alloc_size::size_class(size_of::<(Hash, Self)>() + 2 * size_of::<usize>())
            + alloc_size::size_class(key.bytes().len())
    }

    /// Returns the bytes that it takes, its variants included.
    pub(super) fn bytes(&self) -> u64 {
        let spilled = if self.variants.spilled() {
            alloc_size::size_class(self.variants.capacity() * size_of::<usize>())
        } else {
            0
        };
        Self::bare(&self.key) + spilled + self.variants.iter().map(|entry| entry.bytes()).sum::<u64>()
    }

    /// Returns when the last of its variants becomes useless.
    pub(super) fn deadline(&self) -> u64 {
        self.variants.iter().map(|entry| entry.deadline()).max().unwrap_or_default()
    }
}
