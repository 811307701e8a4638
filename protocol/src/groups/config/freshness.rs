//! How long responses are fresh.

use crate::groups::{
    patterns::{Force, Status},
    units::{Percent, Span},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long responses are fresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Freshness {
    /// The freshness of a response without its own.
    pub default: Span,
    /// The least freshness of a response that may be stored.
    pub min: Span,
    /// The most freshness.
    pub max: Span,
    /// `off`, or the freshness of every response that is not private or no-store.
    pub force: Force,
    /// The freshness of responses by status, whatever they say themselves: `"404"`, `"5xx"`; 0s: not stored. Errors that
    /// are not listed are not stored.
    pub status: BTreeMap<Status, Span>,
    /// What a response says that does not count. Only in a group whose requests are anonymous: their responses are
    /// nobody's own.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ignore: BTreeSet<Ignored>,
    /// How errors that `status` does not list are treated: not stored, as other responses, or to the letter of RFC
    /// 9111 (`--origin-rules`).
    pub errors: Errors,
    /// Whether a response without its own freshness gets a tenth of its Last-Modified's age (RFC 9111 section 4.2.2).
    pub heuristic: bool,
    /// How long past its freshness a response is given while one load refreshes it (RFC 5861).
    pub stale_while_revalidate: Span,
    /// How long past its freshness a response is given when the origin fails (RFC 5861).
    pub stale_if_error: Span,
    /// The largest random share by which a lifetime is shortened, so that keys loaded together do not expire together.
    pub jitter: Percent,
    /// Targeted cache control fields, which are read before Cache-Control, in this order (RFC 9213).
    pub targets: Vec<String>,
    /// Whether a client's Cache-Control is obeyed.
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
#[serde(rename_all = "lowercase")]
pub enum Directives {
    /// It is not, so that no client can empty the shared cache with no-cache.
    #[default]
    Ignore,
    /// It is (RFC 9111 section 5.2.1).
    Obey,
}
