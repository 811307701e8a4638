//! Requests that pass the cache.

use crate::groups::patterns::{MethodPattern, lower_names};
use serde::{Deserialize, Serialize};

/// The fields and parameters with which a request passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Bypass {
    /// Header names.
    ///
    /// Example: `[x-preview]`. Change it when requests with a header must always reach the service.
    #[serde(deserialize_with = "lower_names")]
    pub headers: Vec<String>,
    /// Cookie names.
    ///
    /// Example: `[session]`. Change it when users who are logged in get pages of their own.
    pub cookies: Vec<String>,
    /// Query parameter names.
    ///
    /// Example: `[nocache]`. Change it when a parameter asks for the newest.
    pub query: Vec<String>,
}

/// The requests of plain clients that a coordinator forwards to the origin although no cache answers them. The defaults
/// depend on the callers: [`crate::Group::passes_through`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct PassThrough {
    /// Their methods; `*`: all.
    ///
    /// Example: `[GET, HEAD, POST]`. Change it when plain clients write through a coordinator.
    pub methods: Option<Vec<MethodPattern>>,
    /// Whether paths that the group does not match, of a host that it matches, are among them.
    ///
    /// Example: `true`. Change it when clients use a coordinator as their proxy for the whole host.
    pub other_paths: Option<bool>,
}
