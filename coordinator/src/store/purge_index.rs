//! An index for purges, which find keys by path and by tag without a look at all of them.

use crate::store::slot::Slot;
use meshcache_protocol::{Hash, Key};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// A hashed tag or path. Two may have the same hash, so a key that is found still has to be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexTerm(u64);

impl IndexTerm {
    /// Returns the term of a tag.
    pub(crate) fn tag(word: &[u8]) -> Self {
        Self(Hash::of(word).low())
    }

    /// Returns the term of a path.
    pub(crate) fn path(path: &str) -> Self {
        // The other half of the hash: a path is no tag.
        Self(Hash::of(path.as_bytes()).high())
    }

    fn of_path(key: &Key) -> Option<Self> {
        key.parts().map(|parts| Self::path(parts.path))
    }
}

/// The bytes of each pair: a node of the tree has 11 of 24 bytes and a head and is two thirds full on average, plus the
/// nodes above.
const BYTES_EACH: u64 = 50;

/// The keys of each term, of one group in one shard. One tree, since most paths have one key and many tags have few.
#[derive(Default)]
pub(super) struct PurgeIndex(BTreeSet<(IndexTerm, u64, u64)>);

/// The terms of a slot's tags: mostly none.
pub(super) type Terms = SmallVec<[IndexTerm; 8]>;

impl PurgeIndex {
    /// Adds a slot.
    pub(super) fn add(&mut self, hash: Hash, slot: &Slot) {
        for term in IndexTerm::of_path(&slot.key).into_iter().chain(tag_terms(slot)) {
            self.0.insert(pair(term, hash));
        }
    }

    /// Removes a slot.
    pub(super) fn remove(&mut self, hash: Hash, slot: &Slot) {
        for term in IndexTerm::of_path(&slot.key).into_iter().chain(tag_terms(slot)) {
            self.0.remove(&pair(term, hash));
        }
    }

    /// Replaces the tags of a slot.
    pub(super) fn change(&mut self, hash: Hash, before: &Terms, after: &Terms) {
        before.iter().filter(|term| !after.contains(term)).for_each(|term| {
            self.0.remove(&pair(*term, hash));
        });
        after.iter().filter(|term| !before.contains(term)).for_each(|term| {
            self.0.insert(pair(*term, hash));
        });
    }

    /// Returns the keys of a term.
    pub(super) fn find(&self, term: IndexTerm) -> impl Iterator<Item = Hash> {
        self.0
            .range((term, 0, 0)..=(term, u64::MAX, u64::MAX))
            .map(|(_, high, low)| Hash((u128::from(*high) << 64) | u128::from(*low)))
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64 * BYTES_EACH
    }
}

fn pair(term: IndexTerm, hash: Hash) -> (IndexTerm, u64, u64) {
    (term, hash.high(), hash.low())
}

/// Returns the terms of the tags of all variants.
pub(super) fn tag_terms(slot: &Slot) -> Terms {
    let mut tags: Terms = slot.variants.iter().flat_map(|entry| entry.tag_words()).map(IndexTerm::tag).collect();
    if tags.len() > 1 {
        tags.sort_unstable();
        tags.dedup();
    }
    tags
}
