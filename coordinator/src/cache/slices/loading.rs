//! What a load of a slice makes of the origin's response.

use crate::{
    cache::{groups::ServedGroup, origin_response::OriginResponse},
    jitter::random,
    origin::{Failure, with_headers},
};
use http::{StatusCode, header::CONTENT_RANGE};
use http_body::Body as _;
use meshcache_protocol::{Request, Response, Slice, freshness, slice::SliceResponse};

/// An origin's response to the request for a slice.
pub(crate) enum Taken {
    /// The slice, as a response of its own.
    Slice(OriginResponse),
    /// The response that a request without a range would have brought.
    Whole(OriginResponse),
    /// A part that is of no use: the whole has to be asked for.
    AskForWhole,
    /// Nothing that can be put beside the other slices.
    Failed(Failure),
}

/// Judges a response. `request`: the one for the whole file, which it is stored for.
pub(crate) fn take(
    served: &ServedGroup,
    request: &Request<'_>,
    verified: bool,
    slice: &Slice,
    mut response: OriginResponse,
) -> Taken {
    let length = response.body.size_hint().exact();
    let status = response.head.status.as_u16();
    let judged = with_headers(&response.head.headers, |fields| slice.judge(&Response { status, fields }, length));
    match (judged, &slice.later) {
        (SliceResponse::Slice { extent, .. }, later) => {
            response.extent = Some(extent);
            let response = complete(response);
            // What may not be shared goes to its client alone, and whole.
            if later.is_some() || may_be_stored(served, request, verified, &response) {
                Taken::Slice(response)
            } else {
                Taken::AskForWhole
            }
        }
        (SliceResponse::Whole, _) => Taken::Whole(complete(response)),
        (SliceResponse::Other, None) => Taken::Whole(response),
        (SliceResponse::Unfit, None) => Taken::AskForWhole,
        (SliceResponse::Changed, _) => Taken::Failed(Failure::NewVersion),
        (SliceResponse::Unfit | SliceResponse::Other, Some(_)) => Taken::Failed(Failure::BadResponse),
    }
}

/// Makes a 206 a response to a request for all that it has.
fn complete(mut response: OriginResponse) -> OriginResponse {
    response.head.status = StatusCode::OK;
    response.head.headers.remove(CONTENT_RANGE);
    response
}

fn may_be_stored(served: &ServedGroup, request: &Request<'_>, verified: bool, response: &OriginResponse) -> bool {
    with_headers(&response.head.headers, |fields| {
        let head = Response { status: response.head.status.as_u16(), fields };
        freshness::store(&served.group, request, verified, &head, response.times, random()).is_ok()
    })
}
