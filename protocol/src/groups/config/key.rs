//! The parts of the key.

use crate::groups::patterns::{NamePattern, lower_names};
use serde::{Deserialize, Serialize};

/// The parts of the key besides group, scheme, authority, path and query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct KeyRules {
    /// Whether the host is in the key.
    ///
    /// Example: `none`. Change it when several hosts of the group show the same.
    #[serde(skip_serializing_if = "KeyHost::is_client")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "client")))]
    pub host: KeyHost,
    /// The query.
    pub query: QueryRules,
    /// Header names whose values are in the key.
    ///
    /// Example: `[x-tenant]`. Change it when the service answers by a header that its `Vary` does not name.
    #[serde(deserialize_with = "lower_names")]
    pub headers: Vec<String>,
    /// Cookie names whose values are in the key.
    ///
    /// Example: `[locale]`. Change it when the service answers by a cookie.
    pub cookies: Vec<String>,
    /// Whether the cluster and name of the proxy's route are in the key (canaries).
    ///
    /// Example: `true`. Change it when Envoy sends some requests to another version (canary), by what is not in the
    /// key.
    pub route: bool,
}

/// The part of the query that is in the key and sent to the origin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct QueryRules {
    /// The only parameters to keep: `utm_*` or whole names; empty: all.
    ///
    /// Example: `[q, page]`. Change it when the service reads few parameters, and links bring many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub include: Vec<NamePattern>,
    /// Parameters to leave out of these: `utm_*` or whole names.
    ///
    /// Example: `["utm_*"]`. Change it when some parameters change nothing.
    pub exclude: Vec<NamePattern>,
    /// Whether to sort parameters by name.
    ///
    /// Example: `true`. Change it when clients write the same parameters in any order, and the service does not care.
    pub sort: bool,
}

/// Whether the host is in the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
