//! A question to a peer.

use crate::http::{
    body::Body,
    head::{CONDITIONAL_FIELDS, RequestHead},
};
use http::{
    HeaderMap, HeaderValue, Request, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST},
};
use meshcache_protocol::{
    forwarding,
    wire::{Question, header, never_to_origin},
};

/// The client's request as a question to a peer: its host is the peer's name, and the client's host and scheme are
/// fields of their own.
pub(super) fn hop_request(
    peer: &str,
    head: &RequestHead,
    question: &Question,
    proof: Option<HeaderValue>,
    is_load: bool,
) -> Option<Request<Body>> {
    let uri = Uri::builder().scheme("http").authority(peer).path_and_query(head.target()).build().ok()?;
    let mut headers = HeaderMap::with_capacity(head.headers().len() + 8);
    for (name, value) in head.headers() {
        let is_dropped = [HOST, CONTENT_LENGTH, EXPECT, AUTHORIZATION].contains(name)
            || never_to_origin(name.as_str().as_bytes())
            || forwarding::is_hop_by_hop(name.as_str().as_bytes())
            || (is_load && CONDITIONAL_FIELDS.contains(&name.as_str()));
        if !is_dropped {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::WIRE, HeaderValue::try_from(question.to_string()).ok()?);
    if let Some(route) = &question.route {
        headers.insert(header::ROUTE, HeaderValue::from_str(route).ok()?);
    }
    if let Some(slice) = &question.slice {
        headers.insert(header::SLICE, HeaderValue::try_from(slice.to_string()).ok()?);
    }
    headers.insert(header::AUTHORITY, HeaderValue::from_bytes(head.authority()).ok()?);
    headers.insert(header::SCHEME, HeaderValue::from_static(head.scheme()));
    if let Some(credentials) = head.headers().get(AUTHORIZATION) {
        headers.insert(header::AUTHORIZATION, credentials.clone());
    }
    if let Some(proof) = proof {
        headers.insert(AUTHORIZATION, proof);
    }
    let content = head.content().map_or_else(Body::empty, |content| content.bytes().clone().into());
    let mut request = Request::new(content);
    *request.method_mut() = head.method().clone();
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Some(request)
}
