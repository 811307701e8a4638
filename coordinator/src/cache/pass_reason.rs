//! Why a request passes.

use meshcache_protocol::reason::AnyReason;

/// Why a request passes, and for how long a proxy remembers that.
#[derive(Clone, Debug)]
pub(crate) struct PassReason {
    /// The log word, metric label and detail in Cache-Status.
    pub(crate) reason: AnyReason,
    /// The parameter `fwd` of Cache-Status (RFC 9211 section 2.2).
    pub(crate) fwd: &'static str,
    /// For how long a proxy remembers it, milliseconds.
    pub(crate) remember: u64,
    /// It holds for requests with the same values in these fields; empty: for all.
    pub(crate) vary: String,
}

impl PassReason {
    pub(crate) fn new(reason: impl Into<AnyReason>, fwd: &'static str) -> Self {
        Self { reason: reason.into(), fwd, remember: 0, vary: String::new() }
    }
}
