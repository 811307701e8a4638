//! Puts responses into the store, and removes what they supersede.

use crate::{
    cache::{groups::ServedGroup, state::Cache},
    store::{Entry, Parts, PurgeGuard},
};
use bytes::Bytes;
use http::{StatusCode, header::VARY, response};
use meshcache_protocol::{
    Key, Reason, Request,
    freshness::{self, ContentRange, Selecting, Stored},
    purge::Position,
    wire::header::SLICE,
};
use std::sync::Arc;

/// The request for which a response is loaded. It decides whether and where the response may be stored.
pub(crate) struct LoadTarget<'a> {
    pub(crate) served: &'a Arc<ServedGroup>,
    pub(crate) request: Request<'a>,
    /// A proxy has verified the requester's token.
    pub(crate) verified: bool,
    pub(crate) load: &'a PurgeGuard,
    /// The stored response to the request, if it is no longer fresh.
    pub(crate) stale: Option<&'a Arc<Entry>>,
}

/// What is stored of a response beside its body and its freshness.
#[derive(Clone)]
pub(crate) struct StoredParts {
    pub(crate) status: StatusCode,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) selecting: Selecting,
    /// When the head arrived, by the store's clock.
    pub(crate) arrived: u64,
    pub(crate) position: Arc<Position>,
}

impl StoredParts {
    pub(crate) fn entry(self, served: &ServedGroup, stored: Stored, body: Bytes) -> Entry {
        let Self { status, fields, selecting, arrived, position } = self;
        let tags = &served.group.config().tags.header.to_ascii_lowercase();
        Entry::new(Parts { status, fields, tags, body, selecting, stored, arrived, position })
    }
}

/// Appends the field that makes a response a slice, to what is stored of an origin's fields.
pub(crate) fn with_extent(
    mut fields: Vec<(Vec<u8>, Vec<u8>)>,
    extent: Option<ContentRange>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.extend(extent.map(|extent| (SLICE.as_bytes().to_vec(), extent.to_string().into_bytes())));
    fields
}

/// Stores a response, or returns why it is not stored.
pub(crate) fn put(cache: &Cache, served: &ServedGroup, load: &PurgeGuard, entry: &Arc<Entry>) -> Result<(), Reason> {
    let result = if is_used_too_little(cache, served, load.key()) {
        Err(Reason::MinUses)
    } else if cache.store.put(&served.quota, load, entry.clone(), cache.clock.now()) {
        tracing::debug!(group = served.group.name(), key = %load.key(), why = entry.stored.why.label(), ttl_ms = entry.stored.ttl(0), "stored");
        Ok(())
    } else {
        Err(if load.is_purged(entry) { Reason::Purged } else { Reason::TooLarge })
    };
    if matches!(result, Ok(()) | Err(Reason::MinUses)) {
        cache.hit_for_pass.forget(load.key().hash(), &entry.selecting);
    }
    if result.is_ok() {
        cache.last_reasons.stored(load.key().hash(), cache.clock.now());
    }
    result.inspect_err(|why| {
        served.metrics.count_not_stored(*why);
        cache.last_reasons.record(load.key().hash(), *why, cache.clock.now());
    })
}

/// Notes why a response of a load is not stored.
pub(crate) fn note_not_stored(cache: &Cache, target: &LoadTarget<'_>, why: Reason, head: &response::Parts) {
    let LoadTarget { served, request, load, .. } = target;
    served.metrics.count_not_stored(why);
    served.first_miss_log.log(why, load.key());
    cache.last_reasons.record_response((load.key().hash(), request), &served.group, why, head, cache.clock.now());
}

/// Whether too few requests for a key have come to store its first response (`minUses`).
pub(crate) fn is_used_too_little(cache: &Cache, served: &ServedGroup, key: &Key) -> bool {
    let (least, now) = (served.group.config().min_uses, cache.clock.now());
    least > 1 && cache.uses.count(key.hash(), now) < least && cache.store.peek(&served.quota, key, now).is_none()
}

/// Removes what a response that is not stored supersedes: the variant stored for such a request, or all variants if the
/// resource is gone. A refusal or a failure says nothing about the stored responses.
pub(crate) fn supersede(cache: &Cache, served: &ServedGroup, key: &Key, request: &Request<'_>, head: &response::Parts) {
    let status = head.status.as_u16();
    match status {
        300..=399 | 401 | 403 | 407 | 500 | 502..=504 => {}
        _ if freshness::is_provoked(status) => {}
        404 | 410 if !head.headers.contains_key(VARY) => {
            cache.store.remove(&served.quota, key.hash(), cache.clock.now());
        }
        _ => cache.store.remove_variants(&served.quota, key, |entry| entry.selecting.matches(request)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{
        request::tests::{cache, classified},
        response::tests::entry,
    };

    /// Whether a stored response is still there after a response with this head that is not stored.
    fn stays(status: u16, fields: &[(&'static str, &'static str)]) -> bool {
        let cache = cache(serde_json::json!({}));
        classified(&cache, "GET", "/a", &[], |request| {
            let Ok(request) = request else { panic!("it is not looked up") };
            let load = cache.store.begin(request.key.clone(), Arc::default());
            assert_eq!(put(&cache, request.served, &load, &Arc::new(entry(&[], b"abc"))), Ok(()));
            let head = fields.iter().fold(http::Response::builder().status(status), |head, (n, v)| head.header(*n, *v));
            let head = head.body(()).unwrap().into_parts().0;
            supersede(&cache, request.served, &request.key, &request.http, &head);
            cache.store.get(&request.served.quota, &request.key, 0, |_| true).is_some()
        })
    }

    #[test]
    fn a_response_that_is_not_stored_supersedes_the_stored_one_unless_it_is_a_failure() {
        assert!(!stays(200, &[]), "it is newer");
        assert!(!stays(404, &[]) && !stays(410, &[("vary", "x")]), "the resource is gone");
        for status in [301, 401, 403, 500, 502, 503, 504] {
            assert!(stays(status, &[]), "{status} says nothing about the stored response");
        }
    }
}
