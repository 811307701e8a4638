//! Replies: their way from the driver to a stream, and into Envoy's functions.

use crate::envoy::{Fields, Filter};
use meshcache_proxy::{
    http::{decimal::decimal, header_map::HeaderMap},
    request::reply::Reply,
};
use std::sync::Arc;

/// A reply that a stream gives on its own worker.
pub(crate) struct OwnedReply {
    status: u16,
    map: Vec<u8>,
    /// Shared with all that wait for the same response.
    body: Arc<Vec<u8>>,
    length: Option<Vec<u8>>,
}

/// The head of a reply, and its body.
pub(crate) struct Parts<'a> {
    pub(crate) status: u16,
    /// The header map.
    pub(crate) map: &'a [u8],
    pub(crate) body: &'a [u8],
    /// The content-length of a response to HEAD that has come without a body.
    pub(crate) length: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(reply: &'a Reply<'_>) -> Self {
        Self { status: reply.status, map: &reply.map, body: reply.body, length: None }
    }

    /// Replies to a request. Envoy takes what it is given as it is: the content-length is ours to set. The stream may be
    /// over when this returns.
    pub(crate) fn send(&self, filter: &Filter, to_head: bool) {
        let mut digits = [0; 20];
        let has_no_length = matches!(self.status, 204 | 304);
        let length = match self.length {
            Some(length) if to_head => Some(length),
            // A response to HEAD that has no body, as it came, has no length either.
            _ if has_no_length || (to_head && self.body.is_empty()) => None,
            _ => Some(decimal(self.body.len() as u64, &mut digits)),
        };
        let is_whole = to_head || has_no_length || self.body.is_empty();
        send_fields(filter, self.status, self.map, length, is_whole);
        if !is_whole {
            filter.send_data(self.body, true);
        }
    }

    /// Replies in place of the service's response.
    pub(crate) fn replace(&self, filter: &Filter) {
        let mut fields = Fields::default();
        fields.extend(HeaderMap::parse(self.map).into_iter().flatten());
        filter.replace_response(self.status, &fields, self.body);
    }
}

impl OwnedReply {
    pub(crate) fn of(reply: &Reply<'_>) -> Self {
        let body = reply.shared_body.cloned().unwrap_or_else(|| Arc::new(reply.body.to_vec()));
        Self { status: reply.status, map: reply.map.to_vec(), body, length: None }
    }

    /// Takes the content-length of a response to HEAD, which Envoy's own kind of reply would lose.
    pub(crate) fn restore(&mut self, fields: &[(&'static str, Vec<u8>)]) {
        let length = fields.iter().find(|(name, _)| *name == "content-length");
        self.length = length.map(|(_, value)| value.clone());
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        let Self { status, map, body, length } = self;
        Parts { status: *status, map, body, length: length.as_deref() }
    }
}

/// Sends the head of a reply whose body follows as it comes.
pub(crate) fn send_head(filter: &Filter, status: u16, map: &[u8], length: Option<usize>) {
    let mut digits = [0; 20];
    send_fields(filter, status, map, length.map(|length| decimal(length as u64, &mut digits)), false);
}

fn send_fields(filter: &Filter, status: u16, map: &[u8], length: Option<&[u8]>, is_whole: bool) {
    let mut digits = [0; 5];
    let mut fields = Fields::default();
    fields.push(b":status", decimal(status.into(), &mut digits));
    if let Some(length) = length {
        fields.push(b"content-length", length);
    }
    fields.extend(HeaderMap::parse(map).into_iter().flatten().filter(|(name, _)| !name.starts_with(b":")));
    filter.send_head(&fields, is_whole);
}
