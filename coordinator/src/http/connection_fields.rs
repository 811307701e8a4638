//! What a client's connection does to the fields of a request: some are its own, and Cookie may come in pieces.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, COOKIE},
};
use meshcache_protocol::forwarding::strips_from_request;
use smallvec::SmallVec;

/// Removes the fields of the client's connection: the key, Vary and the origin see the same fields.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let lines = || headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| strips_from_request(lines(), name.as_str().as_bytes())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Joins the lines into which HTTP/2 may split cookies (RFC 9113 section 8.2.3).
pub(crate) fn join_crumbs(headers: &mut HeaderMap) {
    let crumbs: SmallVec<[&[u8]; 8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = if crumbs.len() > 1 { HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok() } else { None };
    drop(crumbs);
    if let Some(joined) = joined {
        headers.insert(COOKIE, joined);
    }
}
