//! Requests that pass the cache.

use crate::groups::patterns::{MethodPattern, lower_names};
use serde::{Deserialize, Serialize};

/// The fields and parameters with which a request passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Bypass {
    /// Header names.
    #[serde(deserialize_with = "lower_names")]
    pub headers: Vec<String>,
    /// Cookie names.
    pub cookies: Vec<String>,
    /// Query parameter names.
    pub query: Vec<String>,
}

/// The requests of plain clients that a coordinator forwards to the origin although no cache answers them. The defaults
/// depend on the callers: [`crate::Group::passes_through`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct PassThrough {
    /// Their methods; `*`: all.
    pub methods: Option<Vec<MethodPattern>>,
    /// Whether paths that the group does not match, of a host that it matches, are among them.
    pub other_paths: Option<bool>,
}
