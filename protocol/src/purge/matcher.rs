//! Matches purges against keys, in coordinators and proxies alike.
//!
//! Made for purges of many URLs and paths against many keys: each comparison is a binary search.

use super::{
    Regexes, Scope,
    url::{Url, in_keys},
};
use crate::{Groups, Key, groups::Group, key::Parts, request::normal_form::normalize};
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
    /// The groups by `service` of which a host of the purge is a name.
    services: Vec<String>,
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
        urls.sort_unstable();
        paths.sort_unstable();
        prefixes.sort_unstable();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        tags.sort_unstable();
        let regexes = (!scope.regex.is_empty()).then(|| Regexes::new(&scope.regex));
        let is_whole = match &regexes {
            Some(regexes) => regexes.is_err(),
            None => paths.is_empty() && prefixes.is_empty() && tags.is_empty(),
        };
        let is_named = |group: &&Arc<Group>| {
            let service = group.config().r#match.service.as_ref();
            service.is_some_and(|service| scope.hosts.iter().any(|host| host.matches_service(service)))
        };
        let services = groups.iter().filter(is_named).map(|group| group.name().to_owned()).collect();
        let regexes = regexes.and_then(Result::ok);
        Self { scope, urls, paths, prefixes, regexes, services, is_whole, tags: tags.into() }
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
            self.services.iter().any(|group| group == key.group)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Request, groups::GroupMatch};

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

    fn is(scope: serde_json::Value, key: &Key) -> bool {
        Matcher::new(&serde_json::from_value(scope).unwrap(), &groups()).match_key(key) == KeyMatch::Yes
    }

    fn is_by_tag(scope: serde_json::Value, key: &Key) -> bool {
        let scope = serde_json::from_value(scope).unwrap();
        matches!(Matcher::new(&scope, &groups()).match_key(key), KeyMatch::ByTag(_))
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
        assert!(is_by_tag(by_tag.clone(), &k), "its responses decide");
        assert!(!is_by_tag(by_tag, &key("a.b", "/a/b")));
        assert!(is(serde_json::json!({}), &Key::from_bytes(vec![1])), "bytes that are no key");
        assert!(is(serde_json::json!({"all": true}), &key("a.b", "/a/b")) && !is(serde_json::json!({}), &k));
    }

    #[test]
    fn a_regex_is_compared_with_the_whole_path_and_query_as_keys_have_them() {
        let of = |regex: &[&str]| serde_json::json!({"group": "g", "regex": regex});
        let k = key("h", "/%61/b?c=1&utm_x=2");
        for regex in ["/a/.*", "^/a/b\\?c=1$", "/[a-z]/b.*", ".*"] {
            assert!(is(of(&["/z", regex]), &k), "{regex}");
        }
        for regex in ["/a/b", "b", "/%61/.*", "/a/b\\?c=1&.*"] {
            assert!(!is(of(&[regex, "/z"]), &k), "{regex}");
        }
        assert!(!is(of(&[".*"]), &key("a.b", "/a/b")), "of another group");
        assert!(is(of(&["("]), &k) && !is(of(&["("]), &key("a.b", "/x")), "one that cannot be read here is the group");
    }

    #[test]
    fn hosts_limit_what_goes_and_without_a_group_they_are_those_of_every_group() {
        let of = |hosts: &[&str]| serde_json::json!({"hosts": hosts});
        let (h, other) = (key("h", "/a"), key("h:81", "/a"));
        assert!(is(of(&["x", "H"]), &h) && is(of(&["h"]), &other) && is(of(&["*"]), &h));
        assert!(is(of(&["h:80"]), &h) && !is(of(&["h:80"]), &other) && is(of(&["h:81"]), &other));
        assert!(!is(of(&["*.h"]), &h) && !is(of(&["x"]), &h));
        let service = key("a.b.svc", "/x");
        for name in ["a.b", "a.b.svc.cluster.local:9000", "*.b.svc", "*"] {
            assert!(is(of(&[name]), &service), "{name}");
        }
        assert!(!is(of(&["a.c.svc"]), &service));
        let within = |group: &str| serde_json::json!({"hosts": ["h"], "group": group, "regex": ["/a"]});
        assert!(is(within("g"), &h) && !is(within("s"), &h) && !is(within("g"), &key("h", "/b")));
        let paths = serde_json::json!({"hosts": ["*"], "paths": ["/a?utm_x=1"]});
        assert!(is(paths, &h), "a query as keys of any group have it");
        assert!(is_by_tag(serde_json::json!({"hosts": ["*"], "tags": ["t"]}), &service), "a tag in every group");
        assert!(
            !is_by_tag(serde_json::json!({"tags": ["t"]}), &service),
            "without a limit there is nothing to select in"
        );
    }

    #[test]
    fn a_purge_is_looked_for_only_where_it_can_match() {
        let groups = groups();
        let at = |scope: serde_json::Value| {
            let scope = serde_json::from_value(scope).unwrap();
            let matcher = Matcher::new(&scope, &groups);
            let candidates = matcher.candidates(|path| format!("path {path}"), |tag| format!("tag {tag}"));
            let text = |at: Candidates<'_, String>| {
                format!("{}: {}", at.group.unwrap_or("any"), at.terms.map_or("all".into(), |terms| terms.join(", ")))
            };
            candidates.into_iter().map(text).collect::<Vec<_>>().join("; ")
        };
        for (scope, expected) in [
            (serde_json::json!({"all": true}), "any: all"),
            (serde_json::json!({"group": "g"}), "g: all"),
            (serde_json::json!({"group": "g", "prefixes": ["/a"]}), "g: all"),
            (serde_json::json!({"group": "g", "prefixes": ["/a"], "paths": ["/b"]}), "g: all"),
            (serde_json::json!({"group": "g", "regex": ["/a"], "hosts": ["h"]}), "g: all"),
            (serde_json::json!({"hosts": ["h"]}), "any: all"),
            (serde_json::json!({"hosts": ["*"], "tags": ["t"]}), "any: tag t"),
            (serde_json::json!({"group": "g", "paths": ["/%61?b"], "tags": ["t"]}), "g: path /a, tag t"),
            (
                serde_json::json!({"urls": ["http://h/a", "http://a.b/x", "http://elsewhere/y"]}),
                "g: path /a; s: path /x",
            ),
            (serde_json::json!({"urls": ["http://h/a", "http://a.b/x"], "group": "g"}), "g: all; s: path /x"),
            (serde_json::json!({}), ""),
        ] {
            assert_eq!(at(scope.clone()), expected, "{scope}");
        }
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
