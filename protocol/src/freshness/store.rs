//! May this response be stored, and how long is it fresh? (RFC 9111 sections 3 and 4.2)

use crate::{groups::Group, request::{Request, Response}};
use serde::{Deserialize, Serialize};

/// When a load was sent and when its head arrived: Unix milliseconds of this host's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent.
    pub requested: u64,
    /// When the response's head arrived.
    pub responded: u64,
}

/// What is known of a stored response: all that later decisions need beside its header fields. Milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The status code.
    pub status: u16,
    /// Freshness lifetime.
    pub lifetime: u64,
    /// Age when it arrived (RFC 9111 section 4.2.3, corrected_initial_age).
    pub initial_age: u64,
    /// How long past its freshness it may be given while it is revalidated; 0: not at all.
    pub while_revalidate: u64,
    /// How long past its freshness it may be given when the origin fails; 0: not at all.
    pub if_error: u64,
    /// `no-cache`: never given without validation.
    pub always_validate: bool,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never given stale.
    pub must_revalidate: bool,
    /// `public`, `s-maxage`, `must-revalidate` (or the group shares it): may answer a request that names its user.
    pub for_everybody: bool,
    /// It has an ETag or Last-Modified.
    pub validator: bool,
    /// Which rule gave the lifetime.
    pub why: Why,
}

impl Stored {
    /// Its age after so long in a store.
    pub fn age(&self, resident: u64) -> u64 {
        self.initial_age.saturating_add(resident)
    }

    /// How much longer it is fresh; negative: so long stale.
    pub fn ttl(&self, resident: u64) -> i64 {
        i64::try_from(self.lifetime).unwrap_or(i64::MAX).saturating_sub(i64::try_from(self.age(resident)).unwrap_or(i64::MAX))
    }

    /// How long after it arrived it is of any use: freshness, stale windows and, with a validator, one more
    /// freshness lifetime (at least 10 s, at most 1 h) for revalidation.
    pub fn keep(&self) -> u64 {
        let fresh = self.lifetime.saturating_sub(self.initial_age);
        let stale = self.while_revalidate.max(self.if_error);
        let validation = if self.validator { self.lifetime.clamp(10_000, 3_600_000) } else { 0 };
        fresh.saturating_add(stale).saturating_add(validation)
    }
}

/// Which rule gave a freshness lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A targeted field (RFC 9213).
    Targeted,
    /// `s-maxage`.
    SMaxage,
    /// `max-age`.
    MaxAge,
    /// Expires.
    Expires,
    /// A share of the age of Last-Modified.
    Heuristic,
    /// The group's `default`.
    Default,
    /// The group's `min`.
    Min,
    /// The group's `max`.
    Max,
    /// The group's `force`.
    Force,
    /// The group's `status`.
    Status,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The method is not GET.
    Method,
    /// The request said no-store (with `requestDirectives: obey`).
    RequestNoStore,
    /// The response said no-store.
    NoStore,
    /// The response said private.
    Private,
    /// The request names its user and the response does not say that it is for everybody.
    Authorization,
    /// The response sets a cookie.
    SetCookie,
    /// A status that may not be stored, or an error that the group does not list.
    Status,
    /// `Vary: *`.
    VaryEverything,
    /// No freshness and no validator: it could never be given.
    NoFreshness,
    /// A body larger than the group's limit.
    TooLarge,
    /// The response or its body is not complete, or of a kind that is never stored (206, event streams).
    Incomplete,
}

impl NotStored {
    /// The log word and metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Status => "status",
            Self::VaryEverything => "vary",
            Self::NoFreshness => "no-freshness",
            Self::TooLarge => "too-large",
            Self::Incomplete => "incomplete",
        }
    }

    /// How long a key is remembered as `pass` after such a response, milliseconds. Short for errors, which may be over at once.
    pub const fn remember(self) -> u64 {
        match self {
            Self::Status | Self::Incomplete => 1000,
            _ => 10_000,
        }
    }
}

/// Decides whether a response is stored. `verified`: a proxy verified a token of the request. `random`: for `jitter`.
pub fn store(group: &Group, request: &Request<'_>, verified: bool, response: &Response<'_>, times: Times, random: u64) -> Result<Stored, NotStored> {
    let _ = (group, request, verified, response, times, random);
    Err(NotStored::NoFreshness)
}
