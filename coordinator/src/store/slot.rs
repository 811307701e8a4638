//! The entries of one key, and their size.

use crate::store::{alloc_size::size_class, entry::Entry};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most variants of one key.
pub(super) const MAX_VARIANTS: usize = 16;
/// The most parts (206) among them, so that a client that asks for many ranges does not crowd out whole responses.
pub(super) const MAX_PARTS: usize = 4;
/// The place of a list of variants in its table.
const MANY: u64 = 64;

/// The responses of one key: mostly one.
pub(super) type Variants = SmallVec<[Arc<Entry>; 1]>;

/// The entries of one key, taken out of their table.
pub(super) struct Slot {
    /// The newest first. All have the slot's key.
    pub(super) variants: Variants,
    /// When the key was last used, by the store's clock.
    pub(super) touched: u64,
}

impl Slot {
    /// Returns the bytes that its variants take.
    pub(super) fn bytes(&self) -> u64 {
        bytes_of(&self.variants)
    }
}

/// Returns the bytes that the variants of a key take.
pub(super) fn bytes_of(variants: &[Arc<Entry>]) -> u64 {
    let list = if variants.len() > 1 { size_class(size_of_val(variants)) + MANY } else { 0 };
    list + variants.iter().map(|entry| entry.bytes()).sum::<u64>()
}

/// Returns when the last of them becomes useless.
pub(super) fn deadline_of(variants: &[Arc<Entry>]) -> u64 {
    variants.iter().map(|entry| entry.deadline()).max().unwrap_or_default()
}
