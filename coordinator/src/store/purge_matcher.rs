//! Matches keys and stored responses with what a purge names.

use crate::store::{entry::Entry, purge_guard::PurgeMatch, purge_index::IndexTerm, purge_scope::PurgeScope};
use meshcache_protocol::{Groups, Key, named, purge::What};
use std::{collections::BTreeMap, sync::Arc};

/// A purge, prepared for matching.
pub(crate) struct PurgeMatcher<'a> {
    what: &'a What,
    keys: named::Named<'a>,
    /// Sorted.
    tags: Arc<[String]>,
}

impl<'a> PurgeMatcher<'a> {
    pub(crate) fn new(what: &'a What, groups: &Groups) -> Self {
        let mut tags = what.tags.clone();
        tags.sort_unstable();
        Self { what, keys: named::Named::new(what, groups), tags: tags.into() }
    }

    /// Returns where to look for what the purge names: there is none of it elsewhere.
    ///
    /// Path prefixes scan the whole group. An index in the order of paths would cost memory and time on each store
    /// (docs/performance.md has the figures).
    pub(crate) fn scopes(&self) -> Vec<PurgeScope> {
        if self.what.all {
            return vec![PurgeScope::Everywhere];
        }
        let mut terms: BTreeMap<&str, Vec<IndexTerm>> = BTreeMap::new();
        for (group, path) in self.keys.urls() {
            terms.entry(group).or_default().push(IndexTerm::path(path));
        }
        if let Some(group) = &self.what.group {
            if self.what.paths.is_empty() && self.tags.is_empty() {
                return vec![PurgeScope::Group(group.clone())];
            }
            let tags = self.tags.iter().map(|tag| IndexTerm::tag(tag.as_bytes()));
            terms.entry(group).or_default().extend(self.keys.paths().map(IndexTerm::path).chain(tags));
        }
        terms.into_iter().map(|(group, terms)| PurgeScope::Indexed(group.to_owned(), terms)).collect()
    }

    /// Matches a load by its key. The tags of its response are not known yet.
    pub(crate) fn match_key(&self, key: &Key) -> PurgeMatch {
        match key.parts() {
            Some(parts) if self.keys.is(&parts) => PurgeMatch::Yes,
            Some(parts) if self.keys.is_group(&parts) && !self.tags.is_empty() => PurgeMatch::ByTag(self.tags.clone()),
            _ => PurgeMatch::No,
        }
    }

    /// Returns whether the purge matches what is stored under a key.
    pub(crate) fn matches(&self, key: &Key, variants: &[Arc<Entry>]) -> bool {
        key.parts().is_some_and(|parts| self.keys.is(&parts) || (self.keys.is_group(&parts) && self.has_tag(variants)))
    }

    fn has_tag(&self, variants: &[Arc<Entry>]) -> bool {
        let named = |word: &[u8]| self.tags.binary_search_by(|tag| tag.as_bytes().cmp(word)).is_ok();
        !self.tags.is_empty() && variants.iter().flat_map(|entry| entry.tag_words()).any(named)
    }
}
