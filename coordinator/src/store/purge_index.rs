//! By what purges find keys without looking at all of them: each key's path, and the tags of what is stored under it.

use crate::store::slot::Slot;
use meshcache_protocol::{Hash, Key};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// A tag or a path, hashed. Two may share a mark: whoever finds a key by it still has to look whether it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

impl Mark {
    /// The mark of a tag.
    pub(crate) fn tag(word: &[u8]) -> Self {
        Self(Hash::of(word).low())
    }

    /// The mark of a path.
    pub(crate) fn path(path: &str) -> Self {
        // The other half: a path is no tag.
        Self(Hash::of(path.as_bytes()).high())
    }

    fn of_key(key: &Key) -> Option<Self> {
        key.parts().map(|parts| Self::path(parts.path))
    }
}

/// What a node of the tree takes for each pair: 11 places of 24 bytes and a head, two thirds full on the average, and
/// the nodes above.
const PAIR: u64 = 50;

/// Which keys have which mark, of one group in one shard. In one tree, since most paths have one key and many tags have
/// few.
#[derive(Default)]
pub(super) struct Marks(BTreeSet<(Mark, u64, u64)>);

/// The marks of a slot's tags: mostly none.
pub(super) type Tags = SmallVec<[Mark; 8]>;

impl Marks {
    /// A slot has come.
    pub(super) fn add(&mut self, hash: Hash, slot: &Slot) {
        for mark in Mark::of_key(&slot.key).into_iter().chain(tags(slot)) {
            self.0.insert(pair(mark, hash));
        }
    }

    /// A slot has gone.
    pub(super) fn remove(&mut self, hash: Hash, slot: &Slot) {
        for mark in Mark::of_key(&slot.key).into_iter().chain(tags(slot)) {
            self.0.remove(&pair(mark, hash));
        }
    }

    /// A slot's tags have changed.
    pub(super) fn change(&mut self, hash: Hash, before: &Tags, after: &Tags) {
        before.iter().filter(|mark| !after.contains(mark)).for_each(|mark| {
            self.0.remove(&pair(*mark, hash));
        });
        after.iter().filter(|mark| !before.contains(mark)).for_each(|mark| {
            self.0.insert(pair(*mark, hash));
        });
    }

    /// The keys with a mark.
    pub(super) fn find(&self, mark: Mark) -> impl Iterator<Item = Hash> {
        self.0
            .range((mark, 0, 0)..=(mark, u64::MAX, u64::MAX))
            .map(|(_, high, low)| Hash((u128::from(*high) << 64) | u128::from(*low)))
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64 * PAIR
    }
}

fn pair(mark: Mark, hash: Hash) -> (Mark, u64, u64) {
    (mark, hash.high(), hash.low())
}

/// The marks of the tags of all variants.
pub(super) fn tags(slot: &Slot) -> Tags {
    let mut tags: Tags = slot.variants.iter().flat_map(|entry| entry.tag_words()).map(Mark::tag).collect();
    if tags.len() > 1 {
        tags.sort_unstable();
        tags.dedup();
    }
    tags
}
