//! A purge as the hot cache carries it out: which keys it names.

use meshcache_protocol::{Groups, Key, Request, groups::Found, key, purge::What};
use std::borrow::Cow;

/// A purge that has been made ready for many keys.
pub struct Named<'a> {
    what: &'a What,
    urls: Vec<Url<'a>>,
    /// `paths`, with their query as the group has it in its keys.
    paths: Vec<(&'a str, Cow<'a, str>)>,
}

struct Url<'a> {
    scheme: &'a str,
    /// As it stands in keys: the service's name in a group by service.
    authority: Cow<'a, str>,
    path: &'a str,
    query: Cow<'a, str>,
}

impl<'a> Named<'a> {
    /// Makes a purge ready.
    pub fn new(what: &'a What, groups: &'a Groups) -> Self {
        let group = what.group.as_deref().and_then(|name| groups.named(name));
        let paths = what.paths.iter().map(|path| match path.split_once('?') {
            Some((path, query)) => (path, marked(group.map_or(Some(Cow::Borrowed(query)), |group| group.query(Some(query))))),
            None => (path.as_str(), Cow::Borrowed("")),
        });
        Self { what, urls: what.urls.iter().filter_map(|url| Url::read(url, groups)).collect(), paths: paths.collect() }
    }

    /// Whether the purge names this key.
    pub fn is(&self, key: &Key) -> bool {
        if self.what.all {
            return true;
        }
        // What cannot be judged goes.
        let Some(parts) = key.parts() else { return true };
        if self.urls.iter().any(|url| url.scheme == parts.scheme && url.authority == parts.authority && url.path == parts.path && url.query == parts.query) {
            return true;
        }
        let Some(group) = &self.what.group else { return false };
        // A hot copy does not know its tags: a purge by tag takes the whole group.
        let whole = !self.what.tags.is_empty() || (self.what.paths.is_empty() && self.what.prefixes.is_empty());
        let path = || self.paths.iter().any(|(path, query)| *path == parts.path && *query == parts.query);
        let prefix = || self.what.prefixes.iter().any(|prefix| parts.path.starts_with(prefix.as_str()));
        group == parts.group && (whole || path() || prefix())
    }
}

impl<'a> Url<'a> {
    fn read(url: &'a str, groups: &'a Groups) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.is_empty() { "/" } else { target };
        let request = Request::read(b"GET", scheme.as_bytes(), authority.as_bytes(), target.as_bytes(), &[]).ok()?;
        let (authority, query) = match groups.find(&request, None) {
            Found::Group(group) => (key::authority(group, &request), marked(group.query(request.query))),
            _ => (Cow::Borrowed(request.authority), marked(request.query.map(Cow::Borrowed))),
        };
        Some(Self { scheme: request.scheme, authority, path: request.path, query })
    }
}

/// A query as it stands in keys: with its `?`.
fn marked(query: Option<Cow<'_, str>>) -> Cow<'_, str> {
    query.map_or(Cow::Borrowed(""), |query| Cow::Owned(format!("?{query}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_names_what_it_says_and_nothing_else() {
        let config = serde_json::json!({"version": 1, "groups": [
            {"name": "config", "match": {"service": "config.platform"}, "origin": {"url": "http://o"}},
            {"name": "shop", "match": {"hosts": ["shop.test"]}, "origin": {"url": "http://o"}, "key": {"query": {"exclude": ["utm_*"]}}}]});
        let groups = Groups::new(serde_json::from_value(config).unwrap()).unwrap();
        let keys: Vec<Key> = [("config.platform:9000", "/a"), ("shop.test", "/a?x=1"), ("shop.test", "/a/b")]
            .iter()
            .map(|(authority, target)| {
                let request = Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[]).unwrap();
                let Found::Group(group) = groups.find(&request, None) else { panic!("no group") };
                Key::of(group, &request, None)
            })
            .collect();
        let named = |json: &str| {
            let what: What = serde_json::from_str(json).unwrap();
            keys.iter().map(|key| Named::new(&what, &groups).is(key)).collect::<Vec<_>>()
        };
        assert_eq!(named(r#"{"all": true}"#), [true, true, true]);
        assert_eq!(named(r#"{"group": "shop"}"#), [false, true, true]);
        assert_eq!(named(r#"{"group": "shop", "tags": ["t"]}"#), [false, true, true]);
        assert_eq!(named(r#"{"group": "shop", "paths": ["/a?utm_y=2&x=1"]}"#), [false, true, false]);
        assert_eq!(named(r#"{"group": "shop", "paths": ["/a"]}"#), [false, false, false]);
        assert_eq!(named(r#"{"group": "shop", "prefixes": ["/a/"]}"#), [false, false, true]);
        assert_eq!(named(r#"{"urls": ["http://config.platform.svc/a", "http://SHOP.test/a?x=1&utm_z"]}"#), [true, true, false]);
        assert_eq!(named("{}"), [false, false, false]);
    }
}
