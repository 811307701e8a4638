//! How long responses are fresh.

use crate::groups::{
    patterns::{Force, Status},
    units::{Percent, Span},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long responses are fresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Freshness {
    /// The freshness of a response without its own.
    ///
    /// Example: `30s`. Change it when the service says nothing about freshness: without it such responses are not
    /// stored.
    pub default: Span,
    /// The least freshness of a response that may be stored.
    ///
    /// Example: `5s`. Change it when the service says very short times, and a herd comes at each end.
    pub min: Span,
    /// The most freshness.
    ///
    /// Example: `1h`. Change it when the service says longer times than changes may take to show.
    pub max: Span,
    /// `off`, or the freshness of every response that is not private or no-store.
    ///
    /// Example: `10s`. Change it when what the service says about freshness is wrong.
    pub force: Force,
    /// The freshness of responses by status, whatever they say themselves: `"404"`, `"5xx"`; 0s: not stored. Errors that
    /// are not listed are not stored.
    ///
    /// Example: `{"404": 10s, "5xx": 1s}`. Change it when errors come in herds, too.
    pub status: BTreeMap<Status, Span>,
    /// What a response says that does not count. Only in a group whose requests are anonymous: their responses are
    /// nobody's own.
    ///
    /// Example: `[no-store]`. Change it when a framework writes it on everything; only with `request.drop: ["*"]`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub ignore: BTreeSet<Ignored>,
    /// How errors that `status` does not list are treated: not stored, as other responses, or to the letter of RFC
    /// 9111 (`--origin-rules`).
    ///
    /// Example: `rfc9111`. Change it when a coordinator replaces a cache that stored errors, too.
    pub errors: Errors,
    /// Whether a response without its own freshness gets a tenth of its Last-Modified's age (RFC 9111 section 4.2.2).
    ///
    /// Example: `true`. Change it when static files say only Last-Modified.
    pub heuristic: bool,
    /// How long past its freshness a response is given while one load refreshes it (RFC 5861).
    ///
    /// Example: `30s`. Change it when nobody is to wait for a refresh.
    pub stale_while_revalidate: Span,
    /// How long past its freshness a response is given when the origin fails (RFC 5861).
    ///
    /// Example: `1h`. Change it when an old response is better than none.
    pub stale_if_error: Span,
    /// The largest random share by which a lifetime is shortened, so that keys loaded together do not expire together.
    ///
    /// Example: `10%`. Change it when many keys are loaded at the same time, as after a deployment.
    pub jitter: Percent,
    /// Targeted cache control fields, which are read before Cache-Control, in this order (RFC 9213).
    ///
    /// Example: `[CDN-Cache-Control]`. Change it when the service tells caches apart by another field.
    pub targets: Vec<String>,
    /// Whether a client's Cache-Control is obeyed.
    ///
    /// Example: `obey`. Change it when clients may decide to reload, as with `no-cache`.
    pub request_directives: Directives,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            default: Span::ZERO,
            min: Span::ZERO,
            max: Span::secs(7 * 86_400),
            force: Force::Off,
            status: BTreeMap::new(),
            ignore: BTreeSet::new(),
            errors: Errors::Status,
            heuristic: false,
            stale_while_revalidate: Span::ZERO,
            stale_if_error: Span::ZERO,
            jitter: Percent(0),
            targets: vec!["MeshCache-Control".into()],
            request_directives: Directives::Ignore,
        }
    }
}

/// What a response says that a group may ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Ignored {
    /// `no-store`, and `must-understand`, which forbids to store some statuses.
    NoStore,
    /// `private`, with and without field names.
    Private,
    /// Vary: one response answers all requests of a key.
    Vary,
}

/// How errors that `status` does not list are treated; the last two are what `--origin-rules` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// They are not stored.
    #[default]
    Status,
    /// As RFC 9111 treats any response, except where one client could harm others: a response that a request caused
    /// itself is not stored, and one that sets a cookie only with public.
    Safe,
    /// As RFC 9111 treats any response, to the letter.
    Rfc9111,
}

impl Errors {
    /// Whether RFC 9111 applies, and not the group's `status` alone.
    pub const fn by_rfc(self) -> bool {
        matches!(self, Self::Safe | Self::Rfc9111)
    }

    /// Whether RFC 9111 applies to the letter.
    pub const fn to_the_letter(self) -> bool {
        matches!(self, Self::Rfc9111)
    }
}

/// Whether a client's Cache-Control is obeyed; only-if-cached always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Directives {
    /// It is not, so that no client can empty the shared cache with no-cache.
    #[default]
    Ignore,
    /// It is (RFC 9111 section 5.2.1).
    Obey,
}
