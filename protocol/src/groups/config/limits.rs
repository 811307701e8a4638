//! What a group may use and share.

use crate::groups::{
    patterns::lower_names,
    units::{Percent, Size, Span},
};
use serde::{Deserialize, Serialize};

/// The limits of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Limits {
    /// The largest body that is stored.
    ///
    /// Example: `64MiB`. Change it when larger responses are worth their memory.
    pub object: Size,
    /// How much of a larger body is kept at once for all who read it. Whoever comes before its beginning has left the
    /// window shares the load. Choose it for the time in which a herd comes, times the origin's speed. Not sent to
    /// proxies, which read what they are given.
    #[serde(skip_serializing)]
    pub window: Size,
    /// The group's share of the store.
    ///
    /// Example: `50%`. Change it when one group must not push out all others.
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
        Self { object: Size(8 << 20), window: Size(4 << 20), bytes: Percent(100), slices: None }
    }
}

/// The hot copies: in proxies, and at coordinators that do not own a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Hot {
    /// How long such a copy answers without a question to the owner; 0s: there is none.
    ///
    /// Example: `1s`. Change it when a change must show everywhere sooner; `0s`: every request asks the owner.
    pub ttl: Span,
}

impl Default for Hot {
    fn default() -> Self {
        Self { ttl: Span::secs(10) }
    }
}

/// Responses that are shared although HTTP takes them for one user's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Share {
    /// Responses to requests with Authorization.
    ///
    /// Example: `true`. Change it when the token says who may ask, and the response is the same for all; name
    /// `callers`.
    pub authorization: bool,
    /// Responses to requests with Cookie.
    ///
    /// Example: `true`. Change it when cookies come with everything and change nothing.
    pub cookie: bool,
    /// Responses with Set-Cookie, stored without it.
    ///
    /// Example: `true`. Change it when the service sets a cookie on what is the same for all.
    pub set_cookie: bool,
    /// Header fields that name a user. A request with one is treated as one with Authorization.
    ///
    /// Example: `[x-user-id]`. Change it when a proxy before writes users into a header of its own.
    #[serde(deserialize_with = "lower_names")]
    pub identity: Vec<String>,
}

/// Purge tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Tags {
    /// The response field whose words are tags.
    ///
    /// Example: `Cache-Tag`. Change it when the service writes its tags elsewhere.
    pub header: String,
    /// Whether it is removed from responses to clients.
    ///
    /// Example: `false`. Change it when another cache behind this one needs them.
    pub strip: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self { header: "Surrogate-Key".into(), strip: true }
    }
}
