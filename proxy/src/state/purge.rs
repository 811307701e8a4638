//! A purge in the hot cache: the keys that it matches.

use meshcache_protocol::{
    Groups, Key,
    purge::{Matcher, Scope},
};

/// A purge, prepared for many keys.
pub struct PurgeMatcher<'a>(Matcher<'a>);

impl<'a> PurgeMatcher<'a> {
    /// Prepares a purge.
    pub fn new(scope: &'a Scope, groups: &Groups) -> Self {
        Self(Matcher::new(scope, groups))
    }

    /// Returns whether the purge matches this key. A hot copy has no tags, so a purge by tag matches its whole group. A
    /// key that cannot be read matches.
    pub fn matches(&self, key: &Key) -> bool {
        self.0.matches(key, || true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::{Request, groups::GroupMatch};

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
                let GroupMatch::Group(group) = groups.find(&request, None) else { panic!("no group") };
                Key::of(group, &request, None)
            })
            .collect();
        let named = |json: &str| {
            let what: Scope = serde_json::from_str(json).unwrap();
            keys.iter().map(|key| PurgeMatcher::new(&what, &groups).matches(key)).collect::<Vec<_>>()
        };
        assert_eq!(named(r#"{"all": true}"#), [true, true, true]);
        assert_eq!(named(r#"{"group": "shop"}"#), [false, true, true]);
        assert_eq!(named(r#"{"group": "shop", "tags": ["t"]}"#), [false, true, true]);
        assert_eq!(named(r#"{"group": "shop", "paths": ["/a?utm_y=2&x=1"]}"#), [false, true, false]);
        assert_eq!(named(r#"{"group": "shop", "paths": ["/a"]}"#), [false, false, false]);
        assert_eq!(named(r#"{"group": "shop", "prefixes": ["/a/"]}"#), [false, false, true]);
        assert_eq!(
            named(r#"{"group": "shop", "prefixes": ["/a?x"]}"#),
            [false, true, false],
            "into the query, as coordinators do"
        );
        assert_eq!(
            named(r#"{"urls": ["http://config.platform.svc/a", "http://SHOP.test/a?x=1&utm_z"]}"#),
            [true, true, false]
        );
        assert_eq!(named("{}"), [false, false, false]);
    }
}
