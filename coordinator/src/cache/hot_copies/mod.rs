//! Hot copies: plain clients of a coordinator get what another one owns without a question to it, if they ask for it
//! often.
//!
//! A copy ends with `hot.ttl`, with every purge, and with every invalidation that comes here. It is given only while
//! another coordinator owns its key: a new owner loads the key, or peeks at the owner before it.

#[cfg(test)]
mod tests;

use crate::{
    cache::{groups::ServedGroup, invalidation, removal, request::CacheRequest, response, state::Cache},
    http::body::Body,
    store::{Entry, PurgeGuard},
};
use http::Response;
use meshcache_protocol::{
    Group, Key,
    freshness::{self, Reuse},
    groups::Mode,
    invalidation_limit::PERIOD,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;

/// The time in which the owner may not have heard of an invalidation that happened here, milliseconds: it is on its
/// way, and the owner invalidates a key once in so long.
const UNHEARD: u64 = 2 * PERIOD;

/// The detail in Cache-Status.
const DETAIL: &str = "hot";

/// Answers a plain client's request for what another coordinator owns. A proxy has hot copies of its own.
pub(crate) fn answer(cache: &Cache, request: &CacheRequest<'_>, now: u64) -> Option<Response<Body>> {
    let (group, quota) = (&request.served.group, &request.served.quota);
    if request.question.is_some() || !has_copies(group) {
        return None;
    }
    let entry = cache.store.get_hot(quota, &request.key, now, |entry| entry.answers(&request.http))?;
    let resident = entry.resident(now);
    let reuse = freshness::reuse(group, &request.http, request.verified(), Some(&entry.stored), resident);
    if reuse != Reuse::Fresh {
        return None;
    }
    let verdict = response::with_age(Verdict::new(Outcome::Hit).because(DETAIL), &entry, now);
    response::from_entry(request, &entry, verdict, &cache.names)
}

/// Begins a copy, before its owner is asked. None if there is to be none.
pub(crate) fn begin(cache: &Cache, served: &ServedGroup, key: &Key) -> Option<PurgeGuard> {
    let unheard_since = cache.clock.now().saturating_sub(UNHEARD);
    (has_copies(&served.group) && !invalidation::was_invalidated(cache, served, key, unheard_since))
        .then(|| cache.store.begin(key.clone(), cache.consistency.position()))
}

/// Keeps a copy of a peer's response, if its key is asked for often and the peer lets it be kept.
pub(crate) fn keep(cache: &Cache, served: &ServedGroup, load: &PurgeGuard, verdict: &Verdict, entry: &Entry) {
    if !verdict.shared || entry.is_part() || !cache.store.is_hot(load.key()) {
        return;
    }
    let ttl = served.group.config().hot.ttl.as_millis();
    let (copy, now) = (Arc::new(entry.hot_copy(ttl, load.position().clone())), cache.clock.now());
    // What is being carried out here at the begin was not yet in the question, and the peer may not know it.
    if copy.deadline() > now && !removal::is_purged(cache, load.key(), &copy) {
        cache.store.put_hot(&served.quota, load, copy, now);
    }
}

fn has_copies(group: &Group) -> bool {
    group.config().mode == Mode::On && !group.config().hot.ttl.is_zero()
}
