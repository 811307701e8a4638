//! The feed: what a proxy learns from a coordinator, and the counters that ride on its question. JSON on the wire.

use crate::{
    groups::Config,
    mark::Marked,
    purge::{Position, Purge},
    ring::Peer,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a coordinator gives a sign of life on an open feed question, milliseconds.
pub const SIGN_OF_LIFE: u64 = 1000;
/// How long a worker that heard no sign of life goes on using its hot cache, milliseconds.
pub const TRUST: u64 = 3000;

/// `POST /.meshcache/feed`: what a proxy knows, and what it has counted since its last answered question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedQuestion {
    /// The proxy's wire version.
    pub wire: u32,
    /// The proxy's own name (Envoy's node id), so that a coordinator can count proxies.
    pub proxy: String,
    /// The filter's version.
    pub filter_version: String,
    /// The version of the state that the proxy has; empty: none.
    pub version: String,
    /// The purges that it has carried out.
    pub position: Position,
    /// Those of them that its questions tell of, with their marks: what this coordinator lacks of these it asks the others for.
    pub told: Marked,
    /// It has lost another coordinator, and wants a sign of life at once.
    pub at_once: bool,
    /// Group to outcome to how many requests, since the last answered question.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The answer: at once when there is something that the proxy does not know, else after [`SIGN_OF_LIFE`] without it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedAnswer {
    /// The coordinator's wire version.
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
    /// The groups, as configured.
    pub config: Config,
}

/// Purges that lead from one position to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct News {
    /// From where. Who is not there has missed something that nobody tells any more, and empties its cache.
    pub since: Position,
    /// To where.
    pub position: Position,
    /// The marks of that position ([`crate::mark`]). Empty: there is no token to make them by, or nobody who knows of marks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub marks: String,
    /// In an order in which they can be heard. Who has heard of one passes it over.
    pub purges: Vec<Purge>,
}
