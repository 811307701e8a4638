//! May this request wait for a load that others share? ("Sharing safely")

use crate::{groups::Group, request::Request};

/// Why a request asks for itself: it neither starts nor joins a shared load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// Not GET.
    Method,
    /// It names its user: Authorization, Cookie, an identity header, or a token that the proxy verified.
    Identity,
    /// It asks for a part.
    Range,
    /// It has a condition.
    Conditional,
    /// It said no-store or no-cache, and the group obeys.
    Directive,
}

impl Alone {
    /// The log word and metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Identity => "identity",
            Self::Range => "range",
            Self::Conditional => "conditional",
            Self::Directive => "request-directive",
        }
    }
}

/// Whether a request may start or join a shared load.
pub fn joins(group: &Group, request: &Request<'_>, verified: bool) -> Result<(), Alone> {
    let _ = (group, verified);
    if request.is_get() { Ok(()) } else { Err(Alone::Method) }
}
