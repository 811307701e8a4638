//! Matches purges against keys, in coordinators and proxies alike.
//!
//! Made for purges of many URLs and paths against many keys: each comparison is a binary search.

#[cfg(test)]
mod tests;

use super::{
    Regexes, Scope,
    url::{Url, in_keys},
};
use crate::{
    Groups, Key,
    groups::{Group, Host, KeyHost},
    key::Parts,
    request::normal_form::normalize,
    sort::sort,
};
use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, sync::Arc};

/// A purge, prepared for matching.
#[derive(Debug)]
pub struct Matcher<'a> {
    scope: &'a Scope,
    /// Sorted.
    urls: Vec<Url>,
    /// Paths with the part of their query that is in keys of the group. Sorted.
    paths: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Sorted, and none begins with another: a path can only begin with the last one that is not after it.
    prefixes: Vec<Cow<'a, str>>,
    regexes: Option<Regexes>,
    /// The groups whose keys have no host of their own, and of which a host of the purge is a name.
    named: Vec<String>,
    /// Whether the limits alone decide. Regular expressions that cannot be used here may have matched anything.
    is_whole: bool,
    /// Sorted.
    tags: Arc<[String]>,
}

/// The answer of a key alone to a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMatch<'m> {
    /// The purge removes whatever is stored under the key.
    Yes,
    /// The purge removes what is stored under the key if one of its responses has one of these tags, which are sorted.
    ByTag(&'m Arc<[String]>),
    /// The purge removes nothing of the key.
    No,
}

/// Where keys that a purge can match are. `I`: the entry of an index by path and tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates<'a, I> {
    /// In this group; `None`: in any.
    pub group: Option<&'a str>,
    /// Under one of these index entries; `None`: under any.
    pub terms: Option<Vec<I>>,
}

impl<'a> Matcher<'a> {
    /// Prepares a purge.
    pub fn new(scope: &'a Scope, groups: &Groups) -> Self {
        // Without a group, a query may be in keys as any of them has it.
        let rules: Vec<Option<&Group>> = match scope.group.as_deref() {
            Some(name) => vec![groups.named(name).map(|group| &**group)],
            None => std::iter::once(None).chain(groups.iter().map(|group| Some(&**group))).collect(),
        };
        let mut urls: Vec<_> = scope.urls.iter().filter_map(|url| Url::read(url, groups)).collect();
        let mut paths: Vec<_> =
            scope.paths.iter().flat_map(|path| rules.iter().map(|group| in_keys(path, *group))).collect();
        let mut prefixes: Vec<_> = scope.prefixes.iter().map(|prefix| normalize(prefix)).collect();
        let mut tags = scope.tags.clone();
        sort(&mut urls);
        sort(&mut paths);
        sort(&mut prefixes);
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        sort(&mut tags);
        let regexes = (!scope.regex.is_empty()).then(|| Regexes::new(&scope.regex));
        let is_whole = match &regexes {
            Some(regexes) => regexes.is_err(),
            None => paths.is_empty() && prefixes.is_empty() && tags.is_empty(),
        };
        let is_named = |group: &&Arc<Group>| scope.hosts.iter().any(|host| names_group(host, group));
        let named = groups.iter().filter(is_named).map(|group| group.name().to_owned()).collect();
        let regexes = regexes.and_then(Result::ok);
        Self { scope, urls, paths, prefixes, regexes, named, is_whole, tags: tags.into() }
    }

    /// Matches a key without its responses. Bytes that are no key match, since nothing can be said of them.
    pub fn match_key(&self, key: &Key) -> KeyMatch<'_> {
        let Some(parts) = key.parts() else { return KeyMatch::Yes };
        if self.has_key(&parts) {
            KeyMatch::Yes
        } else if !self.tags.is_empty() && self.is_within_limits(&parts) {
            KeyMatch::ByTag(&self.tags)
        } else {
            KeyMatch::No
        }
    }

    /// Matches a key with its responses. `has_tag`: whether one of them has a tag of the purge ([`Matcher::has_tag`]).
    pub fn matches(&self, key: &Key, has_tag: impl FnOnce() -> bool) -> bool {
        match self.match_key(key) {
            KeyMatch::Yes => true,
            KeyMatch::ByTag(_) => has_tag(),
            KeyMatch::No => false,
        }
    }

    /// Whether a word of a response's tag header is one of the purge's tags.
    pub fn has_tag(&self, word: &[u8]) -> bool {
        self.tags.binary_search_by(|tag| tag.as_bytes().cmp(word)).is_ok()
    }

    /// Returns where to look for keys that the purge can match; there are none elsewhere. `path` and `tag` make index
    /// entries.
    ///
    /// Prefixes and regular expressions are looked for in the whole group. That costs as much as a look at each key,
    /// and no order by path has to be kept (docs/performance.md has the figures).
    pub fn candidates<I>(&self, path: impl Fn(&str) -> I, tag: impl Fn(&str) -> I) -> Vec<Candidates<'_, I>> {
        if self.scope.all {
            return vec![Candidates { group: None, terms: None }];
        }
        let mut indexed: BTreeMap<Option<&str>, Option<Vec<I>>> = BTreeMap::new();
        for url in &self.urls {
            if let Some(group) = url.group.as_deref()
                && let Some(terms) = indexed.entry(Some(group)).or_insert_with(|| Some(Vec::new()))
            {
                terms.push(path(&url.path));
            }
        }
        let group = self.scope.group.as_deref();
        if self.is_limited() {
            if self.is_whole || !self.prefixes.is_empty() || self.regexes.is_some() {
                indexed.insert(group, None);
            } else if let Some(terms) = indexed.entry(group).or_insert_with(|| Some(Vec::new())) {
                terms.extend(self.paths.iter().map(|(name, _)| path(name)));
                terms.extend(self.tags.iter().map(|name| tag(name)));
            }
        }
        indexed.into_iter().map(|(group, terms)| Candidates { group, terms }).collect()
    }

    fn has_key(&self, key: &Parts<'_>) -> bool {
        let is_selected = || {
            let is_match = |regexes: &Regexes| regexes.matches(key.path, key.query);
            self.is_whole || self.has_path(key) || self.has_prefix(key) || self.regexes.as_ref().is_some_and(is_match)
        };
        self.scope.all || self.has_url(key) || (self.is_within_limits(key) && is_selected())
    }

    fn is_limited(&self) -> bool {
        self.scope.group.is_some() || !self.scope.hosts.is_empty()
    }

    fn is_within_limits(&self, key: &Parts<'_>) -> bool {
        let has_host = || {
            self.named.iter().any(|group| group == key.group)
                || self.scope.hosts.iter().any(|host| host.matches_authority(key.authority, key.scheme))
        };
        self.is_limited()
            && self.scope.group.as_deref().is_none_or(|group| group == key.group)
            && (self.scope.hosts.is_empty() || has_host())
    }

    fn has_url(&self, key: &Parts<'_>) -> bool {
        let parts = |url: &Url| {
            let path = url.path.as_str().cmp(key.path).then_with(|| url.query.as_str().cmp(key.query));
            path.then_with(|| url.authority.as_str().cmp(key.authority))
                .then_with(|| url.scheme.cmp(key.scheme))
                // Without an authority only the group tells keys apart.
                .then_with(|| {
                    if key.authority.is_empty() { url.group.as_deref().cmp(&Some(key.group)) } else { Ordering::Equal }
                })
        };
        self.urls.binary_search_by(parts).is_ok()
    }

    fn has_path(&self, key: &Parts<'_>) -> bool {
        self.paths
            .binary_search_by(|(path, query)| path.as_ref().cmp(key.path).then_with(|| query.as_ref().cmp(key.query)))
            .is_ok()
    }

    fn has_prefix(&self, key: &Parts<'_>) -> bool {
        let after = self.prefixes.partition_point(|prefix| compare_prefix(prefix, key) != Ordering::Greater);
        after
            .checked_sub(1)
            .and_then(|last| self.prefixes.get(last))
            .is_some_and(|prefix| compare_prefix(prefix, key) == Ordering::Equal)
    }
}

/// Compares a prefix with as much of a key's path and query as it is long; `Equal`: they begin with it. Path and query
/// are two parts of a key and are not put together for this.
fn compare_prefix(prefix: &str, key: &Parts<'_>) -> Ordering {
    let (prefix, path) = (prefix.as_bytes(), key.path.as_bytes());
    let start = |prefix: &[u8], text: &[u8]| prefix.cmp(text.get(..prefix.len()).unwrap_or(text));
    match prefix.split_at_checked(path.len()) {
        Some((head, rest)) => head.cmp(path).then_with(|| start(rest, key.query.as_bytes())),
        None => start(prefix, path),
    }
}

/// Whether a host of a purge is one of a group whose keys have no host of their own.
fn names_group(host: &Host, group: &Group) -> bool {
    let config = group.config();
    config.r#match.service.as_ref().is_some_and(|service| host.matches_service(service))
        || (config.key.host == KeyHost::None && config.r#match.hosts.iter().any(|shared| host.overlaps(shared)))
}
