//! The key under which a request waits with others.

use crate::{
    cache::{request::CacheRequest, state::Cache},
    store::{Entry, with_fields},
};
use meshcache_protocol::{
    Key,
    freshness::{Selecting, Vary},
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Returns a request's key or, if the stored responses are known to vary, a key for all requests that the same variant
/// answers.
pub(crate) fn of(cache: &Cache, request: &CacheRequest<'_>) -> Key {
    let newest = cache
        .store
        .peek(&request.served.quota, &request.key, cache.clock.now())
        .and_then(|(entries, _)| entries.into_iter().next());
    newest.map_or_else(|| request.key.clone(), |newest| variant_key(&request.key, &selecting(request, &newest)))
}

/// Returns what a request has in the fields by which a stored response varies.
pub(crate) fn selecting(request: &CacheRequest<'_>, stored: &Entry) -> Selecting {
    let group = &request.served.group;
    with_fields(stored, |stored| Selecting::in_group(group, &Vary::in_group(group, &stored), &request.http))
}

/// Returns the flight key of all requests that the same variant answers: the key itself if nothing varies.
pub(crate) fn variant_key(key: &Key, selecting: &Selecting) -> Key {
    if *selecting == Selecting::default() {
        return key.clone();
    }
    let mut hasher = DefaultHasher::new();
    selecting.hash(&mut hasher);
    Key::from_bytes([key.bytes(), &hasher.finish().to_le_bytes()].concat())
}
