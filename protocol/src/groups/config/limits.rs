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
    /// How much of a larger body is kept at once for all who read it. Whoever comes before its beginning has left the
    /// window shares the load. Choose it for the time in which a herd comes, times the origin's speed. Not sent to
    /// proxies, which read what they are given.
    #[serde(skip_serializing)]
    pub window: Size,
    /// The group's share of the store.
    pub bytes: Percent,
}

impl Default for Limits {
    fn default() -> Self {
        Self { object: Size(8 << 20), window: Size(4 << 20), bytes: Percent(100) }
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
