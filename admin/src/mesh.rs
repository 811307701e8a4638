//! The whole mesh: `GET /mesh`.

use crate::Observed;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The answer to `GET /mesh`: each coordinator of the ring, as it tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mesh {
    /// The coordinator that answers.
    pub me: String,
    /// The ring's version there, as hexadecimal digits.
    pub ring: String,
    /// All coordinators of the ring, this one first. Sums over them are the mesh's numbers.
    pub coordinators: Vec<Coordinator>,
    /// What the mesh saved, all groups and all coordinators that answered.
    pub saved: Saved,
    /// What groups that observe have seen, by name, all coordinators that answered.
    pub observed: BTreeMap<String, Observed>,
}

/// One coordinator of the ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Coordinator {
    /// Its name.
    pub name: String,
    /// Where it takes requests.
    pub data: String,
    /// Where other coordinators call it.
    pub peer: String,
    /// What it tells of itself; none: it gave no answer.
    pub state: Option<CoordinatorState>,
    /// Why there is no answer: one line.
    pub unreached: Option<String>,
}

/// What a coordinator tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CoordinatorState {
    /// meshcache's version.
    pub version: String,
    /// Since its start, seconds.
    pub up_seconds: u64,
    /// Its ring's version: all agree but for the moment of a change.
    pub ring: String,
    /// What keeps it from being ready; none: it is.
    pub not_ready: Option<String>,
    /// Whether it may answer from its store (docs/purge.md).
    pub has_lease: bool,
    /// The groups' configuration that it serves.
    pub config: ConfigState,
    /// The store's limit, bytes.
    pub store_bytes: u64,
    /// The process's memory, bytes; 0: not known.
    pub memory_bytes: u64,
    /// The groups, in the order in which they are tried.
    pub groups: Vec<GroupState>,
    /// The origins that it has loaded from.
    pub origins: Vec<OriginState>,
    /// The last purges that began here, the newest first; at most 20.
    pub purges: Vec<PurgeDone>,
    /// How many proxies ask it for the feed.
    pub proxy_count: u64,
    /// Some of these proxies, by name; at most 100. What a proxy tells is anybody's word.
    pub proxies: Vec<ProxyState>,
}

impl CoordinatorState {
    /// What it saved, all groups.
    pub fn saved(&self) -> Saved {
        self.groups.iter().map(|group| group.saved).sum()
    }
}

/// The configuration in force, and what is wrong with a newer one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConfigState {
    /// The digest of all groups: equal ones have equal rules.
    pub digest: String,
    /// When it was taken, milliseconds before now.
    pub loaded_ago: u64,
    /// What is wrong with the file as it is now: the previous one is in force. None: nothing.
    pub refused: Option<String>,
}

/// What was saved. A herd is a load that at least two requests waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Saved {
    /// Requests of clients, each once: those that proxies answered from hot copies included, hops between coordinators
    /// not.
    pub requests: u64,
    /// Those of them that the service did not see. May be negative at one coordinator: loads there may be for requests
    /// elsewhere.
    pub saved: i64,
    /// Herds.
    pub herds: u64,
    /// The requests that waited in herds, but for one of each.
    pub herd_loads: u64,
}

/// One group at one coordinator. Numbers count from the start of its process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupState {
    /// Its name.
    pub name: String,
    /// `on`, `observe` or `off`.
    pub mode: String,
    /// Its `match`, as configured.
    pub r#match: Value,
    /// Its origin's URL.
    pub origin: String,
    /// The digest of its rules.
    pub digest: String,
    /// Why proxies do not have it; none: they have.
    pub not_for_proxies: Option<String>,
    /// What it saved.
    pub saved: Saved,
    /// Requests by outcome (`hit`, `hot`, `miss`, `pass` …), those that proxies told included.
    pub outcomes: BTreeMap<String, u64>,
    /// Requests that were not answered from the cache, or responses that were not stored, by reason (docs/reasons.md),
    /// whichever are more.
    pub reasons: BTreeMap<String, u64>,
    /// Responses that are stored.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Responses that made room for others.
    pub evictions: u64,
    /// Loads in progress.
    pub loading: u64,
    /// Requests that wait for a place among `maxLoads`.
    pub waiting: u64,
    /// How long requests took that the store answered.
    pub hits: Latency,
    /// How long requests took that were loaded.
    pub misses: Latency,
    /// What `mode: observe` has seen; none: the group does not observe.
    pub observed: Option<Observed>,
}

/// How long something took, milliseconds: upper bounds of the histogram's buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// Half of them took at most this.
    pub p50: f64,
    /// 99 of 100 took at most this.
    pub p99: f64,
}

/// One origin at one coordinator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OriginState {
    /// Scheme and authority.
    pub origin: String,
    /// The groups that load from it.
    pub groups: Vec<String>,
    /// Requests sent to it.
    pub requests: u64,
    /// Of which brought no response, by reason.
    pub failures: BTreeMap<String, u64>,
    /// When the last of these was, milliseconds before now.
    pub failed_ago: Option<u64>,
    /// How long its responses' heads took, over the last minute or so.
    pub took: Latency,
}

/// A purge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PurgeDone {
    /// Its id.
    pub id: String,
    /// What it named, in few words: `group g, prefixes /a/`.
    pub what: String,
    /// Whether it made responses stale instead of removing them.
    pub soft: bool,
    /// When, milliseconds before now.
    pub ago: u64,
    /// Responses that it removed, on all coordinators.
    pub entries: u64,
    /// Coordinators that did not acknowledge it.
    pub unreached: Vec<String>,
}

/// A proxy, as it tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyState {
    /// Its name: Envoy's node id.
    pub name: String,
    /// The filter's version.
    pub version: String,
    /// When it asked last, milliseconds before now.
    pub asked_ago: u64,
}
