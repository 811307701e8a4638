//! What a group may use and share.

use crate::groups::{
    patterns::lower_names,
    units::{Percent, Size, Span},
};
use serde::{Deserialize, Serialize};

/// The limits of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Limits {
    /// The largest body that is stored.
    pub object: Size,
    /// The group's share of the store.
    pub bytes: Percent,
    /// The size of the slices in which large files are loaded and stored; none: whole. Not sent to proxies, which get
    /// whole responses all the same. Choose it so that a slice takes the origin some tens of milliseconds.
    #[serde(skip_serializing)]
    pub slices: Option<Size>,
}

impl Limits {
    /// The smallest slice: below it, requests cost more than bytes.
    pub(in crate::groups) const LEAST_SLICE: Size = Size(64 << 10);
}

impl Default for Limits {
    fn default() -> Self {
        Self { object: Size(8 << 20), bytes: Percent(100), slices: None }
    }
}

/// The hot copies: in proxies, and at coordinators that do not own a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Hot {
    /// How long such a copy answers without a question to the owner; 0s: there is none.
    pub ttl: Span,
}

impl Default for Hot {
    fn default() -> Self {
        Self { ttl: Span::secs(10) }
    }
}

/// Responses that are shared although HTTP takes them for one user's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Share {
    /// Responses to requests with Authorization.
    pub authorization: bool,
    /// Responses to requests with Cookie.
    pub cookie: bool,
    /// Responses with Set-Cookie, stored without it.
    pub set_cookie: bool,
    /// Header fields that name a user. A request with one is treated as one with Authorization.
    #[serde(deserialize_with = "lower_names")]
    pub identity: Vec<String>,
}

/// Purge tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Tags {
    /// The response field whose words are tags.
    pub header: String,
    /// Whether it is removed from responses to clients.
    pub strip: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self { header: "Surrogate-Key".into(), strip: true }
    }
}
