//! Puts responses into the store, and removes what they supersede.

use crate::{
    cache::{groups::ServedGroup, state::Cache},
    store::{Entry, Load},
};
use http::{header::VARY, response};
use meshcache_protocol::{Key, Reason, Request, freshness};
use std::sync::Arc;

/// What a response is loaded for. It decides whether and where the response may be stored.
pub(crate) struct LoadTarget<'a> {
    pub(crate) served: &'a Arc<ServedGroup>,
    pub(crate) request: Request<'a>,
    /// A proxy has verified the requester's token.
    pub(crate) verified: bool,
    pub(crate) load: &'a Load,
    /// The stored response to the request, if it is no longer fresh.
    pub(crate) stale: Option<&'a Arc<Entry>>,
}

/// Stores a response unless the store refuses it. Returns whether it is stored.
pub(crate) fn put(cache: &Cache, served: &ServedGroup, load: &Load, entry: &Arc<Entry>) -> bool {
    let stored = cache.store.put(&served.share, load, entry.clone(), cache.clock.now());
    if stored {
        tracing::debug!(group = served.group.name(), key = %load.key(), why = entry.stored.why.label(), ttl_ms = entry.stored.ttl(0), "stored");
        cache.hit_for_pass.forget(load.key().hash(), &entry.selecting);
    } else {
        served.metrics.not_stored(if load.is_purged(entry) { Reason::Purged } else { Reason::TooLarge });
    }
    stored
}

/// Removes what a response that is not stored supersedes: the variant stored for such a request, or all variants if the
/// resource is gone. A refusal or a failure says nothing about the stored responses.
pub(crate) fn supersede(cache: &Cache, served: &ServedGroup, key: &Key, request: &Request<'_>, head: &response::Parts) {
    let status = head.status.as_u16();
    match status {
        300..=399 | 401 | 403 | 407 | 500 | 502..=504 => {}
        _ if freshness::is_provoked(status) => {}
        404 | 410 if !head.headers.contains_key(VARY) => {
            cache.store.remove(&served.share, key.hash(), cache.clock.now());
        }
        _ => cache.store.remove_variants(&served.share, key, |entry| entry.selecting.matches(request)),
    }
}
