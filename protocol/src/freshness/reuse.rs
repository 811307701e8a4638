//! May this request be answered with this stored response? (RFC 9111 section 4, RFC 5861)

use super::store::Stored;
use crate::{groups::Group, request::Request};

/// What a stored response is good for, for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Give it.
    Fresh,
    /// Give it although it is stale, and refresh it in the background where nobody does yet (stale-while-revalidate, max-stale).
    Stale,
    /// Ask the origin first, on condition where it has a validator. The reason, for Cache-Status (`fwd=`): `stale`, `request`.
    Validate(&'static str),
    /// Never for this request: it names its user, and the response is not for everybody.
    Refuse,
    /// The request said only-if-cached and it cannot be given: 504.
    OnlyIfCached,
}

/// Decides whether a request may be answered with a stored response whose variant matches.
/// `stored` is `None` where there is no such response: then the answer is `Validate` or `OnlyIfCached`.
pub fn reuse(group: &Group, request: &Request<'_>, verified: bool, stored: Option<&Stored>, resident: u64) -> Reuse {
    let _ = (group, request, verified, stored, resident);
    Reuse::Validate("uri-miss")
}

/// Whether a stale response may be given because the origin failed: no answer at all, or 500, 502, 503 or 504 (RFC 5861 section 4).
pub fn reuse_on_error(group: &Group, request: &Request<'_>, verified: bool, stored: &Stored, resident: u64) -> bool {
    let _ = (group, request, verified, stored, resident);
    false
}
