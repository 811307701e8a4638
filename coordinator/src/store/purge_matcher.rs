//! Matches purges against keys and stored responses.

use crate::store::{Entry, Mark, Meant, Where};
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

    /// Returns where to look for what it matches.
    pub(crate) fn places(&self) -> Vec<Where> {
        let candidates = self.0.candidates(Mark::path, |tag| Mark::tag(tag.as_bytes()));
        let place = |candidate| match candidate {
            Candidates::Everywhere => Where::Everywhere,
            Candidates::Group(group) => Where::Group(group.to_owned()),
            Candidates::Indexed(group, marks) => Where::Marked(group.to_owned(), marks),
        };
        candidates.into_iter().map(place).collect()
    }

    /// Matches a key that is being loaded. Its tags are not known yet.
    pub(crate) fn means(&self, key: &Key) -> Meant {
        match self.0.match_key(key) {
            KeyMatch::Yes => Meant::Yes,
            KeyMatch::ByTag => Meant::ByTag(self.0.tags().clone()),
            KeyMatch::No => Meant::No,
        }
    }

    /// Whether it matches what is stored under a key.
    pub(crate) fn is(&self, key: &Key, variants: &[Arc<Entry>]) -> bool {
        self.0.matches(key, || variants.iter().flat_map(|entry| entry.tag_words()).any(|word| self.0.has_tag(word)))
    }
}
