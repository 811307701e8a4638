//! An index for purges, which find keys by path and by tag without a look at all of them. The first such purge makes it,
//! in steps: what changes meanwhile is noted where it was taken in already.

use crate::store::entry::Entry;
use meshcache_protocol::{Hash, Key};
use smallvec::SmallVec;
use std::{collections::BTreeSet, sync::Arc};

/// A hashed tag or path. Two may have the same hash, so a key that is found still has to be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexTerm(u32);

impl IndexTerm {
    /// Returns the term of a tag.
    pub(crate) fn tag(word: &[u8]) -> Self {
        Self(Hash::of(word).low() as u32)
    }

    /// Returns the term of a path.
    pub(crate) fn path(path: &str) -> Self {
        // The other half of the hash: a path is no tag.
        Self(Hash::of(path.as_bytes()).high() as u32)
    }

    fn of_path(key: &Key) -> Option<Self> {
        key.parts().map(|parts| Self::path(parts.path))
    }
}

/// The bytes of each pair: a node of the tree has 11 of 8 bytes and a head and is two thirds full on average, plus the
/// nodes above.
const BYTES_EACH: u64 = 18;

/// Keys that are taken in under one lock before others have their turn.
const STEP: u32 = 256;

/// The places of each term's keys, of one group in one shard. One tree, since most paths have one key and many tags have
/// few.
#[derive(Default)]
pub(super) struct PurgeIndex {
    pairs: BTreeSet<(IndexTerm, u32)>,
    /// The keys in places below this one are in it.
    next: u32,
}

/// The terms of a key's path and of its variants' tags: mostly one.
pub(super) type Terms = SmallVec<[IndexTerm; 8]>;

impl PurgeIndex {
    /// Takes in the next keys, at most [`STEP`], of `places`. Returns whether it has all: then it stays so.
    pub(super) fn step<'v>(&mut self, places: u32, variants: impl Fn(u32) -> &'v [Arc<Entry>]) -> bool {
        let end = self.next.saturating_add(STEP).min(places);
        let pairs = (self.next..end).flat_map(|at| terms(variants(at)).into_iter().map(move |term| (term, at)));
        self.pairs.extend(pairs);
        self.next = if end == places { u32::MAX } else { end };
        end == places
    }

    /// Returns whether it takes note of the key in a place.
    pub(super) fn has(&self, at: u32) -> bool {
        at < self.next
    }

    /// Replaces the terms of a key.
    pub(super) fn change(&mut self, at: u32, before: &Terms, after: &Terms) {
        before.iter().filter(|term| !after.contains(term)).for_each(|term| {
            self.pairs.remove(&(*term, at));
        });
        after.iter().filter(|term| !before.contains(term)).for_each(|term| {
            self.pairs.insert((*term, at));
        });
    }

    /// Returns the places of a term's keys.
    pub(super) fn find(&self, term: IndexTerm) -> impl Iterator<Item = u32> {
        self.pairs.range((term, 0)..=(term, u32::MAX)).map(|(_, at)| *at)
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.pairs.len() as u64 * BYTES_EACH
    }
}

/// Returns the terms of a key with these variants.
pub(super) fn terms(variants: &[Arc<Entry>]) -> Terms {
    let path = variants.first().and_then(|entry| IndexTerm::of_path(&entry.key()));
    let tags = variants.iter().flat_map(|entry| entry.tag_words()).map(IndexTerm::tag);
    let mut terms: Terms = path.into_iter().chain(tags).collect();
    if terms.len() > 1 {
        terms.sort_unstable();
        terms.dedup();
    }
    terms
}
