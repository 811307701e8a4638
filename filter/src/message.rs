//! A question as it is sent: the client's own request, and what the owner has to know beside it.

use crate::{head::Head, known::Known, questions::Question};
use meshcache_protocol::{
    Request, Route,
    mark::MarkedPosition,
    wire::{self, HOP_BY_HOP, header, never_to_origin},
};
use std::borrow::Cow;

/// Names and values.
pub type Headers<'q> = Vec<(&'q str, Cow<'q, str>)>;

/// Whether a request can be sent in a question: Envoy's SDK takes values only as UTF-8.
pub fn is_text(request: &Request<'_>) -> bool {
    request.fields.iter().all(|(_, value)| std::str::from_utf8(value).is_ok())
}

/// What a coordinator takes of a question's head: lines, and bytes as HTTP/2 counts them (RFC 9113 section 6.5.2).
const MOST: (usize, usize) = (256, 64 << 10);
/// What a question has beside its request: lines, and bytes without route and position of purges. Envoy's own additions
/// are among them.
const BESIDE: (usize, usize) = (16, 2 << 10);
/// What HTTP/2 counts for a line beside its bytes, less what a header map has there.
const LINE: usize = 32 - 10;

/// Whether a coordinator would take a request with what a question adds to it. It refuses more, and would be taken for
/// dead. `map`: the request's own header map. `route`: that is told, too.
pub fn fits(request: &Request<'_>, map: &[u8], purges: &MarkedPosition, route: Option<&Route>) -> bool {
    let lines = request.fields.len().saturating_add(BESIDE.0);
    let bytes =
        lines.saturating_mul(LINE).saturating_add(map.len()).saturating_add(purges.len()).saturating_add(BESIDE.1);
    let bytes = bytes.saturating_add(route.map_or(0, |route| route.as_str().len()));
    lines <= MOST.0 && bytes <= MOST.1
}

/// The headers of a question. `purges`: those that the proxy has heard of. `changed`: how long ago its key was seen to
/// change. `None` where it cannot be said.
pub fn compose<'q>(
    question: &'q Question,
    known: &Known,
    purges: &MarkedPosition,
    changed: Option<u64>,
) -> Option<Headers<'q>> {
    let head = Head::read(&question.map)?;
    let mut headers: Headers<'q> = Vec::with_capacity(head.fields().len().saturating_add(8));
    for (name, value) in head.pseudo() {
        headers.push((name, Cow::Borrowed(std::str::from_utf8(value).ok()?)));
    }
    for (name, value) in head.fields() {
        if is_sent(&question.group, name) {
            headers.push((std::str::from_utf8(name).ok()?, Cow::Borrowed(std::str::from_utf8(value).ok()?)));
        }
    }
    let said = wire::Question {
        wire: wire::VERSION,
        group: question.group.name().to_owned(),
        namespace: question.namespace.clone().unwrap_or_default(),
        verified: question.verified,
        ring: known.ring.version(),
        rules: question.group.digest().to_owned(),
        purge: purges.position.clone(),
        marks: purges.marks.clone(),
        patience: question.told_patience(),
        waited: question.sent.saturating_sub(question.since),
        flight: question.flight,
        changed,
        hop: question.peer.hop,
        // In a header of its own.
        route: None,
    };
    headers.extend(question.route.as_ref().map(|route| (header::ROUTE, Cow::Borrowed(route.as_str()))));
    headers.push((header::WIRE, Cow::Owned(said.to_string())));
    headers.push((header::PEER, Cow::Borrowed(&question.peer.address)));
    headers.push((header::SCHEME, Cow::Borrowed(head.scheme())));
    Some(headers)
}

/// Whether a client's field goes into the question: not what belongs to the connection, and nothing that steers Envoy's
/// callout or that no origin is sent. What the group has in its key goes in any case: else two answers would be one at
/// the owner.
fn is_sent(group: &meshcache_protocol::Group, name: &[u8]) -> bool {
    let dropped = never_to_origin(name) || HOP_BY_HOP.contains(&name) || name == b"content-length";
    !dropped || group.key_headers().any(|key| key.as_bytes() == name)
}
