//! Requests with QUERY: their content is read before they are classified, since it is a part of the key.

use crate::{
    cache::{groups::GroupTable, state::Cache},
    http::{
        body::{Body, Cut},
        capture::{CaptureOutcome, capture},
        content::{Content, MAX_CONTENT, QUERY},
        head::RequestHead,
    },
    settings::Port,
};
use http_body::Body as _;
use meshcache_protocol::{
    groups::{GroupMatch, Mode},
    request::Flags,
    wire::header,
};

/// Reads the content of a request whose group answers QUERY, if it is not too long, and adds it to the head. From then
/// on the request is looked up as a GET is. Every other body streams on.
pub(crate) async fn take_content(
    cache: &Cache,
    table: &GroupTable,
    port: Port,
    head: RequestHead,
    body: Body,
) -> Result<(RequestHead, Body), Cut> {
    if head.method().as_str() != QUERY || !is_answered(table, port, &head) || body.size_hint().lower() > MAX_CONTENT {
        return Ok((head, body));
    }
    let mut reservation = cache.head_budget.reserve();
    match capture(body, MAX_CONTENT, &mut reservation).await {
        CaptureOutcome::Whole(bytes) => {
            let content = Content::new(head.headers(), bytes.clone(), reservation);
            Ok((head.with_content(content), bytes.into()))
        }
        CaptureOutcome::TooLarge(body) | CaptureOutcome::OverBudget(body) => Ok((head, Body::stream(body))),
        CaptureOutcome::Cut(cut) => Err(cut),
    }
}

/// Whether a QUERY may be answered from the cache. A proxy passes it, and does not ask.
fn is_answered(table: &GroupTable, port: Port, head: &RequestHead) -> bool {
    const NOT: Flags = Flags::UPGRADE.with(Flags::EXPECT).with(Flags::GRPC).with(Flags::EVENT_STREAM);
    let fields = head.fields();
    let Ok(request) = head.request(&fields) else { return false };
    let GroupMatch::Group(group) = table.groups.find(&request, None) else { return false };
    (port == Port::Peer || request.value(header::WIRE).is_none())
        && !request.flags.any(NOT)
        && group.answers(request.method)
        && group.config().mode != Mode::Off
}
