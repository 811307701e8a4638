//! Matches purges against keys and stored responses.

use crate::store::{entry::Entry, purge_index::IndexTerm};
use meshcache_protocol::{
    Groups, Key,
    purge::{Candidates, KeyMatch, Matcher, Scope},
};
use std::sync::Arc;

/// A purge, prepared for matching.
pub(crate) struct PurgeMatcher<'a>(Matcher<'a>);

impl<'a> PurgeMatcher<'a> {
    pub(crate) fn new(scope: &'a Scope, groups: &Groups) -> Self {
        Self(Matcher::new(scope, groups))
    }

    /// Returns where to look for what the purge matches: there is none of it elsewhere.
    pub(crate) fn candidates(&self) -> Vec<Candidates<'_, IndexTerm>> {
        self.0.candidates(IndexTerm::path, |tag| IndexTerm::tag(tag.as_bytes()))
    }

    /// Matches a load by its key. The tags of its response are not known yet.
    pub(crate) fn match_key(&self, key: &Key) -> KeyMatch<'_> {
        self.0.match_key(key)
    }

    /// Returns whether the purge matches what is stored under a key.
    pub(crate) fn matches(&self, key: &Key, variants: &[Arc<Entry>]) -> bool {
        self.0.matches(key, || variants.iter().flat_map(|entry| entry.tag_words()).any(|word| self.0.has_tag(word)))
    }
}
