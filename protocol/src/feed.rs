//! The feed: what a proxy learns from a coordinator, and the counters that ride on its question. JSON on the wire.

use crate::{
    groups::{Config, Groups, check::Problem},
    mark::MarkedPosition,
    purge::{Position, Purge},
    ring::Peer,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the feed that this code speaks; it reads and answers the one before it, too. From 2 on a proxy is
/// told what it decides by, with the digests of all rules; version 1 had the groups as they are configured, and a proxy
/// made the digests itself.
pub const VERSION: u32 = 2;

/// How often a coordinator gives a sign of life on an open feed question, milliseconds.
pub const HEARTBEAT: u64 = 1000;
/// How long a worker that heard no sign of life goes on using its hot cache, milliseconds.
pub const HEARTBEAT_TIMEOUT: u64 = 3000;

/// `POST /.meshcache/feed`: what a proxy knows, and what it has counted since its last answered question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedRequest {
    /// The version of the feed that the proxy speaks.
    pub wire: u32,
    /// The proxy's own name (Envoy's node id), so that a coordinator can count proxies.
    pub proxy: String,
    /// The filter's version.
    pub filter_version: String,
    /// The version of the state that the proxy has; empty: none.
    pub version: String,
    /// The purges that it has carried out.
    pub position: Position,
    /// Those of them that its questions tell of, with their marks: what this coordinator lacks of these it asks the
    /// others for.
    #[serde(rename = "told")]
    pub announced: MarkedPosition,
    /// It has lost another coordinator, and wants a sign of life at once.
    pub at_once: bool,
    /// Group to outcome to how many requests, since the last answered question.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The answer: at once when there is something that the proxy does not know, else after [`HEARTBEAT`] without it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedResponse {
    /// The version of the feed that this is: the asker's, if that is the older one.
    pub wire: u32,
    /// The name of the coordinator that answers: the proxy asks it again until it fails.
    pub peer: String,
    /// The version of the state, opaque.
    pub version: String,
    /// The whole state, when the asker's version differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The purges that the asker has not carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
}

/// All that a proxy needs to serve, but for purges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The installation's name: for CDN-Loop and Cache-Status.
    pub installation: String,
    /// The ring's members.
    pub peers: Vec<Peer>,
    /// The groups, without what only coordinators need to know.
    pub config: Config,
    /// The digest of each group's rules, by its name, as coordinators have it. Version 1 has none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

impl State {
    /// What a proxy of this version of the feed is told of a coordinator's groups.
    pub fn new(wire: u32, installation: &str, peers: &[Peer], config: &Config) -> Self {
        let groups = config.groups.iter().map(|group| if wire < 2 { group.for_feed_1() } else { group.for_proxies() });
        let digests = if wire < 2 {
            BTreeMap::new()
        } else {
            config.groups.iter().map(|group| (group.name.to_string(), group.digest())).collect()
        };
        let config = Config { version: config.version, debuggers: config.debuggers.clone(), groups: groups.collect() };
        Self { installation: installation.to_owned(), peers: peers.to_vec(), config, digests }
    }

    /// The groups that a proxy serves by.
    pub fn groups(self) -> Result<Groups, Problem> {
        Ok(Groups::new(self.config)?.with_digests(&self.digests))
    }
}

/// Purges that lead from one position to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct News {
    /// From where. Who is not there has missed something that nobody tells any more, and empties its cache.
    pub since: Position,
    /// To where.
    pub position: Position,
    /// The marks of that position ([`crate::mark`]). Empty: there is no token to make them by, or nobody who knows of
    /// marks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub marks: String,
    /// In an order in which they can be heard. Who has heard of one passes it over.
    pub purges: Vec<Purge>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn config(group: Value) -> Config {
        let mut all = serde_json::json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://secret:9", "host": "client", "ca": "/secret"}});
        all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
        serde_json::from_value(serde_json::json!({"version": 1, "groups": [all]})).unwrap()
    }

    #[test]
    fn a_proxy_is_not_told_where_origins_are() {
        let config = config(serde_json::json!({"callers": ["spiffe://d/a"], "hot": {"ttl": "3s"}}));
        for wire in [1, 2] {
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
            for wire in [1, 2] {
                let groups = State::new(wire, "meshcache", &[], &config).groups().unwrap();
                let theirs = groups.named("g").unwrap().digest();
                assert!(ours.accepts_digest(theirs), "{wire}");
                assert_eq!(theirs == ours.digest(), wire == 2);
            }
            assert!(!ours.accepts_digest("0123456789abcdef"));
        }
    }

    #[test]
    fn the_digest_of_version_1_is_what_filters_of_that_time_make_of_it() {
        // Made by the filter of commit ac21e7d of what it is told.
        let told = State::new(1, "meshcache", &[], &config(serde_json::json!({"patience": "2s"})));
        assert_eq!(told.groups().unwrap().named("g").unwrap().digest(), "50a95dfac5d74afe");
    }
}
