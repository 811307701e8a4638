//! The headers of a lookup at a coordinator: the client's own request, and what the owner needs to know besides.

use crate::{
    http::{Headers, head::RequestHead},
    state::{lookup::PeerLookup, snapshot::Snapshot},
};
use meshcache_protocol::{
    Group, Request, Route,
    mark::MarkedPosition,
    wire::{self, HOP_BY_HOP, header, never_to_origin},
};
use std::{borrow::Cow, fmt::Write};

/// The most lines that a coordinator takes.
const MAX_LINES: usize = 256;
/// The most bytes that a coordinator takes, as HTTP/2 counts them (RFC 9113 section 6.5.2).
const MAX_BYTES: usize = 64 << 10;
/// The lines that a lookup adds to its request, Envoy's own included.
const ADDED_LINES: usize = 16;
/// The bytes that it adds, without the route and the position of purges.
const ADDED_BYTES: usize = 2 << 10;
/// The bytes that HTTP/2 counts for a line besides name and value, less those of a header map.
const LINE_OVERHEAD: usize = 32 - 10;
/// The bytes that most questions need.
const QUESTION: usize = 256;

/// Returns whether a request can be sent: the values of a question are text.
pub fn is_text(request: &Request<'_>) -> bool {
    request.fields.iter().all(|(_, value)| std::str::from_utf8(value).is_ok())
}

/// Returns whether a coordinator would take a request with what a lookup adds. It refuses larger ones, and would seem
/// to have failed. `map_len`: the length of the request's header map.
pub fn fits(request: &Request<'_>, map_len: usize, purges: &MarkedPosition, route: Option<&Route>) -> bool {
    let lines = request.fields.len().saturating_add(ADDED_LINES);
    let bytes = lines
        .saturating_mul(LINE_OVERHEAD)
        .saturating_add(map_len)
        .saturating_add(purges.len())
        .saturating_add(ADDED_BYTES)
        .saturating_add(route.map_or(0, |route| route.as_str().len()));
    lines <= MAX_LINES && bytes <= MAX_BYTES
}

/// Returns the headers of a lookup. `purges`: those that the worker acknowledges. `since_change`: how long ago the key
/// was seen to change. Returns `None` if a value is not text.
pub fn compose<'q>(
    lookup: &'q PeerLookup,
    snapshot: &Snapshot,
    purges: &MarkedPosition,
    since_change: Option<u64>,
) -> Option<Headers<'q>> {
    let request = &lookup.request;
    let head = RequestHead::read(&request.map)?;
    let mut headers: Headers<'q> = Vec::with_capacity(head.fields().len().saturating_add(8));
    for (name, value) in head.pseudo() {
        headers.push((name, Cow::Borrowed(std::str::from_utf8(value).ok()?)));
    }
    for (name, value) in head.fields() {
        if is_sent(&request.group, name) {
            headers.push((std::str::from_utf8(name).ok()?, Cow::Borrowed(std::str::from_utf8(value).ok()?)));
        }
    }
    let question = wire::Question {
        wire: wire::VERSION,
        group: request.group.name().to_owned(),
        namespace: request.namespace.clone().unwrap_or_default(),
        verified: request.verified,
        ring: snapshot.ring.version(),
        rules: request.group.digest().to_owned(),
        purge: purges.position.clone(),
        marks: purges.marks.clone(),
        patience: lookup.announced_patience(),
        waited: lookup.sent.saturating_sub(lookup.last_arrival),
        flight: lookup.flight,
        changed: since_change,
        hop: lookup.peer.hop,
        streams: lookup.streams,
        leave: lookup.leave,
        // In a header of its own.
        route: None,
        slice: None,
    };
    headers.extend(request.route.as_ref().map(|route| (header::ROUTE, Cow::Borrowed(route.as_str()))));
    let mut said = String::with_capacity(QUESTION);
    write!(said, "{question}").ok()?;
    headers.push((header::WIRE, Cow::Owned(said)));
    headers.push((header::PEER, Cow::Borrowed(&lookup.peer.address)));
    headers.push((header::SCHEME, Cow::Borrowed(head.scheme())));
    Some(headers)
}

/// Returns whether a client's field is sent. Fields of the connection are not, nor those that steer Envoy's callout or
/// that no origin gets. Fields in the group's key always are, or two responses would be one at the owner.
fn is_sent(group: &Group, name: &[u8]) -> bool {
    let is_dropped = never_to_origin(name) || HOP_BY_HOP.contains(&name) || name == b"content-length";
    !is_dropped || group.key_headers().any(|key| key.as_bytes() == name)
}
