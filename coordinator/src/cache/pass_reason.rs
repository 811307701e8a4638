//! Why a request goes past the store.

use meshcache_protocol::reason::AnyReason;

/// Why a request goes past the store.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    /// The log word, metric label and detail in Cache-Status.
    pub(crate) reason: AnyReason,
    /// What Cache-Status has for it (RFC 9211 section 2.2).
    pub(crate) fwd: &'static str,
    /// For how long a proxy is to remember it, milliseconds.
    pub(crate) remember: u64,
    /// For requests with the same values in these fields; empty: for all.
    pub(crate) vary: String,
}

impl Aside {
    pub(crate) fn new(reason: impl Into<AnyReason>, fwd: &'static str) -> Self {
        Self { reason: reason.into(), fwd, remember: 0, vary: String::new() }
    }
}
