//! The configuration of groups as written in the groups file and sent in the feed. Every field is checked while it is
//! read, and has a default.
//!
//! An unknown field is an error, except in the filter (wasm), which ignores it: a later coordinator may send it.

mod feed;
mod freshness;
mod key;
mod limits;
mod mode;
mod origin;
mod overload;
mod passing;
mod request;

pub use freshness::{Directives, Errors, Freshness, Ignored};
pub use key::{KeyHost, KeyRules, QueryRules};
pub use limits::{Hot, Limits, Share, Tags};
pub use mode::Mode;
pub use origin::{
    ClientAuthMethod, HeaderFile, OAuth2, Origin, OriginAuth, OriginHeaders, OriginHost, OriginProxies, OriginTls,
    SigningAlgorithm, TokenUrl,
};
pub use overload::Overload;
pub use passing::{Bypass, PassThrough};
pub use request::{Coding, DroppedFields, Methods, RequestRules};

use super::{
    digest::digest,
    patterns::{CallerPattern, Match, Name},
    units::Span,
};
use serde::{Deserialize, Serialize};

/// The groups file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Config {
    /// The format's version: 1.
    ///
    /// Example: `1`. Change it never: other numbers are refused.
    pub version: u32,
    /// SPIFFE patterns of callers whose meshcache-bypass and meshcache-debug are honoured; `*`: all; empty: none.
    ///
    /// Example: `["spiffe://*/ns/ops/sa/*"]`. Change it when people are to see rule and key of a response
    /// (`meshcache-debug`), or to get past the cache (`meshcache-bypass`).
    #[serde(default)]
    pub debuggers: Vec<CallerPattern>,
    /// The groups; the first that matches wins.
    #[serde(default)]
    pub groups: Vec<GroupConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { version: 1, debuggers: Vec::new(), groups: Vec::new() }
    }
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct GroupConfig {
    /// The label of metrics and first part of the key.
    ///
    /// Example: `config-server`. Change it never: it is part of the key, so another name is an empty cache, and another
    /// label in metrics.
    pub name: Name,
    /// Whether the group answers, only observes, or does nothing.
    ///
    /// Example: `observe`. Change it when a group is new: observe first, then `on`.
    #[serde(default)]
    pub mode: Mode,
    /// The requests that the group matches.
    pub r#match: Match,
    /// The methods that the cache answers.
    ///
    /// Example: `[GET, HEAD, QUERY]`. Change it when clients of a coordinator send searches as QUERY.
    #[serde(default, skip_serializing_if = "Methods::is_default")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = ["GET", "HEAD"])))]
    pub methods: Methods,
    /// What is changed in requests before all else.
    #[serde(default, skip_serializing_if = "RequestRules::is_default")]
    pub request: RequestRules,
    /// Requests that pass, and whose responses are not stored.
    #[serde(default)]
    pub bypass: Bypass,
    /// SPIFFE patterns of callers that may have responses of this group; empty or `*`: all that can reach it.
    ///
    /// Example: `["spiffe://cluster.local/ns/shop/sa/*"]`. Change it when the service itself lets only some callers in,
    /// or the origin gets credentials.
    #[serde(default)]
    pub callers: Vec<CallerPattern>,
    /// The requests of plain clients that a coordinator forwards to the origin although no cache answers them. Not
    /// sent to proxies, which pass requests to the service.
    #[serde(default, skip_serializing)]
    pub pass_through: PassThrough,
    /// The parts of the key besides group, scheme, authority, path and query.
    #[serde(default)]
    pub key: KeyRules,
    /// Where responses come from.
    pub origin: Origin,
    /// How long an owner takes to answer at most. Choose it well above a network round trip and below what users
    /// notice.
    ///
    /// Example: `300ms`. Change it when coordinators are far away, or a second without an answer is too long; never
    /// below some round trips.
    #[serde(default = "patience")]
    pub patience: Span,
    /// The treatment of requests when `maxLoads` are in progress and a load has waited for `patience`.
    ///
    /// Example: `pass`. Change it when there is no stale response to give and the service can bear the rest, or cannot
    /// (`503`).
    #[serde(default)]
    pub overload: Overload,
    /// How long responses are fresh.
    #[serde(default)]
    pub freshness: Freshness,
    /// How long a proxy waits for the owner before it asks the next peer, too; 0s: forever.
    ///
    /// Example: `50ms`. Change it when a frozen coordinator must not cost its keys a whole `patience`, and a few more
    /// questions do not matter.
    #[serde(default)]
    pub hedge: Span,
    /// How long after its head a body may take until one request of a proxy that takes whole bodies alone passes to the
    /// service. Not sent to proxies, whose owners keep the time.
    #[serde(default = "stream_after", skip_serializing)]
    pub stream_after: Span,
    /// The request for a key, counted while the key is remembered, at which its response is stored. Not sent to
    /// proxies, which ask the owner all the same.
    ///
    /// Example: `2`. Change it when most URLs are asked for once, and would push out what is of use.
    #[serde(default = "min_uses", skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = 1)))]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub min_uses: u32,
    /// The group's limits.
    #[serde(default)]
    pub limits: Limits,
    /// The hot copies of what a coordinator owns.
    #[serde(default)]
    pub hot: Hot,
    /// Responses that are shared although HTTP takes them for one user's.
    #[serde(default)]
    pub share: Share,
    /// Purge tags.
    #[serde(default)]
    pub tags: Tags,
}

impl GroupConfig {
    /// Returns a digest of the group's rules.
    pub(crate) fn digest(&self) -> String {
        digest(self)
    }
}

fn stream_after() -> Span {
    Span::millis(100)
}

fn min_uses() -> u32 {
    1
}

fn patience() -> Span {
    Span::secs(1)
}
