//! What a purge names, as keys and stored responses are held against it.

use crate::store::Entry;
use http::Uri;
use meshcache_protocol::{
    Groups, Key, Request,
    feed::What,
    groups::Found,
    key::{Parts, authority},
};
use std::sync::Arc;

/// A purge, ready to be held against keys.
pub(crate) struct Named<'a> {
    what: &'a What,
    urls: Vec<Url>,
}

/// An absolute URL as a key of its group has it.
struct Url {
    group: String,
    scheme: String,
    authority: String,
    path: String,
    query: String,
}

impl<'a> Named<'a> {
    pub(crate) fn new(what: &'a What, groups: &Groups) -> Self {
        Self { what, urls: what.urls.iter().filter_map(|url| Url::read(url, groups)).collect() }
    }

    /// Whether what is being loaded for a key may be meant. Its tags are not known yet.
    pub(crate) fn may_be(&self, key: &Key) -> bool {
        key.parts().is_some_and(|parts| self.is_key(&parts) || (self.is_group(&parts) && !self.what.tags.is_empty()))
    }

    /// Whether what is stored under a key is meant.
    pub(crate) fn is(&self, key: &Key, variants: &[Arc<Entry>]) -> bool {
        key.parts().is_some_and(|parts| self.is_key(&parts) || (self.is_group(&parts) && self.has_tag(variants)))
    }

    fn is_group(&self, parts: &Parts<'_>) -> bool {
        self.what.group.as_deref() == Some(parts.group)
    }

    fn is_key(&self, parts: &Parts<'_>) -> bool {
        let What { urls: _, group: _, paths, prefixes, tags, all } = self.what;
        if *all || self.urls.iter().any(|url| url.is(parts)) {
            return true;
        }
        if !self.is_group(parts) {
            return false;
        }
        let whole = paths.is_empty() && prefixes.is_empty() && tags.is_empty();
        // Path and query are two parts of a key: compared one after the other, since purges look at every key.
        let is_target = |target: &String| target.strip_prefix(parts.path) == Some(parts.query);
        let begins = |prefix: &String| match parts.path.get(..prefix.len()) {
            Some(start) => start == prefix,
            None => prefix.strip_prefix(parts.path).is_some_and(|rest| parts.query.starts_with(rest)),
        };
        whole || paths.iter().any(is_target) || prefixes.iter().any(begins)
    }

    fn has_tag(&self, variants: &[Arc<Entry>]) -> bool {
        let words = variants.iter().flat_map(|entry| &entry.tags).flat_map(|(_, value)| value.as_bytes().split(|b| *b == b' ' || *b == b','));
        let is_named = |word: &[u8]| self.what.tags.iter().any(|tag| tag.as_bytes() == word);
        words.filter(|word| !word.is_empty()).any(is_named)
    }
}

impl Url {
    fn read(url: &str, groups: &Groups) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let request = Request::read(b"GET", uri.scheme_str()?.as_bytes(), uri.authority()?.as_str().as_bytes(), target.as_bytes(), &[]).ok()?;
        let Found::Group(group) = groups.find(&request, None) else { return None };
        Some(Self {
            group: group.name().to_owned(),
            scheme: request.scheme.to_owned(),
            authority: authority(group, &request).into_owned(),
            path: request.path.to_owned(),
            query: group.query(request.query).map_or_else(String::new, |query| format!("?{query}")),
        })
    }

    fn is(&self, parts: &Parts<'_>) -> bool {
        (self.group.as_str(), self.scheme.as_str(), self.authority.as_str(), self.path.as_str(), self.query.as_str())
            == (parts.group, parts.scheme, parts.authority, parts.path, parts.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Groups {
        let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["h"]}, "key": {"query": {"exclude": ["utm_*"]}}, "origin": {"url": "http://o"}}, {"name": "s", "match": {"service": "a.b"}, "origin": {"url": "http://o"}}]});
        Groups::new(serde_json::from_value(config).unwrap()).unwrap()
    }

    fn key(authority: &str, target: &str) -> Key {
        let groups = groups();
        let request = Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[]).unwrap();
        let Found::Group(group) = groups.find(&request, None) else { panic!() };
        Key::of(group, &request, None)
    }

    fn is(what: What, key: &Key) -> bool {
        Named::new(&what, &groups()).is(key, &[])
    }

    #[test]
    fn a_url_names_a_key_as_its_request_would() {
        let urls = |url: &str| What { urls: vec![url.into()], ..What::default() };
        assert!(is(urls("http://h/a?b=1"), &key("h", "/a?b=1")));
        assert!(is(urls("http://H:80/a?b=1&utm_x=2"), &key("h", "/a?b=1")));
        assert!(is(urls("http://a.b.svc.cluster.local:9000/x"), &key("a.b", "/x")));
        assert!(!is(urls("http://h/a"), &key("h", "/a?b=1")));
        assert!(!is(urls("https://h/a?b=1"), &key("h", "/a?b=1")));
    }

    #[test]
    fn paths_and_prefixes_are_within_their_group() {
        let of = |paths: &[&str], prefixes: &[&str]| What {
            group: Some("g".into()),
            paths: paths.iter().map(|p| (*p).into()).collect(),
            prefixes: prefixes.iter().map(|p| (*p).into()).collect(),
            ..What::default()
        };
        let k = key("h", "/a/b?c=1");
        assert!(is(of(&["/a/b?c=1"], &[]), &k) && !is(of(&["/a/b"], &[]), &k));
        for prefix in ["/a/", "/a/b", "/a/b?c", "/"] {
            assert!(is(of(&[], &[prefix]), &k), "{prefix}");
        }
        assert!(!is(of(&[], &["/b"]), &k) && !is(of(&[], &["/a/b?d"]), &k));
        assert!(is(of(&[], &[]), &k) && !is(of(&[], &[]), &key("a.b", "/a/b")));
        assert!(is(What { all: true, ..What::default() }, &key("a.b", "/a/b")));
    }
}
