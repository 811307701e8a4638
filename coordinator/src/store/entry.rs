//! One stored response: its head and body as they are served, and what decides about them.

use crate::store::alloc_size::{SHARED, size_class};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use meshcache_protocol::{
    Field, Request, Response,
    freshness::{ContentRange, Selecting, Stored, covers},
    purge::Position,
};
use parking_lot::Mutex;
use std::{ops::Deref, sync::Arc};

/// The counters of an `Arc`.
const ARC: usize = 2 * size_of::<usize>();

/// A stored response.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    head: Arc<Head>,
    /// The whole body.
    pub(crate) body: Bytes,
    /// When it arrived, by the store's clock.
    pub(crate) arrived: u64,
    /// The purges that were carried out when its load began. They do not match it; later ones may.
    pub(crate) position: Arc<Position>,
    bytes: u64,
}

impl Deref for Entry {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

#[cfg(test)]
impl std::ops::DerefMut for Entry {
    fn deref_mut(&mut self) -> &mut Head {
        Arc::make_mut(&mut self.head)
    }
}

/// The head of a stored response, and what decides about it. Its header values are slices of one buffer: a hit clones
/// handles, no bytes. Values of a getter share one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header fields that clients see.
    pub(crate) fields: Box<[(HeaderName, HeaderValue)]>,
    /// The fields with purge tags: for coordinators and purges, and for clients where the group does not strip them.
    pub(crate) tags: Box<[(HeaderName, HeaderValue)]>,
    /// The requests that it answers.
    pub(crate) selecting: Selecting,
    /// The input of freshness.
    pub(crate) stored: Stored,
}

/// The head that the values of a getter's group share: the last one, which is mostly the next one's, too.
#[derive(Debug, Default)]
pub(crate) struct SharedHead(Mutex<Option<Arc<Head>>>);

/// The parts of a new entry.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// The status.
    pub(crate) status: StatusCode,
    /// All fields that freshness lets be stored.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The name of the field with purge tags, lower case.
    pub(crate) tags: &'a str,
    /// The whole body.
    pub(crate) body: Bytes,
    /// The requests that it answers.
    pub(crate) selecting: Selecting,
    /// The input of freshness.
    pub(crate) stored: Stored,
    /// When it arrived, by the store's clock.
    pub(crate) arrived: u64,
    /// The purges that were carried out when its load began.
    pub(crate) position: Arc<Position>,
}

impl Entry {
    /// Prepares an entry, so that a hit has nothing left to compute.
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts { status, fields, tags: tag_name, body, selecting, stored, arrived, position } = parts;
        let values = Bytes::from(fields.iter().flat_map(|(_, value)| value).copied().collect::<Box<[u8]>>());
        let (mut kept, mut tags, mut names, mut at) = (Vec::with_capacity(fields.len()), Vec::new(), 0, 0);
        for (name, value) in &fields {
            let range = at..at + value.len();
            at = range.end;
            // hyper writes the body's length. Fields came out of a parsed head, so both conversions succeed.
            if name == b"content-length" {
                continue;
            }
            let (Ok(header), Ok(text)) =
                (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(values.slice(range)))
            else {
                continue;
            };
            if !is_standard(&header) {
                names += size_class(name.len()) + SHARED;
            }
            if name == tag_name.as_bytes() { tags.push((header, text)) } else { kept.push((header, text)) }
        }
        let (fields, tags) = (kept.into_boxed_slice(), tags.into_boxed_slice());
        let head = Head { status, fields, tags, selecting, stored };
        let values = if values.is_empty() { 0 } else { size_class(values.len()) + SHARED };
        let bytes = names + values + head.own_bytes() + Self::bytes_beside_head(&body);
        Self { head: Arc::new(head), body, arrived, position, bytes }
    }

    /// Shares its head with the entries before it, where it has the same.
    pub(crate) fn share_head(mut self, shared: &SharedHead) -> Self {
        let mut last = shared.0.lock();
        match last.as_ref().filter(|last| ***last == *self.head) {
            Some(last) => {
                self.head = last.clone();
                self.bytes = Self::bytes_beside_head(&self.body);
            }
            None => *last = Some(self.head.clone()),
        }
        drop(last);
        self
    }

    fn bytes_beside_head(body: &Bytes) -> u64 {
        let body = if body.is_empty() { 0 } else { size_class(body.len()) + SHARED };
        size_class(size_of::<Self>() + ARC) + body
    }

    /// Returns the bytes that it takes in memory, all its allocations included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the range of bytes that it has, where it is a part.
    pub(crate) fn extent(&self) -> Option<ContentRange> {
        if self.is_part() { with_fields(self, |stored| ContentRange::of(&stored)) } else { None }
    }

    /// Returns whether it is a 206: one part of a body.
    pub(crate) fn is_part(&self) -> bool {
        self.status == StatusCode::PARTIAL_CONTENT
    }

    /// Returns whether it answers a request: it is the right variant and has the range that is asked for.
    pub(crate) fn answers(&self, request: &Request<'_>) -> bool {
        self.selecting.matches(request) && (!self.is_part() || with_fields(self, |stored| covers(request, &stored)))
    }

    /// Returns whether it makes another entry useless: it answers the same requests, with at least the same bytes.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let has_all =
            || self.extent().zip(other.extent()).is_some_and(|(own, others)| own.has(others.first, others.last));
        self.selecting == other.selecting && (!self.is_part() || has_all())
    }

    /// Returns how long it has been in the store.
    pub(crate) fn resident(&self, now: u64) -> u64 {
        now.saturating_sub(self.arrived)
    }

    /// Returns its purge tags.
    pub(crate) fn tag_words(&self) -> impl Iterator<Item = &[u8]> {
        self.tags
            .iter()
            .flat_map(|(_, value)| value.as_bytes().split(|b| matches!(b, b' ' | b',' | b'\t')))
            .filter(|word| !word.is_empty())
    }

    /// Returns a copy that is stale from now on, to be served stale or revalidated. `None` where a stale copy is of no
    /// use.
    pub(crate) fn stale_from(&self, now: u64) -> Option<Self> {
        let lifetime = self.stored.lifetime.min(self.stored.age(self.resident(now)));
        let stale = self.with_stored(Stored { lifetime, ..self.stored.clone() });
        (stale.deadline() > now).then_some(stale)
    }

    /// Returns a copy for a coordinator that does not own its key: of use for `ttl` milliseconds at most, and only
    /// while it is fresh. `position`: the purges that its owner knew at least.
    pub(crate) fn hot_copy(&self, ttl: u64, position: Arc<Position>) -> Self {
        let stored = Stored {
            lifetime: self.stored.lifetime.min(self.stored.initial_age.saturating_add(ttl)),
            while_revalidate: 0,
            if_error: 0,
            must_revalidate: true,
            validator: false,
            disconnected: false,
            ..self.stored.clone()
        };
        Self { position, ..self.with_stored(stored) }
    }

    /// Returns a copy with another freshness, and so with a head of its own.
    fn with_stored(&self, stored: Stored) -> Self {
        let head = Head { stored, ..(*self.head).clone() };
        let bytes = self.bytes.max(head.own_bytes() + Self::bytes_beside_head(&self.body));
        Self { head: Arc::new(head), bytes, ..self.clone() }
    }

    /// Returns when it becomes useless.
    pub(crate) fn deadline(&self) -> u64 {
        self.arrived.saturating_add(self.stored.retention())
    }
}

impl Head {
    fn own_bytes(&self) -> u64 {
        let pair = size_of::<(HeaderName, HeaderValue)>();
        size_class(size_of::<Self>() + ARC)
            + size_class(self.fields.len() * pair)
            + size_class(self.tags.len() * pair)
            + self.selecting.bytes() as u64
    }
}

/// Calls `see` with the protocol's view of a stored response.
pub(crate) fn with_fields<T>(entry: &Entry, see: impl FnOnce(Response<'_>) -> T) -> T {
    let fields: Vec<Field<'_>> = entry
        .fields
        .iter()
        .chain(&entry.tags)
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect();
    see(Response { status: entry.stored.status, fields: &fields })
}

/// Returns whether the `http` crate knows a name, so that it takes no memory of its own. A known name that is missing
/// here only counts as too much.
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
