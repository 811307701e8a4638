//! The feed: what a proxy learns from a coordinator, and the counters that ride on its question. JSON on the wire.

pub use crate::purge::What;
use crate::{groups::Config, ring::Peer};
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
    /// Group to outcome to how many requests, since the last answered question.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The answer: at once when the state differs from the proxy's, else after [`SIGN_OF_LIFE`] without `state`.
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
}

/// All that a proxy needs to serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The installation's name: for CDN-Loop and Cache-Status.
    pub installation: String,
    /// The ring's members.
    pub peers: Vec<Peer>,
    /// The groups, as configured.
    pub config: Config,
    /// Purges, newest last. One that was heard already (by its id) is passed over.
    pub purges: Vec<Purge>,
    /// The purge position that this state stands for, opaque; said again in questions.
    pub position: String,
}

/// One purge, as hot caches carry it out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Purge {
    /// Unique; hearing of it twice is once.
    pub id: String,
    /// What goes.
    pub what: What,
    /// Made stale instead of removed.
    pub soft: bool,
}
