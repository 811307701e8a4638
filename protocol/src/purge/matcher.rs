//! What a purge names, held against keys: the same in coordinators and in proxies.
//!
//! Made for many keys against many words: whatever is named is found by bisection.

use crate::{
    Groups, Request,
    groups::GroupMatch,
    key::{Parts, authority},
    purge::Scope,
    request::normal_form::normalize,
};
use std::{borrow::Cow, cmp::Ordering};

/// A purge, ready to be held against keys. What it says of tags is left to who knows them.
#[derive(Debug)]
pub struct Matcher<'a> {
    what: &'a Scope,
    /// In order.
    urls: Vec<Url>,
    /// `paths`, with their query as keys of the group have it, in order.
    paths: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// In order, and none begins with another: the last that is not after a path is the only one that it can begin
    /// with.
    prefixes: Vec<Cow<'a, str>>,
}

/// An absolute URL as keys have it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Url {
    path: String,
    query: String,
    authority: String,
    scheme: &'static str,
    /// `None`: it is in no group, and keys of it are from before the groups changed.
    group: Option<String>,
}

impl<'a> Matcher<'a> {
    /// Makes a purge ready.
    pub fn new(what: &'a Scope, groups: &Groups) -> Self {
        let group = what.group.as_deref().and_then(|name| groups.named(name));
        let path = |path: &'a String| match path.split_once('?') {
            Some((path, query)) => {
                let query = normalize(query);
                (
                    normalize(path),
                    Cow::Owned(
                        marked(group.map_or(Some(Cow::Borrowed(&*query)), |group| group.query(Some(&query))))
                            .into_owned(),
                    ),
                )
            }
            None => (normalize(path), Cow::Borrowed("")),
        };
        let mut urls: Vec<_> = what.urls.iter().filter_map(|url| Url::read(url, groups)).collect();
        let mut paths: Vec<_> = what.paths.iter().map(path).collect();
        let mut prefixes: Vec<_> = what.prefixes.iter().map(|prefix| normalize(prefix)).collect();
        urls.sort_unstable();
        paths.sort_unstable();
        prefixes.sort_unstable();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        Self { what, urls, paths, prefixes }
    }

    /// Whether it names a key, whatever tags its responses have.
    pub fn is(&self, key: &Parts<'_>) -> bool {
        let whole = || self.what.paths.is_empty() && self.what.prefixes.is_empty() && self.what.tags.is_empty();
        self.what.all
            || self.has_url(key)
            || (self.is_group(key) && (whole() || self.has_path(key) || self.has_prefix(key)))
    }

    /// Whether a key is in the group that it names.
    pub fn is_group(&self, key: &Parts<'_>) -> bool {
        self.what.group.as_deref() == Some(key.group)
    }

    /// The groups and paths of its URLs.
    pub fn urls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.urls.iter().filter_map(|url| Some((url.group.as_deref()?, url.path.as_str())))
    }

    /// Its paths, without queries.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|(path, _)| &**path)
    }

    fn has_url(&self, key: &Parts<'_>) -> bool {
        let parts = |url: &Url| {
            let path = url.path.as_str().cmp(key.path).then_with(|| url.query.as_str().cmp(key.query));
            path.then_with(|| url.authority.as_str().cmp(key.authority)).then_with(|| url.scheme.cmp(key.scheme))
        };
        self.urls.binary_search_by(parts).is_ok()
    }

    fn has_path(&self, key: &Parts<'_>) -> bool {
        self.paths
            .binary_search_by(|(path, query)| path.as_ref().cmp(key.path).then_with(|| query.as_ref().cmp(key.query)))
            .is_ok()
    }

    fn has_prefix(&self, key: &Parts<'_>) -> bool {
        let after = self.prefixes.partition_point(|prefix| begins(prefix, key) != Ordering::Greater);
        after
            .checked_sub(1)
            .and_then(|last| self.prefixes.get(last))
            .is_some_and(|prefix| begins(prefix, key) == Ordering::Equal)
    }
}

/// How a prefix stands to a key's path and query as far as it goes: `Equal`, it is their beginning. They are two parts
/// of a key, compared one after the other without putting them together.
fn begins(prefix: &str, key: &Parts<'_>) -> Ordering {
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
            (request.normal_path().into_owned(), marked(query).into_owned(), authority.into_owned());
        Some(Self { path, query, authority, scheme: request.scheme_name(), group })
    }
}

/// A query as it stands in keys: with its `?`.
fn marked(query: Option<Cow<'_, str>>) -> Cow<'_, str> {
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

    fn is(what: serde_json::Value, key: &Key) -> bool {
        Matcher::new(&serde_json::from_value(what).unwrap(), &groups()).is(&key.parts().unwrap())
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
        assert!(!is(serde_json::json!({"group": "g", "tags": ["t"]}), &k), "tags are for others to judge");
        assert!(is(serde_json::json!({"all": true}), &key("a.b", "/a/b")) && !is(serde_json::json!({}), &k));
    }
}
