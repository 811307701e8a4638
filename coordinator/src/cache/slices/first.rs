//! Slices in the store: the one that stands for a file, and how old one may be.

use crate::{
    cache::{request::CacheRequest, state::Cache},
    store::Entry,
};
use meshcache_protocol::freshness::Reuse;
use std::sync::Arc;

/// Returns the first slice of the file that a request is for, if it is stored.
pub(crate) fn first(cache: &Cache, request: &CacheRequest<'_>, now: u64) -> Option<Arc<Entry>> {
    let key = request.first_slice()?.key(&request.key);
    cache.store.get(&request.served.quota, &key, now, |entry| entry.answers(&request.http))
}

/// Decides how a later slice may be used. It is the version's, which the first slice has just named, so it is good
/// whatever its age (RFC 9111 section 4.3.4). One of which half the time is over is validated, so that it stays.
pub(crate) fn reuse(entry: &Entry, now: u64) -> Reuse {
    let half = entry.arrived.saturating_add(entry.deadline()) / 2;
    if entry.stored.is_fresh(entry.resident(now)) || now < half { Reuse::Fresh } else { Reuse::Stale }
}
