//! What `mode: observe` has seen of a group.

use serde::{Deserialize, Serialize};

/// The evidence of a group that observes. No body and no value is in it: names, paths, and the names of parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Observed {
    /// Responses that were compared with another one for the same key.
    pub compared: u64,
    /// How many of `compared` proxies told of, on the data port: anybody's word.
    pub told: u64,
    /// How many of `compared` the cache would have answered with something else.
    pub mismatches: u64,
    /// For how long it has observed, seconds.
    pub for_seconds: u64,
    /// What this says.
    pub verdict: Verdict,
    /// The last differences, the newest first; at most 20.
    pub last: Vec<Difference>,
    /// The parts of requests in which two compared requests differed, those first that explain the most; at most 64.
    pub parts: Vec<DifferingPart>,
}

/// A part of requests that is not in the key, and how often two compared requests differed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DifferingPart {
    /// Its name, as in [`Difference::candidates`].
    pub name: String,
    /// How often it differed while the responses did.
    pub in_mismatches: u64,
    /// How often it differed while the responses were the same.
    pub in_matches: u64,
}

/// Whether the group may be switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Verdict {
    /// Whether nothing speaks against it, and enough was compared.
    pub safe: bool,
    /// One line: `safe to switch on: 0 of 84,210 in 24 h`, or `not: add x-tenant to key.headers`.
    pub text: String,
    /// What to write in the group, as YAML; none: nothing mends it.
    pub yaml: Option<String>,
}

/// Two responses for one key that were not the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Difference {
    /// When, milliseconds before now.
    pub ago: u64,
    /// Scheme, host and path, and the names of the query's parameters.
    pub url: String,
    /// What differed: `status 200, 404`, `body`, `location`.
    pub differs: Vec<String>,
    /// What of the two requests differed, and would tell them apart: `header x-tenant`, `cookie session`,
    /// `query user`, `route`, `host`, `coordinator` (it loads another response than the proxy's route brings).
    pub candidates: Vec<String>,
    /// Whether a proxy told this: anybody's word.
    pub told: bool,
}
