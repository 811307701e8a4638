//! A group as its file has it: what is not as by default, in the order of the documentation, with a change as a diff.

use meshcache_protocol::{groups::GroupConfig, units::Span};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use similar::TextDiff;

/// The fields of a group that come first.
const FIRST: [&str; 5] = ["version", "groups", "name", "mode", "match"];

/// Returns a group as a file that `meshcache check` takes. `None`: it cannot be written.
pub(super) fn file(group: &GroupConfig) -> Option<String> {
    let (mut own, plain) = (written(group)?, written(&plain(group)?)?);
    without_defaults(&mut own, &plain);
    own.insert("name".into(), json!(group.name));
    own.insert("match".into(), used(serde_json::to_value(&group.r#match).ok()?));
    let origin = own.entry("origin").or_insert_with(|| json!({}));
    if let (Some(origin), Some(url)) = (origin.as_object_mut(), serde_json::to_value(&group.origin).ok()?.get("url")) {
        origin.insert("url".into(), url.clone());
    }
    if origin.as_object().is_some_and(Map::is_empty) {
        own.remove("origin");
    }
    serde_saphyr::to_string(&Ordered(&json!({"version": 1, "groups": [own]}))).ok()
}

/// Returns the change from one file to another as a unified diff.
pub(super) fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(3).header("now", "changed").to_string()
}

/// Returns all fields of a group, also those that no proxy is told.
fn written(group: &GroupConfig) -> Option<Map<String, Value>> {
    let Value::Object(mut all) = serde_json::to_value(without_rules(group)).ok()? else { return None };
    let untold = [
        ("passThrough", serde_json::to_value(&group.pass_through)),
        ("fill", serde_json::to_value(group.fill)),
        ("fillers", serde_json::to_value(&group.fillers)),
        ("streamAfter", serde_json::to_value(group.stream_after)),
        ("minUses", serde_json::to_value(group.min_uses)),
    ];
    for (name, value) in untold {
        all.insert(name.into(), value.ok()?);
    }
    let limits = all.get_mut("limits")?.as_object_mut()?;
    limits.insert("window".into(), serde_json::to_value(group.limits.window).ok()?);
    limits.insert("slices".into(), serde_json::to_value(group.limits.slices).ok()?);
    Some(all)
}

/// Returns a group without the rules that follow from its origin's credentials: they are not written.
fn without_rules(group: &GroupConfig) -> GroupConfig {
    let mut own = group.clone();
    if own.origin.gets_credentials() {
        own.bypass.headers.retain(|name| name != "authorization");
    }
    own
}

/// Returns a group of which nothing else is written.
fn plain(group: &GroupConfig) -> Option<GroupConfig> {
    serde_json::from_value(json!({"name": group.name, "match": group.r#match, "origin": {"url": "http://plain"}})).ok()
}

/// Removes what is as by default.
fn without_defaults(own: &mut Map<String, Value>, plain: &Map<String, Value>) {
    own.retain(|name, value| match (value, plain.get(name)) {
        (value, Some(default)) if *value == *default => false,
        (Value::Object(own), Some(Value::Object(plain))) => {
            without_defaults(own, plain);
            !own.is_empty()
        }
        (value, None) => !value.is_null(),
        _ => true,
    });
}

/// Returns a match without its empty lists.
fn used(of: Value) -> Value {
    let Value::Object(mut all) = of else { return of };
    all.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    Value::Object(all)
}

/// A value whose maps begin with the fields that people look for.
struct Ordered<'v>(&'v Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(all) => {
                let mut map = to.serialize_map(Some(all.len()))?;
                let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
                let mut names: Vec<_> = all.iter().collect();
                names.sort_by_key(|(name, _)| place(name));
                names.into_iter().try_for_each(|(name, value)| map.serialize_entry(name, &Ordered(value)))?;
                map.end()
            }
            Value::Array(all) => to.collect_seq(all.iter().map(Ordered)),
            plain => plain.serialize(to),
        }
    }
}

/// A freshness for what has none.
pub(super) const SHORT: Span = Span::secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::groups_file::GroupSource, settings::Identity};
    use meshcache_protocol::groups::Config;

    fn group(fields: Value) -> GroupConfig {
        let mut all = json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o:80"}});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    /// The group that the loader makes of a file.
    fn read(text: &str) -> GroupConfig {
        let source = GroupSource::Text { name: "why".into(), text: text.into() };
        source.load(&source.read(), Identity::Xfcc).unwrap().config.groups.remove(0)
    }

    #[test]
    fn a_group_is_written_with_what_is_not_as_by_default() {
        let text = file(&group(json!({"freshness": {"default": "30s"}, "mode": "observe"}))).unwrap();
        let expected = "version: 1\ngroups:\n  - name: g\n    mode: observe\n    match:\n      hosts:\n        - h\n    freshness:\n      default: 30s\n    origin:\n      url: http://o:80\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn every_field_is_read_back_as_it_was() {
        for fields in [
            json!({}),
            json!({"passThrough": {"methods": ["*"], "otherPaths": true}, "streamAfter": "1s", "minUses": 3}),
            json!({"limits": {"window": "8MiB", "slices": "1MiB", "object": "64MiB", "bytes": "50%"}, "overload": 503}),
            json!({"fill": "proxy", "fillers": ["spiffe://a/ns/b/sa/*"], "origin": {}}),
            json!({"match": {"service": "a.b", "paths": [{"prefix": "/x"}, {"regex": "/y: .*#"}], "exclude": [{"target": {"regex": "a=1", "search": true}}]}}),
            json!({"freshness": {"status": {"404": "10s", "5xx": "0s"}, "force": "5s", "targets": ["CDN-Cache-Control"], "errors": "rfc9111"}}),
            json!({"request": {"drop": ["*"], "acceptEncoding": ["br"]}, "freshness": {"ignore": ["private", "no-store"]}}),
            json!({"origin": {"url": "https://o/a", "headers": {"x-key": {"file": "/key"}}, "maxLoads": 3, "timeout": "1m"}, "callers": ["*"]}),
            json!({"key": {"host": "none", "query": {"include": ["on", "no", "1", "utm_*"]}, "headers": ["x-a"], "cookies": ["yes"], "route": true}, "hot": {"ttl": "0s"}}),
        ] {
            let own = group(fields);
            let text = file(&own).unwrap();
            assert_eq!(read(&text), own, "{text}");
        }
    }

    #[test]
    fn the_rules_that_follow_from_credentials_are_not_written() {
        let fields = json!({"origin": {"url": "https://o", "headers": {"x-key": {"file": "/key"}}}, "callers": ["*"]});
        let config = Config { groups: vec![group(fields.clone())], ..Config::default() };
        let groups = meshcache_protocol::Groups::new(config).unwrap();
        let text = file(groups.iter().next().unwrap().config()).unwrap();
        assert!(!text.contains("bypass"), "{text}");
    }
}
