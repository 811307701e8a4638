//! What a purge names, as keys and stored responses are held against it.

use crate::store::{Entry, Mark, Meant, Where};
use meshcache_protocol::{
    Groups, Key,
    purge::{self, Scope},
};
use std::{collections::BTreeMap, sync::Arc};

/// A purge, ready to be held against keys and their tags.
pub(crate) struct Named<'a> {
    what: &'a Scope,
    keys: purge::Matcher<'a>,
    /// In order.
    tags: Arc<[String]>,
}

impl<'a> Named<'a> {
    pub(crate) fn new(what: &'a Scope, groups: &Groups) -> Self {
        let mut tags = what.tags.clone();
        tags.sort_unstable();
        Self { what, keys: purge::Matcher::new(what, groups), tags: tags.into() }
    }

    /// Where to look for what it names: nowhere else there is any of it.
    ///
    /// Beginnings of paths are looked for in the whole group: it costs as much as a look at each key, in exchange for
    /// which no order by path has to be kept (docs/performance.md has the figures).
    pub(crate) fn places(&self) -> Vec<Where> {
        if self.what.all {
            return vec![Where::Everywhere];
        }
        let mut marks: BTreeMap<&str, Vec<Mark>> = BTreeMap::new();
        for (group, path) in self.keys.urls() {
            marks.entry(group).or_default().push(Mark::path(path));
        }
        if let Some(group) = &self.what.group {
            if self.what.paths.is_empty() && self.tags.is_empty() {
                return vec![Where::Group(group.clone())];
            }
            let tags = self.tags.iter().map(|tag| Mark::tag(tag.as_bytes()));
            marks.entry(group).or_default().extend(self.keys.paths().map(Mark::path).chain(tags));
        }
        marks.into_iter().map(|(group, marks)| Where::Marked(group.to_owned(), marks)).collect()
    }

    /// Whether it means what is being loaded for a key. Its tags are not known yet.
    pub(crate) fn means(&self, key: &Key) -> Meant {
        match key.parts() {
            Some(parts) if self.keys.is(&parts) => Meant::Yes,
            Some(parts) if self.keys.is_group(&parts) && !self.tags.is_empty() => Meant::ByTag(self.tags.clone()),
            _ => Meant::No,
        }
    }

    /// Whether what is stored under a key is meant.
    pub(crate) fn is(&self, key: &Key, variants: &[Arc<Entry>]) -> bool {
        key.parts().is_some_and(|parts| self.keys.is(&parts) || (self.keys.is_group(&parts) && self.has_tag(variants)))
    }

    fn has_tag(&self, variants: &[Arc<Entry>]) -> bool {
        let named = |word: &[u8]| self.tags.binary_search_by(|tag| tag.as_bytes().cmp(word)).is_ok();
        !self.tags.is_empty() && variants.iter().flat_map(|entry| entry.tag_words()).any(named)
    }
}
