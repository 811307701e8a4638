//! The head of a stored response, as many entries share it.

use crate::store::alloc_size::{SHARED, size_class};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use meshcache_protocol::freshness::{Selecting, Stored};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::AcqRel},
};

/// The counters of an `Arc`.
pub(super) const ARC: usize = 2 * size_of::<usize>();

/// The head of a stored response, and what decides about it. An entry may have other values, and was older on arrival
/// by what its block says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header fields.
    pub(super) lines: Arc<Lines>,
    /// The requests that it answers.
    pub(crate) selecting: Selecting,
    /// The input of freshness.
    pub(crate) stored: Stored,
    /// The bytes that the key begins with.
    pub(super) key: Arc<[u8]>,
    pub(super) charge: Option<Charge>,
}

/// Header fields. Their values are slices of one buffer: a hit clones handles, no bytes.
#[derive(Debug)]
pub(super) struct Lines {
    /// Those that clients see, and then those with purge tags: for coordinators and purges, and for clients where the
    /// group does not strip them.
    pub(super) all: Box<[(HeaderName, HeaderValue)]>,
    /// How many clients see.
    pub(super) fields: usize,
    pub(super) charge: Option<Charge>,
}

/// Bytes that count in a store as long as what they are for lives, whoever holds it.
#[derive(Debug)]
pub(super) struct Charge {
    used: Arc<AtomicI64>,
    bytes: u64,
}

impl Charge {
    /// Counts these bytes from now on.
    pub(super) fn new(used: &Arc<AtomicI64>, bytes: u64) -> Self {
        used.fetch_add(bytes as i64, AcqRel);
        Self { used: used.clone(), bytes }
    }

    /// Returns how many.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        Self::new(&self.used, self.bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes as i64, AcqRel);
    }
}

impl Head {
    /// Returns the bytes that it takes beside its lines.
    pub(super) fn own_bytes(&self) -> u64 {
        size_class(size_of::<Self>() + ARC) + self.selecting.bytes() as u64
    }

    /// Returns whether it is the head of entries like this one, whose key begins so.
    pub(super) fn is(&self, other: &Self, stored: &Stored, lines: &Arc<Lines>, key: &[u8]) -> bool {
        Arc::ptr_eq(&self.lines, lines)
            && self.stored == *stored
            && self.status == other.status
            && self.selecting == other.selecting
            && *self.key == *key
    }
}

impl Lines {
    /// Makes lines of the fields that clients see, and those with tags.
    pub(super) fn new<'v>(lines: Vec<(HeaderName, &'v [u8])>, fields: usize) -> Self {
        let buffer = Bytes::from(lines.iter().flat_map(|(_, value)| *value).copied().collect::<Box<[u8]>>());
        let mut at = 0_usize;
        let value = |(name, value): (HeaderName, &'v [u8])| {
            let range = at..at.saturating_add(value.len());
            at = range.end;
            // Fields came out of a parsed head.
            let value = HeaderValue::from_maybe_shared(buffer.slice(range));
            (name, value.unwrap_or_else(|_| HeaderValue::from_static("")))
        };
        Self { all: lines.into_iter().map(value).collect(), fields, charge: None }
    }

    /// Returns whether these are the same names in the same order.
    pub(super) fn has_names_of(&self, other: &Self) -> bool {
        self.fields == other.fields
            && self.all.len() == other.all.len()
            && self.all.iter().zip(&other.all).all(|((one, _), (two, _))| one == two)
    }

    /// Returns the bytes that they take.
    pub(super) fn bytes(&self) -> u64 {
        let values: usize = self.all.iter().map(|(_, value)| value.len()).sum();
        let names = self.all.iter().filter(|(name, _)| !is_standard(name));
        size_class(size_of::<Self>() + ARC)
            + size_class(self.all.len() * size_of::<(HeaderName, HeaderValue)>())
            + if values == 0 { 0 } else { size_class(values) + SHARED }
            + names.map(|(name, _)| size_class(name.as_str().len()) + SHARED).sum::<u64>()
    }
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
