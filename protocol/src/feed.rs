//! The feed: groups, ring and purges from a coordinator to a proxy, and the proxy's counters. JSON on the wire.
//!
//! A proxy polls one coordinator. The response comes at once when there is something new, else as a heartbeat.

use crate::{
    groups::{Config, GroupConfig, Groups, check::Problem},
    mark::MarkedPosition,
    purge::{Position, Purge},
    ring::Peer,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The feed's version of this code, which also reads and answers the versions before it. From version 2 on, the state
/// has the digests of all rules; a filter of version 1 makes them itself. Version 3 knows `methods`, `request`, path
/// rules by target, `freshness.ignore` and `status` of successes, `key.host` and `key.query.include`: a group that needs
/// them is off for a filter of a version before.
pub const VERSION: u32 = 3;

/// How long a coordinator waits for something new before it answers with a heartbeat, milliseconds.
pub const HEARTBEAT: u64 = 1000;
/// How long after the last heartbeat a worker still uses its hot cache, milliseconds.
pub const HEARTBEAT_TIMEOUT: u64 = 3000;

/// `POST /.meshcache/feed`: what a proxy has, and what it counted since its last answered poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedRequest {
    /// The feed's version that the proxy speaks.
    pub wire: u32,
    /// The proxy's name (Envoy's node id), by which coordinators count proxies.
    pub proxy: String,
    /// The filter's version.
    pub filter_version: String,
    /// The version of the proxy's state; empty: none.
    pub version: String,
    /// The purges that the proxy has carried out.
    pub position: Position,
    /// The part of `position` that the proxy's questions carry, with its marks. A coordinator that lacks purges of it
    /// asks the other coordinators for them.
    #[serde(rename = "told")]
    pub announced: MarkedPosition,
    /// Whether the response is wanted at once: the proxy has lost another coordinator.
    pub at_once: bool,
    /// Whether the proxy knows purges by `regex` and `hosts`. To others they are told as their group, or as everything.
    pub exact: bool,
    /// Group to outcome to number of requests since the last answered poll.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// The panics of the filter since the last answered poll. A dynamic module survives them; their requests passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub panics: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over like that")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a proxy counts beside its requests: loads of a coordinator that at least two of them waited for.
pub const HERD: &str = "herd";
/// The requests that waited for these loads, but for one of each.
pub const SHARED: &str = "shared";

/// The response: at once with what the proxy lacks, else after [`HEARTBEAT`] without anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedResponse {
    /// The feed's version of this response: the older one of both sides.
    pub wire: u32,
    /// The coordinator's name. The proxy polls it again until it fails.
    pub peer: String,
    /// The version of the state, opaque.
    pub version: String,
    /// The whole state, where the proxy has another version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The purges that the proxy lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
}

/// All that a proxy needs to serve, except for purges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The installation's name: for CDN-Loop and Cache-Status.
    pub installation: String,
    /// The ring's members.
    pub peers: Vec<Peer>,
    /// The groups, without what only coordinators need.
    pub config: Config,
    /// The digest of each group's rules, by the group's name. Version 1 has none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

impl State {
    /// Creates the state for a proxy that speaks version `wire` of the feed.
    pub fn new(wire: u32, installation: &str, peers: &[Peer], config: &Config) -> Self {
        // A group that is not for proxies is told, as off, only where its requests would be a later group's.
        let count =
            config.groups.iter().rposition(GroupConfig::is_for_proxies).map_or(0, |last| last.saturating_add(1));
        let told = || config.groups.iter().take(count);
        let groups = told().map(|group| group.for_feed(wire));
        let digests = if wire < 2 {
            BTreeMap::new()
        } else {
            told().map(|group| (group.name.to_string(), group.digest())).collect()
        };
        let debuggers = config.debuggers.iter().filter(|pattern| !pattern.is_dns()).cloned().collect();
        let config = Config { version: config.version, debuggers, groups: groups.collect() };
        Self { installation: installation.to_owned(), peers: peers.to_vec(), config, digests }
    }

    /// Returns the first version of the feed whose proxies are told all groups as they are. For those before it some are
    /// off.
    pub fn first_whole(config: &Config) -> u32 {
        config.groups.iter().map(GroupConfig::feed_version).max().unwrap_or_default()
    }

    /// Returns the groups, or the first problem of their configuration.
    pub fn groups(self) -> Result<Groups, Problem> {
        Groups::told(self.config, &self.digests)
    }
}

/// Purges that lead from one position to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct News {
    /// The position before them. A proxy that has less has missed purges that are no longer in the log, and empties
    /// its cache.
    pub since: Position,
    /// The position after them.
    pub position: Position,
    /// The marks of `position` ([`crate::mark`]); empty: the coordinator has no token, or no marks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub marks: String,
    /// The purges, in an order in which they can be appended. The proxy skips those that it has.
    pub purges: Vec<Purge>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        groups::{GroupMatch, Methods, Mode},
        request::Request,
    };
    use serde_json::Value;

    fn config(group: Value) -> Config {
        let mut all = serde_json::json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://secret:9", "host": "client", "ca": "/secret"}});
        all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
        serde_json::from_value(serde_json::json!({"version": 1, "groups": [all]})).unwrap()
    }

    #[test]
    fn proxies_are_told_of_no_callers_that_they_cannot_know() {
        let told = |callers: Value| {
            let state = State::new(3, "meshcache", &[], &config(serde_json::json!({"callers": callers})));
            state.config.groups[0].callers.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(serde_json::json!(["dns:a.test", "spiffe://d/a"])), ["spiffe://d/a"]);
        assert_eq!(told(serde_json::json!(["dns:a.test"])), ["spiffe://!"], "nobody, and not everybody");
        assert_eq!(told(serde_json::json!([])), [""; 0]);
        assert_eq!(told(serde_json::json!(["*"])), ["*"]);
    }

    #[test]
    fn proxies_get_no_address_of_an_origin() {
        let config = config(serde_json::json!({"callers": ["spiffe://d/a"], "hot": {"ttl": "3s"}}));
        for wire in [1, 2, 3] {
            let state = State::new(wire, "meshcache", &[], &config);
            let told = serde_json::to_string(&state).unwrap();
            assert!(!told.contains("secret") && !told.contains("client") && told.contains("http://hidden"), "{told}");
            assert!(told.contains("spiffe://d/a") && told.contains("\"3s\""), "what it decides by: {told}");
        }
    }

    #[test]
    fn proxies_of_either_version_have_a_digest_that_coordinators_take_for_their_own() {
        for group in [
            serde_json::json!({}),
            serde_json::json!({"freshness": {"errors": "safe"}}),
            serde_json::json!({"patience": "2s"}),
        ] {
            let config = config(group);
            let ours = Groups::new(config.clone()).unwrap();
            let ours = ours.named("g").unwrap();
            for wire in [1, 2, 3] {
                let groups = State::new(wire, "meshcache", &[], &config).groups().unwrap();
                let theirs = groups.named("g").unwrap().digest();
                assert!(ours.accepts_digest(theirs), "{wire}");
                assert_eq!(theirs == ours.digest(), wire >= 2);
            }
            assert!(!ours.accepts_digest("0123456789abcdef"));
        }
    }

    /// Names of all fields and patterns in a text of JSON.
    fn names(json: &Value, into: &mut std::collections::BTreeSet<String>) {
        match json {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                into.insert(name.clone());
                names(value, into);
            }),
            Value::Array(values) => values.iter().for_each(|value| names(value, into)),
            _ => {}
        }
    }

    #[test]
    fn a_group_with_rules_that_a_filter_does_not_know_is_off_for_it_and_told_in_words_that_it_knows() {
        let told = |config: &Config, wire| State::new(wire, "meshcache", &[], config);
        let mut known = std::collections::BTreeSet::new();
        let plain = config(serde_json::json!({"match": {"hosts": ["h"], "paths": [{"prefix": "/a"}]}}));
        names(&serde_json::to_value(told(&plain, 2)).unwrap(), &mut known);
        assert_eq!(State::first_whole(&plain), 1);
        for (group, path) in [
            (serde_json::json!({"request": {"drop": ["cookie"]}}), "/b"),
            (serde_json::json!({"request": {"acceptEncoding": ["br"]}}), "/b"),
            (serde_json::json!({"methods": ["GET"]}), "/b"),
            (serde_json::json!({"request": {"drop": ["*"]}, "freshness": {"ignore": ["vary"]}}), "/b"),
            (serde_json::json!({"freshness": {"status": {"2xx": "1s"}}}), "/b"),
            (serde_json::json!({"freshness": {"status": {"404": "1s", "302": "1s"}}}), "/b"),
            (serde_json::json!({"key": {"query": {"include": ["q"]}}}), "/b"),
            (serde_json::json!({"key": {"host": "none"}, "origin": {"url": "http://secret:9"}}), "/b"),
            (
                serde_json::json!({"match": {"hosts": ["h"], "paths": [{"prefix": "/a"}, {"target": {"regex": "/b"}}]}}),
                "/b",
            ),
            (
                serde_json::json!({"match": {"hosts": ["h"], "paths": [{"prefix": "/b"}], "exclude": [{"target": {"regex": "/b"}}]}}),
                "/b",
            ),
        ] {
            let config = config(group.clone());
            assert_eq!(State::first_whole(&config), 3, "{group}");
            for wire in [1, 2] {
                let state = told(&config, wire);
                let mut said = std::collections::BTreeSet::new();
                names(&serde_json::to_value(&state).unwrap(), &mut said);
                assert!(said.is_subset(&known), "{group}: {:?}", said.difference(&known));
                let groups = state.groups().unwrap();
                let request = Request::read(b"GET", b"http", b"h", path.as_bytes(), &[]).unwrap();
                let GroupMatch::Group(found) = groups.find(&request, None) else { panic!("{group}") };
                assert_eq!(found.config().mode, Mode::Off, "{group}");
            }
            let groups = told(&config, 3).groups().unwrap();
            assert_eq!(groups.named("g").unwrap().config().mode, Mode::On, "{group}");
        }
        let more = config(serde_json::json!({"methods": ["GET", "HEAD", "QUERY"]}));
        assert_eq!(told(&more, 2).config.groups[0].methods, Methods::default(), "it serves GET and HEAD as before");
        assert_eq!(State::first_whole(&more), 1);
    }

    #[test]
    fn the_digest_of_version_1_is_what_filters_of_that_time_make_of_it() {
        // Made by the filter of commit ac21e7d of what it is told.
        let told = State::new(1, "meshcache", &[], &config(serde_json::json!({"patience": "2s"})));
        assert_eq!(told.groups().unwrap().named("g").unwrap().digest(), "50a95dfac5d74afe");
    }
}
