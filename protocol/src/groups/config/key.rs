//! The parts of the key.

use crate::groups::patterns::{NamePattern, lower_names};
use serde::{Deserialize, Serialize};

/// The parts of the key besides group, scheme, authority, path and query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct KeyRules {
    /// Whether the host is in the key.
    #[serde(skip_serializing_if = "KeyHost::is_client")]
    pub host: KeyHost,
    /// The query.
    pub query: QueryRules,
    /// Header names whose values are in the key.
    #[serde(deserialize_with = "lower_names")]
    pub headers: Vec<String>,
    /// Cookie names whose values are in the key.
    pub cookies: Vec<String>,
    /// Whether the cluster and name of the proxy's route are in the key (canaries).
    pub route: bool,
}

/// The part of the query that is in the key and sent to the origin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct QueryRules {
    /// The only parameters to keep: `utm_*` or whole names; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<NamePattern>,
    /// Parameters to leave out of these: `utm_*` or whole names.
    pub exclude: Vec<NamePattern>,
    /// Whether to sort parameters by name.
    pub sort: bool,
}

/// Whether the host is in the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyHost {
    /// The client's host is.
    #[default]
    Client,
    /// It is not: the hosts of the group share responses.
    None,
}

impl KeyHost {
    fn is_client(&self) -> bool {
        *self == Self::Client
    }
}
