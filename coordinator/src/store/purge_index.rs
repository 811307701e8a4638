//! By what purges find keys without looking at all of them: each key's path, and the tags of what is stored under it.

use crate::store::slot::Slot;
use meshcache_protocol::{Hash, Key};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// A tag or a path, hashed. Two may share a mark: whoever finds a key by it still has to look whether it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexTerm(u64);

impl IndexTerm {
    /// The mark of a tag.
    pub(crate) fn tag(word: &[u8]) -> Self {
        Self(Hash::of(word).low())
    }

    /// The mark of a path.
    pub(crate) fn path(path: &str) -> Self {
        // The other half: a path is no tag.
        Self(Hash::of(path.as_bytes()).high())
    }

    fn of_path(key: &Key) -> Option<Self> {
        key.parts().map(|parts| Self::path(parts.path))
    }
}

/// What a node of the tree takes for each pair: 11 places of 24 bytes and a head, two thirds full on the average, and
/// the nodes above.
const BYTES_EACH: u64 = 50;

/// Which keys have which mark, of one group in one shard. In one tree, since most paths have one key and many tags have
/// few.
#[derive(Default)]
pub(super) struct PurgeIndex(BTreeSet<(IndexTerm, u64, u64)>);

/// The marks of a slot's tags: mostly none.
pub(super) type Terms = SmallVec<[IndexTerm; 8]>;

impl PurgeIndex {
    /// A slot has come.
    pub(super) fn add(&mut self, hash: Hash, slot: &Slot) {
        for term in IndexTerm::of_path(&slot.key).into_iter().chain(tag_terms(slot)) {
            self.0.insert(pair(term, hash));
        }
    }

    /// A slot has gone.
    pub(super) fn remove(&mut self, hash: Hash, slot: &Slot) {
        for term in IndexTerm::of_path(&slot.key).into_iter().chain(tag_terms(slot)) {
            self.0.remove(&pair(term, hash));
        }
    }

    /// A slot's tags have changed.
    pub(super) fn change(&mut self, hash: Hash, before: &Terms, after: &Terms) {
        before.iter().filter(|term| !after.contains(term)).for_each(|term| {
            self.0.remove(&pair(*term, hash));
        });
        after.iter().filter(|term| !before.contains(term)).for_each(|term| {
            self.0.insert(pair(*term, hash));
        });
    }

    /// The keys with a mark.
    pub(super) fn find(&self, term: IndexTerm) -> impl Iterator<Item = Hash> {
        self.0
            .range((term, 0, 0)..=(term, u64::MAX, u64::MAX))
            .map(|(_, high, low)| Hash((u128::from(*high) << 64) | u128::from(*low)))
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64 * BYTES_EACH
    }
}

fn pair(term: IndexTerm, hash: Hash) -> (IndexTerm, u64, u64) {
    (term, hash.high(), hash.low())
}

/// The marks of the tags of all variants.
pub(super) fn tag_terms(slot: &Slot) -> Terms {
    let mut tags: Terms = slot.variants.iter().flat_map(|entry| entry.tag_words()).map(IndexTerm::tag).collect();
    if tags.len() > 1 {
        tags.sort_unstable();
        tags.dedup();
    }
    tags
}
