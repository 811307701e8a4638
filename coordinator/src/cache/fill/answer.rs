//! The call with which a proxy fills: `PUT`, with the grant in its head, and head and body of the response in its body.

use crate::{
    cache::{
        fill::{
            body::FilledBody,
            grants::{Filled, Unusable},
            outcome::FillOutcome,
        },
        groups::ServedGroup,
        request::Caller,
        state::Cache,
    },
    http::{
        body::Body,
        head::RequestHead,
        reply::{empty, text, with_field},
    },
    origin::strip_response_headers,
    settings::Port,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use meshcache_protocol::{
    forwarding,
    wire::{self, FilledHead, GrantId, LARGEST_FILLED_HEAD, Question},
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Answers a call when its body has ended, or is not wanted any more: 204 where all of it was taken.
pub(crate) async fn answer(cache: &Arc<Cache>, request: Request<Body>) -> Response<Body> {
    if *request.method() != Method::PUT {
        return with_field(empty(StatusCode::METHOD_NOT_ALLOWED), header::ALLOW, "PUT");
    }
    let (parts, body) = request.into_parts();
    let (served, fill) = match redeem(cache, parts) {
        Ok(redeemed) => redeemed,
        Err(refused) => return refused.response(),
    };
    match take(&served, fill, body).await {
        Ok(outcome) => {
            served.metrics.count_fill(outcome.label());
            match outcome {
                FillOutcome::Filled => empty(StatusCode::NO_CONTENT),
                _ => text(StatusCode::CONFLICT, "the response is not kept\n".into()),
            }
        }
        Err(refused) => refused.response(),
    }
}

/// Why a call is refused: one line for people.
struct Refused {
    status: StatusCode,
    what: String,
}

impl Refused {
    fn because(status: StatusCode, what: impl Into<String>) -> Self {
        Self { status, what: what.into() }
    }

    fn response(self) -> Response<Body> {
        text(self.status, format!("{}\n", self.what))
    }
}

/// Takes what the caller was granted.
fn redeem(cache: &Cache, parts: http::request::Parts) -> Result<(Arc<ServedGroup>, oneshot::Sender<Filled>), Refused> {
    let bad = |what: &str| Refused::because(StatusCode::BAD_REQUEST, what);
    let head = RequestHead::read(Port::Data, parts).map_err(|error| bad(error.reason().label()))?;
    let fields = head.fields();
    let request = head.host_only(&fields).map_err(|error| bad(error.reason().label()))?;
    let question =
        Question::read(&fields).map_err(|_| bad("a fill needs meshcache-wire: 1; group=GROUP; rules=DIGEST"))?;
    let id = request.value(wire::header::FILL).and_then(|id| GrantId::read(std::str::from_utf8(id).ok()?));
    let id = id.ok_or_else(|| bad("a fill needs meshcache-fill: the 32 digits of its grant"))?;
    let caller = Caller::of(&head, &request, cache.settings.identity);
    cache.fills.redeem(id, &question.group, &question.rules, caller).map_err(|why| match why {
        Unusable::Over => Refused::because(StatusCode::GONE, "the grant is over"),
        Unusable::NotYours => {
            Refused::because(StatusCode::FORBIDDEN, "the grant is another proxy's, or for other rules of its group")
        }
    })
}

/// Reads the head, hands it to the flight with the body behind it, and waits for their end.
async fn take(served: &ServedGroup, mut fill: oneshot::Sender<Filled>, mut body: Body) -> Result<FillOutcome, Refused> {
    let read = tokio::select! {
        biased;
        () = fill.closed() => return Err(Refused::because(StatusCode::GONE, "the grant is over")),
        read = read_head(&mut body) => read,
    };
    let (head, first) = read?;
    let (head, left) = response_head(served, &head)
        .ok_or_else(|| Refused::because(StatusCode::BAD_REQUEST, "the body does not begin with a response's head"))?;
    let (end, ended) = oneshot::channel();
    let body = Body::stream(FilledBody::new(first, body, left, end));
    fill.send(Filled { head, body }).map_err(|_| Refused::because(StatusCode::GONE, "the grant is over"))?;
    Ok(if ended.await.is_ok() { FillOutcome::Filled } else { FillOutcome::NotKept })
}

/// Reads up to the end of the head. Returns what came with it, too.
async fn read_head(body: &mut Body) -> Result<(Bytes, Bytes), Refused> {
    let mut received = BytesMut::new();
    loop {
        match FilledHead::end(&received) {
            Ok(Some(end)) if received.len() >= end => {
                let head = received.split_to(end).freeze();
                return Ok((head, received.freeze()));
            }
            Ok(_) => {}
            Err(_) => {
                let most = LARGEST_FILLED_HEAD / 1024;
                return Err(Refused::because(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the response's head is larger than {most} KiB"),
                ));
            }
        }
        match body.frame().await {
            Some(Ok(frame)) => received.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => return Err(Refused::because(StatusCode::BAD_REQUEST, "the head broke off")),
        }
    }
}

/// The head of a response, as a load has it, and the length of its body if it has said so.
fn response_head(served: &ServedGroup, head: &[u8]) -> Option<(http::response::Parts, Option<u64>)> {
    let FilledHead { status, fields } = FilledHead::read(head)?;
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational())?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    for (name, value) in fields {
        if forwarding::is_hop_by_hop(name) {
            continue;
        }
        response.headers_mut().append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    let headers = response.headers_mut();
    let length = match headers.get(header::CONTENT_LENGTH) {
        Some(length) => Some(length.to_str().ok()?.parse().ok()?),
        None => None,
    };
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    strip_response_headers(&served.group, headers);
    Some((response.into_parts().0, length.filter(|_| has_body)))
}
