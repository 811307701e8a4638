//! What this coordinator knows of a request.

use crate::{
    cache::{flight_key, groups::GroupTable, last_reasons::LastReason, request::CacheRequest, state::Cache},
    http::head::RequestHead,
    inquiry::why::asked,
    store::Entry,
};
use meshcache_admin::{AtCoordinator, LastReason as Told, StoredResponse};
use meshcache_protocol::{
    Key, Reason,
    freshness::{self, Reuse},
};

/// Returns what is known here of a request.
pub(super) fn known(cache: &Cache, table: &GroupTable, head: &RequestHead) -> AtCoordinator {
    let (name, has_lease) = (cache.settings.me.clone(), cache.consistency.holds_lease());
    let at = AtCoordinator { name, has_lease, ..AtCoordinator::default() };
    asked::look(cache, table, head, |looked| match &looked.request {
        Some(request) => of_key(cache, request, at),
        None => at,
    })
}

fn of_key(cache: &Cache, request: &CacheRequest<'_>, at: AtCoordinator) -> AtCoordinator {
    let (key, quota, now) = (&request.key, &request.served.quota, cache.clock.now());
    let main = |key: &Key| cache.store.peek(quota, key, now).map(|(entries, _)| entries).unwrap_or_default();
    // A large file is found by its first slice.
    let slice = request.first_slice().map(|slice| main(&slice.key(key))).unwrap_or_default();
    let main = main(key).into_iter().chain(slice).map(|entry| (entry, "main"));
    let hot = cache.store.peek_hot(quota, key, now).into_iter().map(|entry| (entry, "hot"));
    let stored = main.chain(hot).map(|(entry, kept_as)| told(request, &entry, kept_as, at.has_lease, now)).collect();
    let flight = flight_key::of(cache, request);
    let waiting = cache.loads.waiting(&flight).or_else(|| cache.peer_loads.waiting(&flight));
    let passes = cache.hit_for_pass.remembered(key.hash(), &request.http, now);
    AtCoordinator {
        stored,
        loading: waiting.map(|waiting| waiting as u64),
        last: cache.last_reasons.of(key.hash()).iter().map(|last| reason(last, now)).collect(),
        stored_ago: cache.last_reasons.stored_at(key.hash()).map(|at| now.saturating_sub(at)),
        passes_for: passes.map(|(_, left)| left),
        ..at
    }
}

fn reason(last: &LastReason, now: u64) -> Told {
    Told {
        reason: last.reason.as_str().to_owned(),
        ago: now.saturating_sub(last.at),
        status: last.status.map(|status| status.as_u16()),
        decided: last.decided.iter().map(ToString::to_string).collect(),
    }
}

fn told(request: &CacheRequest<'_>, entry: &Entry, kept_as: &str, has_lease: bool, now: u64) -> StoredResponse {
    let (stored, resident) = (&entry.stored, entry.resident(now));
    let why_not = why_not(request, entry, has_lease, now);
    let bytes = entry.slice_extent().map_or(entry.body_bytes().len() as u64, |extent| extent.bytes());
    StoredResponse {
        status: entry.status.as_u16(),
        answers: why_not.is_none(),
        why_not,
        vary: entry.selecting.names().map(ToOwned::to_owned).collect(),
        kept_as: kept_as.to_owned(),
        age: stored.age(resident) / 1000,
        ttl: seconds(stored.ttl(resident)),
        lifetime_by: stored.why.place().to_owned(),
        bytes,
        tags: entry.tag_words().map(|tag| tag.escape_ascii().to_string()).collect(),
    }
}

/// Returns whole seconds, more than 0 as long as a response is fresh.
fn seconds(millis: i64) -> i64 {
    if millis > 0 { millis.saturating_add(999) / 1000 } else { millis.div_euclid(1000) }
}

/// Returns why a stored response does not answer a request, as [`crate::cache::lookup`] decides.
fn why_not(request: &CacheRequest<'_>, entry: &Entry, has_lease: bool, now: u64) -> Option<String> {
    let say = |why: &str| Some(why.to_owned());
    if !entry.selecting.matches(&request.http) {
        let names: Vec<_> = entry.selecting.names().collect();
        return Some(format!("vary: the request has other values of {}", names.join(", ")));
    }
    if !entry.answers(&request.http) {
        return say("partial: it is another part than the request wants");
    }
    if !has_lease {
        return say(Reason::PurgeLag.label());
    }
    let resident = entry.resident(now);
    match freshness::reuse(&request.served.group, &request.http, request.verified(), Some(&entry.stored), resident) {
        Reuse::Fresh | Reuse::Stale => None,
        Reuse::Validate("request") => say("request: its Cache-Control wants a newer one"),
        Reuse::Validate(_) if entry.stored.always_validate => say("no-cache: it is validated before it is given"),
        Reuse::Validate(_) => say("stale: it is validated before it is given"),
        Reuse::Refuse => say("identity: the request names its user, and the response is not for everybody"),
        Reuse::OnlyIfCached => say(Reason::OnlyIfCached.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn what_is_fresh_has_more_than_no_second_left() {
        assert_eq!([1, 1000, 1001, 0, -1, -1000].map(seconds), [1, 1, 2, 0, -1, -1]);
    }
}
