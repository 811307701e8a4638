//! Matches purges against keys, in coordinators and proxies alike.
//!
//! Made for purges of many URLs and paths against many keys: each comparison is a binary search.

use super::Scope;
use crate::{
    Groups, Key, Request,
    groups::GroupMatch,
    key::{Parts, authority},
    request::normal_form::normalize,
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
    /// Sorted.
    tags: Arc<[String]>,
}

/// The answer of a key alone to a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMatch {
    /// The purge removes whatever is stored under the key.
    Yes,
    /// The purge removes what is stored under the key if one of its responses has one of the purge's tags.
    ByTag,
    /// The purge removes nothing of the key.
    No,
}

/// Where keys that a purge can match are. `I`: the entry of an index by path and tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates<'a, I> {
    /// Anywhere.
    Everywhere,
    /// Anywhere in this group.
    Group(&'a str),
    /// In this group, under one of these index entries.
    Indexed(&'a str, Vec<I>),
}

/// An absolute URL with its parts as in keys.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Url {
    path: String,
    query: String,
    authority: String,
    scheme: &'static str,
    /// `None`: no group names it. Keys of it are from before the groups changed.
    group: Option<String>,
}

impl<'a> Matcher<'a> {
    /// Prepares a purge.
    pub fn new(scope: &'a Scope, groups: &Groups) -> Self {
        let group = scope.group.as_deref().and_then(|name| groups.named(name));
        let path = |path: &'a String| match path.split_once('?') {
            Some((path, query)) => {
                let query = normalize(query);
                (
                    normalize(path),
                    Cow::Owned(
                        with_mark(group.map_or(Some(Cow::Borrowed(&*query)), |group| group.query(Some(&query))))
                            .into_owned(),
                    ),
                )
            }
            None => (normalize(path), Cow::Borrowed("")),
        };
        let mut urls: Vec<_> = scope.urls.iter().filter_map(|url| Url::read(url, groups)).collect();
        let mut paths: Vec<_> = scope.paths.iter().map(path).collect();
        let mut prefixes: Vec<_> = scope.prefixes.iter().map(|prefix| normalize(prefix)).collect();
        let mut tags = scope.tags.clone();
        urls.sort_unstable();
        paths.sort_unstable();
        prefixes.sort_unstable();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        tags.sort_unstable();
        Self { scope, urls, paths, prefixes, tags: tags.into() }
    }

    /// Matches a key without its responses. Bytes that are no key match, since nothing can be said of them.
    pub fn match_key(&self, key: &Key) -> KeyMatch {
        let Some(parts) = key.parts() else { return KeyMatch::Yes };
        if self.has_key(&parts) {
            KeyMatch::Yes
        } else if self.is_group(&parts) && !self.tags.is_empty() {
            KeyMatch::ByTag
        } else {
            KeyMatch::No
        }
    }

    /// Matches a key with its responses. `has_tag`: whether one of them has a tag of the purge ([`Matcher::has_tag`]).
    pub fn matches(&self, key: &Key, has_tag: impl FnOnce() -> bool) -> bool {
        match self.match_key(key) {
            KeyMatch::Yes => true,
            KeyMatch::ByTag => has_tag(),
            KeyMatch::No => false,
        }
    }

    /// Whether a word of a response's tag header is one of the purge's tags.
    pub fn has_tag(&self, word: &[u8]) -> bool {
        self.tags.binary_search_by(|tag| tag.as_bytes().cmp(word)).is_ok()
    }

    /// The purge's tags, sorted.
    pub fn tags(&self) -> &Arc<[String]> {
        &self.tags
    }

    /// Returns where to look for keys that the purge can match; there are none elsewhere. `path` and `tag` make index
    /// entries.
    ///
    /// Prefixes are looked for in the whole group. That costs as much as a look at each key, and no order by path has
    /// to be kept (docs/performance.md has the figures).
    pub fn candidates<I>(&self, path: impl Fn(&str) -> I, tag: impl Fn(&str) -> I) -> Vec<Candidates<'_, I>> {
        if self.scope.all {
            return vec![Candidates::Everywhere];
        }
        let mut indexed: BTreeMap<&str, Vec<I>> = BTreeMap::new();
        for url in &self.urls {
            if let Some(group) = &url.group {
                indexed.entry(group).or_default().push(path(&url.path));
            }
        }
        let mut whole = None;
        if let Some(group) = self.scope.group.as_deref() {
            if self.scope.paths.is_empty() && self.tags.is_empty() {
                indexed.remove(group);
                whole = Some(Candidates::Group(group));
            } else {
                let paths = self.paths.iter().map(|(name, _)| path(name));
                indexed.entry(group).or_default().extend(paths.chain(self.tags.iter().map(|name| tag(name))));
            }
        }
        whole.into_iter().chain(indexed.into_iter().map(|(group, at)| Candidates::Indexed(group, at))).collect()
    }

    fn has_key(&self, key: &Parts<'_>) -> bool {
        let whole = || self.paths.is_empty() && self.prefixes.is_empty() && self.tags.is_empty();
        self.scope.all
            || self.has_url(key)
            || (self.is_group(key) && (whole() || self.has_path(key) || self.has_prefix(key)))
    }

    fn is_group(&self, key: &Parts<'_>) -> bool {
        self.scope.group.as_deref() == Some(key.group)
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

impl Url {
    fn read(url: &str, groups: &Groups) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { Cow::Borrowed(target) } else { Cow::Owned(format!("/{target}")) };
        let request = Request::read(b"GET", scheme.as_bytes(), host.as_bytes(), target.as_bytes(), &[]).ok()?;
        let query = request.normal_query();
        let (group, authority, query) = match groups.find(&request, None) {
            GroupMatch::Group(group) => {
                (Some(group.name().to_owned()), authority(group, &request), group.query(query.as_deref()))
            }
            _ => (None, Cow::Borrowed(request.authority), query.as_deref().map(Cow::Borrowed)),
        };
        let (path, query, authority) =
            (request.normal_path().into_owned(), with_mark(query).into_owned(), authority.into_owned());
        Some(Self { path, query, authority, scheme: request.scheme_name(), group })
    }
}

/// A query with its `?`, as in keys.
fn with_mark(query: Option<Cow<'_, str>>) -> Cow<'_, str> {
    query.map_or(Cow::Borrowed(""), |query| Cow::Owned(format!("?{query}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    fn groups() -> Groups {
        let config = serde_json::json!({"version": 1, "groups": [
            {"name": "g", "match": {"hosts": ["h"]}, "key": {"query": {"exclude": ["utm_*"]}}, "origin": {"url": "http://o"}},
            {"name": "s", "match": {"service": "a.b"}, "origin": {"url": "http://o"}}]});
        Groups::new(serde_json::from_value(config).unwrap()).unwrap()
    }

    fn key(authority: &str, target: &str) -> Key {
        let groups = groups();
        let request = Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[]).unwrap();
        let GroupMatch::Group(group) = groups.find(&request, None) else { panic!("no group") };
        Key::of(group, &request, None)
    }

    fn match_key(scope: serde_json::Value, key: &Key) -> KeyMatch {
        Matcher::new(&serde_json::from_value(scope).unwrap(), &groups()).match_key(key)
    }

    fn is(scope: serde_json::Value, key: &Key) -> bool {
        match_key(scope, key) == KeyMatch::Yes
    }

    #[test]
    fn a_url_names_a_key_as_its_request_would() {
        let is = |url: &str, key: &Key| is(serde_json::json!({"urls": ["http://h/other", url, "http://h/0"]}), key);
        assert!(is("http://h/a?b=1", &key("h", "/a?b=1")));
        assert!(is("HTTP://H:80/a?b=1&utm_x=2", &key("h", "/a?b=1")));
        assert!(is("http://a.b.svc.cluster.local:9000/x", &key("a.b", "/x")));
        assert!(is("http://h?b", &key("h", "/?b")) && is("http://h", &key("h", "/")));
        assert!(
            is("http://h./%7Ea/%c3?%62=%c3", &key("h", "/~a/%C3?b=%C3"))
                && is("http://h/~a/%C3", &key("H.:80", "/%7ea/%c3"))
        );
        assert!(!is("http://h/a", &key("h", "/a?b=1")));
        assert!(!is("https://h/a?b=1", &key("h", "/a?b=1")));
    }

    #[test]
    fn a_url_of_any_host_names_the_key_that_the_hosts_share() {
        let config = serde_json::json!({"version": 1, "groups": [
            {"name": "one", "match": {"hosts": ["a", "*.a"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}},
            {"name": "two", "match": {"hosts": ["b"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}}]});
        let groups = Groups::new(serde_json::from_value(config).unwrap()).unwrap();
        let key = |name: &str, host: &str| {
            let request = Request::read(b"GET", b"http", host.as_bytes(), b"/x", &[]).unwrap();
            Key::of(groups.named(name).unwrap(), &request, None)
        };
        let purge = |urls: &[&str], key: &Key| {
            let scope = serde_json::from_value(serde_json::json!({"urls": urls})).unwrap();
            Matcher::new(&scope, &groups).match_key(key) == KeyMatch::Yes
        };
        let (one, two) = (key("one", "a"), key("two", "b"));
        for url in ["http://a/x", "http://c.a/x", "http://A:8080/x"] {
            assert!(purge(&[url], &one) && !purge(&[url], &two), "{url}");
            assert!(purge(&["http://b/x", url, "http://b/y"], &one), "{url} among others");
        }
        assert!(purge(&["http://b/x"], &two) && !purge(&["http://b/x", "http://elsewhere/x"], &one));
    }

    #[test]
    fn paths_and_prefixes_are_within_their_group() {
        let of =
            |paths: &[&str], prefixes: &[&str]| serde_json::json!({"group": "g", "paths": paths, "prefixes": prefixes});
        let k = key("h", "/a/b?c=1");
        assert!(is(of(&["/%61/b?c=%31"], &[]), &k) && is(of(&[], &["/%61/"]), &k), "in any spelling");
        assert!(is(of(&["/a/b?c=1", "/0", "/z"], &[]), &k) && !is(of(&["/a/b", "/0", "/z"], &[]), &k));
        let excluded = key("h", "/x?utm_y=1&z=2");
        assert!(
            is(of(&["/x?z=2&utm_w"], &[]), &excluded),
            "what the group leaves out of its keys is left out here, too"
        );
        for prefix in ["/a/", "/a/b", "/a/b?", "/a/b?c", "/a/b?c=1", "/"] {
            assert!(is(of(&[], &[prefix]), &k), "{prefix}");
            assert!(is(of(&[], &["/0", "/a/a", prefix, "/a/b0", "/b"]), &k), "{prefix} among others");
        }
        for prefix in ["/b", "/a/b?d", "/a/b?c=1&", "/a/b/", "/a/b0", "/a/a"] {
            assert!(!is(of(&[], &[prefix]), &k), "{prefix}");
            assert!(!is(of(&[], &["/0", prefix, "/z"]), &k), "{prefix} among others");
        }
        assert!(is(of(&[], &["/a/b?d", "/a", "/a/b?b"]), &k), "the shortest is enough");
        assert!(is(of(&[], &[]), &k) && !is(of(&[], &[]), &key("a.b", "/a/b")));
        let by_tag = serde_json::json!({"group": "g", "tags": ["t"]});
        assert_eq!(match_key(by_tag.clone(), &k), KeyMatch::ByTag, "its responses decide");
        assert_eq!(match_key(by_tag, &key("a.b", "/a/b")), KeyMatch::No);
        assert!(is(serde_json::json!({}), &Key::from_bytes(vec![1])), "bytes that are no key");
        assert!(is(serde_json::json!({"all": true}), &key("a.b", "/a/b")) && !is(serde_json::json!({}), &k));
    }

    #[test]
    fn a_purge_is_looked_for_only_where_it_can_match() {
        let groups = groups();
        let at = |scope: serde_json::Value| {
            let scope = serde_json::from_value(scope).unwrap();
            let matcher = Matcher::new(&scope, &groups);
            format!("{:?}", matcher.candidates(|path| format!("path {path}"), |tag| format!("tag {tag}")))
        };
        assert_eq!(at(serde_json::json!({"all": true})), "[Everywhere]");
        assert_eq!(at(serde_json::json!({"group": "g"})), r#"[Group("g")]"#);
        assert_eq!(at(serde_json::json!({"group": "g", "prefixes": ["/a"]})), r#"[Group("g")]"#);
        assert_eq!(
            at(serde_json::json!({"group": "g", "paths": ["/%61?b"], "tags": ["t"]})),
            r#"[Indexed("g", ["path /a", "tag t"])]"#
        );
        assert_eq!(
            at(serde_json::json!({"urls": ["http://h/a", "http://a.b/x", "http://elsewhere/y"]})),
            r#"[Indexed("g", ["path /a"]), Indexed("s", ["path /x"])]"#
        );
        assert_eq!(
            at(serde_json::json!({"urls": ["http://h/a", "http://a.b/x"], "group": "g"})),
            r#"[Group("g"), Indexed("s", ["path /x"])]"#
        );
        assert_eq!(at(serde_json::json!({})), "[]");
    }

    #[test]
    fn tags_are_words_and_not_parts_of_words() {
        let scope = serde_json::from_value(serde_json::json!({"group": "g", "tags": ["b", "a"]})).unwrap();
        let matcher = Matcher::new(&scope, &groups());
        assert!(matcher.has_tag(b"a") && matcher.has_tag(b"b") && !matcher.has_tag(b"ab") && !matcher.has_tag(b""));
        let k = key("h", "/a");
        assert!(matcher.matches(&k, || true) && !matcher.matches(&k, || false));
    }
}
