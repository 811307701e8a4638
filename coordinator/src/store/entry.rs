//! One stored response: head and body as they are given, and what decides about them.

use crate::store::alloc_size::{SHARED, class};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use meshcache_protocol::{
    Field, Request, Response,
    freshness::{ContentRange, Selecting, Stored, covers},
    purge::Position,
};
use std::sync::Arc;

/// A response in the store. Its header values are slices of one buffer: a hit clones handles, no bytes.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header fields that clients see.
    pub(crate) fields: Box<[(HeaderName, HeaderValue)]>,
    /// The fields with purge tags: for coordinators and purges, and for clients where the group does not strip them.
    pub(crate) tags: Box<[(HeaderName, HeaderValue)]>,
    /// The whole body.
    pub(crate) body: Bytes,
    /// Which requests it answers.
    pub(crate) selecting: Selecting,
    /// What freshness decides with.
    pub(crate) stored: Stored,
    /// When it arrived, by the store's clock.
    pub(crate) arrived: u64,
    /// The purges that were carried out when its load began: none of them means it, a later one may.
    pub(crate) position: Arc<Position>,
    bytes: u64,
}

/// What an entry is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// The status.
    pub(crate) status: StatusCode,
    /// All fields, as freshness wants them stored.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The name of the field with purge tags, lower case.
    pub(crate) tags: &'a str,
    /// The whole body.
    pub(crate) body: Bytes,
    /// Which requests it answers.
    pub(crate) selecting: Selecting,
    /// What freshness decides with.
    pub(crate) stored: Stored,
    /// When it arrived, by the store's clock.
    pub(crate) arrived: u64,
    /// The purges that were carried out when its load began.
    pub(crate) position: Arc<Position>,
}

impl Entry {
    /// Prepares an entry so that a hit has nothing left to compute.
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts { status, fields, tags: tag_name, body, selecting, stored, arrived, position } = parts;
        let values = Bytes::from(fields.iter().flat_map(|(_, value)| value).copied().collect::<Box<[u8]>>());
        let (mut kept, mut tags, mut names, mut at) = (Vec::with_capacity(fields.len()), Vec::new(), 0, 0);
        for (name, value) in &fields {
            let range = at..at + value.len();
            at = range.end;
            // The body's length is said by whoever sends it; fields came out of a parsed head, so both conversions
            // succeed.
            if name == b"content-length" {
                continue;
            }
            let (Ok(header), Ok(text)) =
                (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(values.slice(range)))
            else {
                continue;
            };
            if !is_standard(&header) {
                names += class(name.len()) + SHARED;
            }
            if name == tag_name.as_bytes() { tags.push((header, text)) } else { kept.push((header, text)) }
        }
        let mut entry = Self {
            status,
            fields: kept.into_boxed_slice(),
            tags: tags.into_boxed_slice(),
            body,
            selecting,
            stored,
            arrived,
            position,
            bytes: 0,
        };
        entry.bytes = names + class(values.len()) + SHARED + entry.own_bytes();
        entry
    }

    fn own_bytes(&self) -> u64 {
        let pair = size_of::<(HeaderName, HeaderValue)>();
        let arc = class(size_of::<Self>() + 2 * size_of::<usize>());
        let body = if self.body.is_empty() { 0 } else { class(self.body.len()) + SHARED };
        arc + class(self.fields.len() * pair) + class(self.tags.len() * pair) + body + self.selecting.bytes() as u64
    }

    /// The bytes that it takes in memory, all its allocations included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes that it has, where it has not all.
    pub(crate) fn extent(&self) -> Option<ContentRange> {
        if self.is_part() { with_fields(self, |stored| ContentRange::of(&stored)) } else { None }
    }

    /// Whether it is a 206: one part of a body whose rest is not here.
    pub(crate) fn is_part(&self) -> bool {
        self.status == StatusCode::PARTIAL_CONTENT
    }

    /// Whether it is for a request, and has what that asks for.
    pub(crate) fn answers(&self, request: &Request<'_>) -> bool {
        self.selecting.matches(request) && (!self.is_part() || with_fields(self, |stored| covers(request, &stored)))
    }

    /// Whether there is no more use for another one with it there: it is for the same requests, and has as much.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let has_all =
            || self.extent().zip(other.extent()).is_some_and(|(own, others)| own.has(others.first, others.last));
        self.selecting == other.selecting && (!self.is_part() || has_all())
    }

    /// How long it has been here.
    pub(crate) fn resident(&self, now: u64) -> u64 {
        now.saturating_sub(self.arrived)
    }

    /// Its purge tags.
    pub(crate) fn tag_words(&self) -> impl Iterator<Item = &[u8]> {
        self.tags
            .iter()
            .flat_map(|(_, value)| value.as_bytes().split(|b| matches!(b, b' ' | b',' | b'\t')))
            .filter(|word| !word.is_empty())
    }

    /// The same, stale from now on: it may be given as what is stale may be given, and be revalidated. None where that
    /// is of no use.
    pub(crate) fn stale_from(&self, now: u64) -> Option<Self> {
        let mut stale = self.clone();
        stale.stored.lifetime = stale.stored.lifetime.min(stale.stored.age(self.resident(now)));
        (stale.deadline() > now).then_some(stale)
    }

    /// When it is of no use any more.
    pub(crate) fn deadline(&self) -> u64 {
        self.arrived.saturating_add(self.stored.retention())
    }
}

/// The protocol's view of a stored response.
pub(crate) fn with_fields<T>(entry: &Entry, see: impl FnOnce(Response<'_>) -> T) -> T {
    let fields: Vec<Field<'_>> = entry
        .fields
        .iter()
        .chain(&entry.tags)
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect();
    see(Response { status: entry.stored.status, fields: &fields })
}

/// Whether a name is known to the `http` crate, and so takes no memory of its own. A known one that is not listed here
/// only counts for too much.
fn is_standard(name: &HeaderName) -> bool {
    use http::header::*;
    const KNOWN: [HeaderName; 16] = [
        ACCEPT_RANGES,
        AGE,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_TYPE,
        DATE,
        ETAG,
        EXPIRES,
        LAST_MODIFIED,
        LINK,
        LOCATION,
        SERVER,
        STRICT_TRANSPORT_SECURITY,
        VARY,
        VIA,
    ];
    KNOWN.contains(name)
}
