//! What another flight has stored between a request's lookup and its joining.

use crate::cache::{
    flight_key, load_outcome, load_outcome::LoadOutcome, request::CacheRequest, response, state::Cache,
};
use meshcache_protocol::{
    Key,
    freshness::{self, Reuse},
    wire::{Outcome, Verdict},
};

/// Returns what a flight has stored since this request's lookup, which would be loaded twice: a fresh response to the
/// request, or the first sign that the key varies.
pub(super) fn stored_since(cache: &Cache, request: &CacheRequest<'_>, key: &Key) -> Option<LoadOutcome> {
    if request.question.as_ref().is_some_and(|question| question.changed.is_some()) {
        return None;
    }
    let (group, now) = (&request.served.group, cache.clock.now());
    let (entries, _) = cache.store.peek(&request.served.quota, &request.key, now)?;
    let entry = match entries.iter().find(|entry| entry.answers(&request.http)) {
        Some(entry) => {
            let resident = entry.resident(now);
            (freshness::reuse(group, &request.http, request.verified(), Some(&entry.stored), resident) == Reuse::Fresh)
                .then_some(entry)
        }
        None => entries
            .first()
            .filter(|newest| flight_key::variant_key(&request.key, &flight_key::selecting(request, newest)) != *key),
    }?;
    let verdict = response::with_age(Verdict::new(Outcome::Hit), entry, now);
    (verdict.ttl > 0).then(|| load_outcome::loaded(entry, verdict, now))
}
