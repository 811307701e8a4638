//! A reply to a client, as a host gives it.

use crate::http::{cached_headers::CachedHeaders, peer_response::PeerResponse};
use meshcache_protocol::{Field, Response};
use std::{borrow::Cow, sync::Arc};

/// A reply to a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The header map.
    pub map: Cow<'a, [u8]>,
    /// The body. Also for HEAD: Envoy drops it and keeps its length.
    pub body: &'a [u8],
    /// The same, where several requests get it: a host that replies later has no need of a copy.
    pub shared_body: Option<&'a Arc<Vec<u8>>>,
    /// Fields that Envoy removes from a reply without a body. The host puts them back.
    pub restore: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Reply<'a> {
    /// A reply with a whole response whose headers are stamped.
    pub fn whole(status: u16, headers: &'a CachedHeaders, body: &'a [u8]) -> Self {
        let restore = fields_to_restore(headers, body, status);
        Self { status, map: Cow::Borrowed(headers.as_bytes()), restore, body, shared_body: None }
    }

    /// A reply with a peer's response. `to_head`: the response has a length and no body.
    pub fn of_peer(response: &'a PeerResponse, map: Cow<'a, [u8]>, to_head: bool) -> Self {
        let mut restore = fields_to_restore(&response.headers, &response.body, response.status);
        if to_head {
            restore.extend(response.length.clone().map(|length| ("content-length", length)));
        }
        Self { status: response.status, map, body: &response.body, shared_body: Some(&response.body), restore }
    }
}

/// The content-type of a response without a body, since Envoy removes it from the reply.
pub(super) fn fields_to_restore(headers: &CachedHeaders, body: &[u8], status: u16) -> Vec<(&'static str, Vec<u8>)> {
    if !body.is_empty() || matches!(status, 204 | 304) {
        return Vec::new();
    }
    let fields: Vec<Field<'_>> = headers.fields().collect();
    Response { status, fields: &fields }
        .value("content-type")
        .map(|kind| ("content-type", kind.to_vec()))
        .into_iter()
        .collect()
}
