//! Requests with QUERY: their content is read before they are classified, since it is a part of the key.

use crate::{
    cache::{groups::GroupTable, state::Cache},
    http::{
        body::Body,
        capture::{CaptureOutcome, capture},
        content::{Content, MAX_CONTENT, QUERY},
        head::RequestHead,
    },
    settings::Port,
};
use http::StatusCode;
use http_body::Body as _;
use meshcache_protocol::{
    groups::{GroupMatch, Mode},
    request::Flags,
    wire::header,
};
use std::time::Duration;
use tokio::time::timeout;

/// The time limit for content that the key needs. A client that takes longer is slow, or will never end.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request's content could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Its client left.
    Cut,
    /// It took too long.
    Slow,
}

impl Unread {
    /// Returns the status with which the request is refused.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Cut => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Reads the content of a request whose group answers QUERY, if it is not too long, and adds it to the head. From then
/// on the request is looked up as a GET is. Every other body streams on.
pub(crate) async fn take_content(
    cache: &Cache,
    table: &GroupTable,
    port: Port,
    head: RequestHead,
    body: Body,
) -> Result<(RequestHead, Body), Unread> {
    if head.method().as_str() != QUERY || !is_answered(table, port, &head) || body.size_hint().lower() > MAX_CONTENT {
        return Ok((head, body));
    }
    let mut reservation = cache.head_budget.reserve();
    match timeout(TIMEOUT, capture(body, MAX_CONTENT, &mut reservation)).await.map_err(|_| Unread::Slow)? {
        CaptureOutcome::Whole(bytes) => {
            let content = Content::new(head.headers(), bytes.clone(), reservation);
            Ok((head.with_content(content), bytes.into()))
        }
        CaptureOutcome::TooLarge(body) | CaptureOutcome::OverBudget(body) => Ok((head, Body::stream(body))),
        CaptureOutcome::Cut(_) => Err(Unread::Cut),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::request::tests::cache, http::body::Cut};
    use bytes::Bytes;
    use futures_util::StreamExt as _;
    use http_body::Frame;
    use http_body_util::StreamBody;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_end_its_query_is_refused() {
        type Pieces = Vec<Result<Frame<Bytes>, Cut>>;
        let cache = cache(serde_json::json!({"methods": ["QUERY"]}));
        let read = async |method: &str, pieces: Pieces, ends: bool| {
            let request = http::Request::builder().method(method).uri("/").header("host", "h").body(()).unwrap();
            let head = RequestHead::read(Port::Data, request.into_parts().0).unwrap();
            let rest = futures_util::stream::pending().take(usize::from(!ends));
            let body = Body::stream(StreamBody::new(futures_util::stream::iter(pieces).chain(rest)));
            let read = take_content(&cache, &cache.group_table(), Port::Data, head, body).await;
            read.map(|(head, _)| head.content().is_some())
        };
        let piece = || Ok(Frame::data(Bytes::from_static(b"a")));
        assert_eq!(read("QUERY", vec![piece()], true).await, Ok(true));
        assert_eq!(read("QUERY", vec![piece()], false).await, Err(Unread::Slow));
        assert_eq!(read("QUERY", vec![piece(), Err(Cut("left"))], true).await, Err(Unread::Cut));
        assert_eq!(read("POST", vec![piece()], false).await, Ok(false), "other methods stream");
    }
}
