//! One stored response: its head and body as they are served, and what decides about them.

use crate::store::{
    alloc_size::size_class,
    apart::Apart,
    block::{self, BlockHead},
    exact_bytes::exact_size,
    head::{ARC, Head, Lines},
    stale_heads::StaleHeads,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use meshcache_protocol::{
    Field, Key, Request, Response,
    freshness::{ContentRange, Selecting, Stored, covers},
    purge::Position,
};
use std::{ops::Deref, sync::Arc};

/// A stored response.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    head: Arc<Head>,
    /// What it does not share with others. Empty: it is not packed for the store, and has a head of its own.
    block: Bytes,
    /// The body, where it does not stand in the block.
    apart: Option<Arc<Apart>>,
    /// When it arrived, by the store's clock.
    pub(crate) arrived: u64,
    /// The purges that were carried out when its load began. They do not match it; later ones may.
    pub(crate) position: Arc<Position>,
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

/// A line of the head: its name, the shared value, and the own one in its place.
type Line<'e> = (&'e HeaderName, &'e HeaderValue, Option<&'e [u8]>);

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
        let (mut kept, mut tags) = (Vec::with_capacity(fields.len()), Vec::new());
        for (name, value) in &fields {
            // hyper writes the body's length. Fields came out of a parsed head, so both conversions succeed.
            if name == b"content-length" || HeaderValue::from_bytes(value).is_err() {
                continue;
            }
            let Ok(header) = HeaderName::from_bytes(name) else { continue };
            if name == tag_name.as_bytes() { &mut tags } else { &mut kept }.push((header, value.as_slice()));
        }
        let count = kept.len();
        kept.append(&mut tags);
        let lines = Arc::new(Lines::new(kept, count));
        let head = Head { status, lines, selecting, stored, key: Arc::default(), charge: None };
        Self { head: Arc::new(head), block: Bytes::new(), apart: Some(Apart::new(body)), arrived, position }
    }

    pub(super) fn packed(
        head: Arc<Head>,
        block: Bytes,
        apart: Option<Arc<Apart>>,
        arrived: u64,
        position: Arc<Position>,
    ) -> Self {
        Self { head, block, apart, arrived, position }
    }

    /// Returns the bytes that it takes in memory, all its allocations included, but for what it shares.
    pub(crate) fn bytes(&self) -> u64 {
        let own = if self.block.is_empty() { self.lines.bytes() + self.head.own_bytes() } else { 0 };
        let apart = self.apart.as_ref().map_or(0, |body| body.bytes());
        size_class(size_of::<Self>() + ARC) + exact_size(self.block.len()) + apart + own
    }

    /// Returns a handle to the whole body.
    pub(crate) fn body(&self) -> Bytes {
        match &self.apart {
            Some(body) => body.handle(),
            None => self.block.slice_ref(self.body_bytes()),
        }
    }

    /// Returns the whole body.
    pub(crate) fn body_bytes(&self) -> &[u8] {
        match &self.apart {
            Some(body) => body,
            None => BlockHead::body(&self.block).unwrap_or_default(),
        }
    }

    /// Returns the whole body as the store keeps it beside the block.
    pub(super) fn packed_body(&self) -> Arc<Apart> {
        self.apart.as_ref().map_or_else(|| Apart::new(self.body()).packed(), Apart::packed)
    }

    /// Returns the header fields that clients see.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        self.own_lines().take(self.lines.fields).map(|line| self.handle(line))
    }

    /// Returns the fields with purge tags: for coordinators and purges, and for clients where the group does not strip
    /// them.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        self.own_lines().skip(self.lines.fields).map(|line| self.handle(line))
    }

    /// Returns how many fields and tags it has.
    pub(crate) fn line_count(&self) -> usize {
        self.lines.all.len()
    }

    #[inline]
    fn handle<'e>(&self, (name, shared, own): Line<'e>) -> (&'e HeaderName, HeaderValue) {
        let own = own.and_then(|own| HeaderValue::from_maybe_shared(self.block.slice_ref(own)).ok());
        (name, own.unwrap_or_else(|| shared.clone()))
    }

    /// Returns its fields, and then its tags.
    pub(crate) fn all_lines(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        self.own_lines().map(|(name, shared, own)| (name, own.unwrap_or(shared.as_bytes())))
    }

    fn own_lines(&self) -> impl Iterator<Item = Line<'_>> {
        let BlockHead { mask, mut values, .. } = self.block_head();
        self.lines.all.iter().enumerate().map(move |(at, (name, shared))| {
            let is_own = mask.get(at / 8).is_some_and(|bits| bits & 1 << (at % 8) != 0);
            let own = is_own.then(|| block::value(values)).flatten().map(|(value, rest)| {
                values = rest;
                value
            });
            (name, shared, own)
        })
    }

    fn block_head(&self) -> BlockHead<'_> {
        BlockHead::read(&self.block, self.lines.all.len()).map(|(head, _)| head).unwrap_or_default()
    }

    /// Returns whether it is stored under a key, given as bytes.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        key.strip_prefix(&*self.head.key).is_some_and(|rest| self.block_head().tail.is(rest))
    }

    /// Returns the key that it is stored under.
    pub(super) fn key(&self) -> Key {
        let mut key = self.head.key.to_vec();
        self.block_head().tail.write(&mut key);
        Key::from_bytes(key)
    }

    /// Returns the input of freshness as it was on arrival.
    pub(crate) fn stored_on_arrival(&self) -> Stored {
        let initial_age = self.stored.initial_age.saturating_add(self.age_beside());
        Stored { initial_age, ..self.stored.clone() }
    }

    /// Returns by how much it was older on arrival than its head says.
    pub(super) fn age_beside(&self) -> u64 {
        BlockHead::age(&self.block).unwrap_or(0)
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

    /// Returns the time that counts for its freshness beside the age in [`Head::stored`]: in the store, and before.
    pub(crate) fn resident(&self, now: u64) -> u64 {
        self.in_store(now).saturating_add(self.age_beside())
    }

    /// Returns how long it has been in the store.
    pub(crate) fn in_store(&self, now: u64) -> u64 {
        now.saturating_sub(self.arrived)
    }

    /// Returns its purge tags.
    pub(crate) fn tag_words(&self) -> impl Iterator<Item = &[u8]> {
        self.all_lines()
            .skip(self.lines.fields)
            .flat_map(|(_, value)| value.split(|b| matches!(b, b' ' | b',' | b'\t')))
            .filter(|word| !word.is_empty())
    }

    /// Returns a copy that is stale from now on, to be served stale or revalidated. `None` where a stale copy is of no
    /// use. Its lifetime is in whole seconds, so that many share a head.
    pub(super) fn stale_from(&self, now: u64, heads: &mut StaleHeads) -> Option<Self> {
        let age = self.stored.age(self.resident(now));
        let head = heads.with_lifetime(&self.head, self.stored.lifetime.min(age / 1000 * 1000));
        let stale = Self { head, ..self.clone() };
        (stale.deadline() > now).then_some(stale)
    }

    /// Returns a copy for a coordinator that does not own its key: of use for `ttl` milliseconds at most, and only
    /// while it is fresh. `position`: the purges that its owner knew at least.
    pub(crate) fn hot_copy(&self, ttl: u64, position: Arc<Position>) -> Self {
        let age = self.stored.initial_age.saturating_add(self.age_beside());
        let stored = Stored {
            lifetime: self.stored.lifetime.min(age.saturating_add(ttl)),
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
        Self { head: Arc::new(Head { stored, ..(*self.head).clone() }), ..self.clone() }
    }

    /// Returns when it becomes useless.
    pub(crate) fn deadline(&self) -> u64 {
        let before = self.age_beside().min(self.stored.lifetime.saturating_sub(self.stored.initial_age));
        self.arrived.saturating_add(self.stored.retention().saturating_sub(before))
    }
}

/// Calls `see` with the protocol's view of a stored response.
pub(crate) fn with_fields<T>(entry: &Entry, see: impl FnOnce(Response<'_>) -> T) -> T {
    let fields: Vec<Field<'_>> = entry.all_lines().map(|(name, value)| (name.as_str().as_bytes(), value)).collect();
    see(Response { status: entry.stored.status, fields: &fields })
}
