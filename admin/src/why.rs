//! Why a request is, or is not, answered from the cache: `POST /why`.

use serde::{Deserialize, Serialize};

/// The request that is explained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct WhyRequest {
    /// `http[s]://HOST[:PORT]/PATH[?QUERY]`.
    pub url: String,
    /// Its method; empty: GET.
    pub method: String,
    /// Its headers, `NAME: VALUE` each.
    pub headers: Vec<String>,
    /// Asks once for real, at the owner, and tells each hop.
    pub probe: bool,
}

/// The explanation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Why {
    /// The answer in one line: `fresh at meshcache-1, for 12 s more` or `not stored: private`.
    pub summary: String,
    /// The URL as the cache reads it, of its query the names alone.
    pub url: String,
    /// The group; none: no group takes it.
    pub group: Option<String>,
    /// The rule of that group that matched: `hosts: config-server.platform, paths: prefix /develop`.
    pub rule: Option<String>,
    /// Why the request alone decides (`method`, `bypass-header` …); none: it may be answered from the cache.
    pub request_reason: Option<String>,
    /// The key's parts, in order.
    pub key: Vec<KeyPart>,
    /// The hash of the key, as in logs and traces.
    pub key_hash: Option<String>,
    /// The owner.
    pub owner: Option<String>,
    /// The next peer.
    pub next: Option<String>,
    /// What each coordinator knows, the owner first.
    pub at: Vec<AtCoordinator>,
    /// What to change so that it is cached, or cached for longer; empty: nothing, or nothing that would be right.
    pub advice: Vec<Advice>,
    /// The hops of the probe; empty: none was asked for.
    pub hops: Vec<Hop>,
}

/// One part of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeyPart {
    /// What it is: `group`, `scheme`, `host`, `path`, `query`, `header x-tenant`, `cookie lang`.
    pub name: String,
    /// Its value; of a query the names alone, of a header or a cookie `(given)` or `(absent)`.
    pub value: String,
}

/// What one coordinator knows of the request's key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AtCoordinator {
    /// Its name.
    pub name: String,
    /// Why it gave no answer; none: it did.
    pub unreached: Option<String>,
    /// Whether it may answer from its store.
    pub has_lease: bool,
    /// The responses that it has, all variants.
    pub stored: Vec<StoredResponse>,
    /// Whether a load is in progress, and how many wait for it.
    pub loading: Option<u64>,
    /// The last reasons why it did not answer from its store or did not store, the newest first; at most 4.
    pub last: Vec<LastReason>,
    /// When it stored a response last, milliseconds before now, as far as it remembers.
    pub stored_ago: Option<u64>,
    /// Whether later requests pass at once because of the last one, for how many milliseconds more.
    pub passes_for: Option<u64>,
    /// What the probe did here; empty: none was asked for.
    pub hops: Vec<Hop>,
}

/// One stored response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StoredResponse {
    /// Its status.
    pub status: u16,
    /// Whether it answers the request that is explained.
    pub answers: bool,
    /// Why not; none: it does.
    pub why_not: Option<String>,
    /// The names of the headers that select it (`Vary`).
    pub vary: Vec<String>,
    /// `main` or `hot`.
    pub kept_as: String,
    /// Its age, seconds.
    pub age: u64,
    /// For how long it is fresh, seconds; negative: stale for so long.
    pub ttl: i64,
    /// The rule that gave its lifetime: `s-maxage`, `max-age`, `expires`, `freshness.default`, `freshness.override` …
    pub lifetime_by: String,
    /// Bytes of its body.
    pub bytes: u64,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Why a request was not answered from the store, or a response not stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LastReason {
    /// The word (docs/reasons.md).
    pub reason: String,
    /// When, milliseconds before now.
    pub ago: u64,
    /// The origin's status; none: there was no response.
    pub status: Option<u16>,
    /// The response's headers that decided, `NAME: VALUE` each. Of Set-Cookie the cookie's name alone.
    pub decided: Vec<String>,
}

/// What to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Advice {
    /// The reason that it is about; empty: about none.
    pub reason: String,
    /// What to do, and what to think of before: one or two sentences.
    pub text: String,
    /// The group with the change, as YAML that `meshcache check` takes; none: it is no matter of configuration.
    pub yaml: Option<String>,
    /// The change as a unified diff from the group as it is.
    pub diff: Option<String>,
}

/// A step of a probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Hop {
    /// Who did it: a coordinator's name, or the origin.
    pub at: String,
    /// What was done: `looked up: miss`, `loaded: 200, max-age=60`.
    pub what: String,
    /// How long it took, milliseconds.
    pub took: f64,
}
