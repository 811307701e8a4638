//! A reply to a client: a hot response, whole or in part, or a peer's response.

use crate::{
    http::{cached_headers::CachedHeaders, header_map, peer_response::PeerResponse},
    state::hot_cache::Variant,
};
use meshcache_protocol::{
    Field, Key, Response,
    cache_status::{cache_status, detail},
    freshness::{Part, not_modified, partial},
};
use std::borrow::Cow;

/// A reply to a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The header map.
    pub map: Cow<'a, [u8]>,
    /// The body. Also for HEAD: Envoy drops it and keeps its length.
    pub body: &'a [u8],
    /// Fields that Envoy removes from a reply without a body. The host puts them back.
    pub restore: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Reply<'a> {
    /// A reply with a part of a hot response. Returns `None` for several ranges, or if only the origin may answer.
    pub fn of_hot(
        variant: &'a mut Variant,
        part: &Part,
        installation: &str,
        debug: Option<&Key>,
        now: u64,
    ) -> Option<Self> {
        let status = variant.stored.status;
        if *part == Part::Whole && debug.is_none() {
            variant.stamp(installation, now);
            return Some(Self::whole(status, &variant.headers, &variant.body));
        }
        let verdict = variant.verdict(now);
        let said = match debug {
            Some(key) => cache_status(installation, &verdict, &detail("proxy", &verdict, &[]), Some(&key.to_string())),
            None => cache_status(installation, &verdict, "proxy", None),
        };
        let age = (verdict.age / 1000).to_string();
        let end: [Field<'_>; 2] = [(b"age", age.as_bytes()), (b"cache-status", said.as_bytes())];
        let length = variant.body.len();
        let with = |range: Option<&str>, keep: fn(&[u8]) -> bool| {
            let range = range.map(|range| (&b"content-range"[..], range.as_bytes()));
            let fields = variant.headers.fields().filter(|(name, _)| keep(name));
            Cow::Owned(header_map::encode(fields.chain(range).chain(end)))
        };
        let none = Vec::new();
        match part {
            Part::Whole => Some(Self {
                status,
                map: with(None, |_| true),
                restore: fields_to_restore(&variant.headers, &variant.body, status),
                body: &variant.body,
            }),
            Part::NotModified => Some(Self { status: 304, map: with(None, not_modified), body: &[], restore: none }),
            Part::Range(first, last) => {
                let range = usize::try_from(*first).ok()?..usize::try_from(*last).ok()?.checked_add(1)?;
                let map = with(Some(&format!("bytes {first}-{last}/{length}")), partial);
                Some(Self { status: 206, map, body: variant.body.get(range)?, restore: none })
            }
            Part::Unsatisfiable => Some(Self {
                status: 416,
                map: with(Some(&format!("bytes */{length}")), |_| false),
                body: &[],
                restore: none,
            }),
            Part::Ranges(_) | Part::Origin => None,
        }
    }

    /// A reply with a whole response whose headers are stamped.
    pub fn whole(status: u16, headers: &'a CachedHeaders, body: &'a [u8]) -> Self {
        let restore = fields_to_restore(headers, body, status);
        Self { status, map: Cow::Borrowed(headers.as_bytes()), restore, body }
    }

    /// A reply with a peer's response. `to_head`: the response has a length and no body.
    pub fn of_peer(response: &'a PeerResponse, map: Cow<'a, [u8]>, to_head: bool) -> Self {
        let mut restore = fields_to_restore(&response.headers, &response.body, response.status);
        if to_head {
            restore.extend(response.length.clone().map(|length| ("content-length", length)));
        }
        Self { status: response.status, map, body: &response.body, restore }
    }
}

/// The content-type of a response without a body, since Envoy removes it from the reply.
fn fields_to_restore(headers: &CachedHeaders, body: &[u8], status: u16) -> Vec<(&'static str, Vec<u8>)> {
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
