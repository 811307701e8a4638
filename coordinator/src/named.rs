//! What a purge names, as keys and stored responses are held against it.

use crate::store::{Entry, Mark, Meant, Where};
use http::Uri;
use meshcache_protocol::{
    Group, Groups, Key, Request,
    groups::Found,
    key::{Parts, authority},
    purge::What,
};
use std::{collections::BTreeMap, sync::Arc};

/// A purge, ready to be held against keys.
pub(crate) struct Named<'a> {
    what: &'a What,
    urls: Vec<Url>,
    /// Paths and queries, as keys of the group have them.
    paths: Vec<(&'a str, String)>,
    tags: Arc<[String]>,
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
        let group = what.group.as_deref().and_then(|name| groups.named(name));
        let path = |target: &'a String| match target.split_once('?') {
            Some((path, query)) => (path, group.map_or_else(|| format!("?{query}"), |group| marked(group, Some(query)))),
            None => (target.as_str(), String::new()),
        };
        let urls = what.urls.iter().filter_map(|url| Url::read(url, groups)).collect();
        Self { what, urls, paths: what.paths.iter().map(path).collect(), tags: what.tags.clone().into() }
    }

    /// Where to look for what it names: nowhere else there is any of it.
    ///
    /// Beginnings of paths are looked for in the whole group: it costs as much as a look at each key, in exchange for which no order by
    /// path has to be kept (docs/performance.md has the figures).
    pub(crate) fn places(&self) -> Vec<Where> {
        if self.what.all {
            return vec![Where::Everywhere];
        }
        let mut marks: BTreeMap<&str, Vec<Mark>> = BTreeMap::new();
        for url in &self.urls {
            marks.entry(&url.group).or_default().push(Mark::path(&url.path));
        }
        if let Some(group) = &self.what.group {
            if self.paths.is_empty() && self.tags.is_empty() {
                return vec![Where::Group(group.clone())];
            }
            let tags = self.tags.iter().map(|tag| Mark::tag(tag.as_bytes()));
            marks.entry(group).or_default().extend(self.paths.iter().map(|(path, _)| Mark::path(path)).chain(tags));
        }
        marks.into_iter().map(|(group, marks)| Where::Marked(group.to_owned(), marks)).collect()
    }

    /// Whether it means what is being loaded for a key. Its tags are not known yet.
    pub(crate) fn means(&self, key: &Key) -> Meant {
        match key.parts() {
            Some(parts) if self.is_key(&parts) => Meant::Yes,
            Some(parts) if self.is_group(&parts) && !self.tags.is_empty() => Meant::ByTag(self.tags.clone()),
            _ => Meant::No,
        }
    }

    /// Whether what is stored under a key is meant.
    pub(crate) fn is(&self, key: &Key, variants: &[Arc<Entry>]) -> bool {
        key.parts().is_some_and(|parts| self.is_key(&parts) || (self.is_group(&parts) && self.has_tag(variants)))
    }

    fn is_group(&self, parts: &Parts<'_>) -> bool {
        self.what.group.as_deref() == Some(parts.group)
    }

    fn is_key(&self, parts: &Parts<'_>) -> bool {
        let What { urls: _, group: _, paths: _, prefixes, tags, all } = self.what;
        if *all || self.urls.iter().any(|url| url.is(parts)) {
            return true;
        }
        if !self.is_group(parts) {
            return false;
        }
        let whole = self.paths.is_empty() && prefixes.is_empty() && tags.is_empty();
        // Path and query are two parts of a key: compared one after the other, without putting them together for every key.
        let begins = |prefix: &String| match parts.path.get(..prefix.len()) {
            Some(start) => start == prefix,
            None => prefix.strip_prefix(parts.path).is_some_and(|rest| parts.query.starts_with(rest)),
        };
        whole || self.paths.iter().any(|(path, query)| *path == parts.path && query == parts.query) || prefixes.iter().any(begins)
    }

    fn has_tag(&self, variants: &[Arc<Entry>]) -> bool {
        variants.iter().flat_map(|entry| entry.tag_words()).any(|word| self.tags.iter().any(|tag| tag.as_bytes() == word))
    }
}

/// A query as keys of the group have it: with its `?`.
fn marked(group: &Group, query: Option<&str>) -> String {
    group.query(query).map_or_else(String::new, |query| format!("?{query}"))
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
            query: marked(group, request.query),
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
        let excluded = key("h", "/x?utm_y=1&z=2");
        assert!(is(of(&["/x?z=2&utm_w"], &[]), &excluded), "what the group leaves out of its keys is left out here, too");
        for prefix in ["/a/", "/a/b", "/a/b?c", "/"] {
            assert!(is(of(&[], &[prefix]), &k), "{prefix}");
        }
        assert!(!is(of(&[], &["/b"]), &k) && !is(of(&[], &["/a/b?d"]), &k));
        assert!(is(of(&[], &[]), &k) && !is(of(&[], &[]), &key("a.b", "/a/b")));
        assert!(is(What { all: true, ..What::default() }, &key("a.b", "/a/b")));
    }
}
