//! One load from the origin: the store once more, a permit, the request, its response.

use crate::{
    cache::{
        getter_load,
        groups::ServedGroup,
        growing_load::Load,
        insertion,
        insertion::LoadTarget,
        load_job::LoadJob,
        load_outcome::{Landing, LeaderReply, LoadOutcome, NotShared, loaded},
        origin_response::{self, Decided, Lead, OriginResponse},
        revalidation::Candidates,
        slices::{self, Taken},
        state::Cache,
    },
    clock,
    jitter::random,
    origin::{Failure, FailureScope, Origin, Purpose, outgoing, strip_response_headers},
    store::Entry,
};
use http::{StatusCode, header::RETRY_AFTER, response};
use meshcache_protocol::{
    Key, Reason,
    freshness::{self, Reuse, Times},
    groups::Overload,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;
use tokio::time::Instant;

/// Loads a job's key: from the store if another load has just filled it, else from the origin.
pub(crate) async fn load(cache: &Arc<Cache>, job: &Arc<LoadJob>, leader: LeaderReply) -> Landing {
    let LoadJob { served, head: client, key, verified, fwd, is_refresh, slice } = &**job;
    let fields = client.fields();
    let Ok(request) = client.request(&fields).map(|request| request.whole()) else {
        return LoadOutcome::Failed(Failure::Internal).into();
    };
    let load = cache.store.begin(key.clone(), cache.consistency.position());
    // The first slice stands for its file, and is stored beside it.
    let first = slice.as_ref().filter(|slice| slice.later.is_none()).map(|slice| slice.key(key));
    let first = first.map(|key| cache.store.begin(key, cache.consistency.position()));
    let stored = |key| {
        cache
            .store
            .get(&served.quota, key, cache.clock.now(), |entry| !entry.is_part() && entry.selecting.matches(&request))
    };
    let stale = stored(key).or_else(|| first.as_ref().and_then(|first| stored(first.key())));
    // Another flight may have completed between the lookup and the start of this one.
    if let Some(entry) = &stale
        && freshness::reuse(&served.group, &request, *verified, Some(&entry.stored), entry.resident(cache.clock.now()))
            == Reuse::Fresh
    {
        return loaded(entry, Verdict::new(Outcome::Hit), cache.clock.now()).into();
    }
    let target = LoadTarget { served, request, verified: *verified, load: &load, stale: stale.as_ref() };
    if let Some(entry) = target.stale.filter(|entry| origin_response::may_serve_on_error(cache, &target, entry))
        && !served.backoff.try_load(key.hash(), cache.clock.now())
    {
        return loaded(entry, Verdict::new(Outcome::Stale).because("origin-down"), cache.clock.now()).into();
    }
    // Held until the body is complete or the response turns out to be the leader's alone: passes are not limited.
    let Some(permit) = served.load_limit.acquire(served.group.config().patience.duration()).await else {
        return overloaded(cache, served, stale.as_ref()).into();
    };
    served.metrics.loads_deduped.inc();
    cache.cluster.record_load(key);
    let origin = match &served.origin {
        Origin::Http(origin) => origin,
        Origin::Getter(getter) => {
            return getter_load::load(cache, &target, getter, client.target(), *is_refresh).await.into();
        }
    };
    // What was loaded whole although it is larger than a slice cannot be had in slices.
    let is_unfit = |entry: &Arc<Entry>| {
        slice
            .as_ref()
            .is_some_and(|slice| entry.slice_extent().is_none() && entry.body_bytes().len() as u64 > slice.size)
    };
    let mut slice = slice.as_ref().filter(|_| !stale.as_ref().is_some_and(is_unfit));
    let mut candidates = Candidates::of(stale.as_ref(), || other_variants(cache, served, key));
    let response = loop {
        let mut conditions = candidates.conditions();
        conditions.extend(slice.iter().flat_map(|slice| slice.conditions(!candidates.is_none())));
        let forwarder = &cache.names.forwarder;
        let Some(outgoing) = outgoing(origin, &served.group, client, forwarder, Purpose::Load(&conditions)) else {
            return LoadOutcome::Failed(Failure::BadResponse).into();
        };
        let metrics = &served.metrics;
        if *is_refresh { &metrics.service_refreshes } else { &metrics.service_loads }.inc();
        let (began, requested) = (Instant::now(), clock::wall());
        let sent = origin.send(outgoing, Some(origin.timeout())).await;
        served.metrics.origin_seconds.observe(began.elapsed().as_secs_f64());
        let (mut head, body) = match sent {
            Ok(response) => response.into_parts(),
            Err(failure) => return origin_response::failed(cache, &target, failure).into(),
        };
        strip_response_headers(&served.group, &mut head.headers);
        note_health(cache, served, key, &head);
        let times = Times { requested, responded: clock::wall() };
        let response = OriginResponse { head, body, times, at: cache.clock.now(), began, extent: None };
        if response.head.status != StatusCode::NOT_MODIFIED {
            let Some(asked) = slice else { break response };
            match slices::take(served, &request, *verified, asked, response) {
                Taken::Slice(response) | Taken::Whole(response) => break response,
                Taken::Failed(failure) => return LoadOutcome::Failed(failure).into(),
                Taken::AskForWhole => slice = None,
            }
            continue;
        }
        if let Some(entry) = candidates.confirmed(&response.head) {
            let load = first.as_ref().filter(|_| entry.slice_extent().is_some()).unwrap_or(&load);
            return origin_response::revalidated(cache, &LoadTarget { load, ..target }, entry, &response).into();
        }
        if candidates.is_none() {
            // A 304 to a request without conditions.
            return origin_response::failed(cache, &target, Failure::BadResponse).into();
        }
        // The 304 is about another response than ours: once more without conditions (RFC 9111 section 4.3.4).
        candidates = Candidates::None;
    };
    match target.stale {
        Some(entry) if is_error(response.head.status) && origin_response::may_serve_on_error(cache, &target, entry) => {
            served.metrics.local_load_errs.inc();
            let mut verdict = Verdict::new(Outcome::Stale).because("origin-error");
            verdict.fwd_status = response.head.status.as_u16();
            loaded(entry, verdict, cache.clock.now()).into()
        }
        _ => {
            let is_slice = response.extent.is_some();
            // Of a file there is its first slice or the whole: the newer one counts.
            let load = match first {
                Some(first) if is_slice => {
                    cache.store.remove_variants(&served.quota, key, |entry| entry.selecting.matches(&request));
                    first
                }
                Some(first) => {
                    insertion::supersede(cache, served, first.key(), &request, &response.head);
                    load
                }
                None => load,
            };
            // No client is given a slice for the whole.
            let lead = leader.filter(|_| !is_slice).map(|to| Lead { to, fwd });
            let target = LoadTarget { load: &load, stale: stale.as_ref(), served, request, verified: *verified };
            match origin_response::store_or_share(cache, &target, job, response, origin.pass_timeout(), lead).await {
                Decided::Done(outcome) => outcome.into(),
                Decided::Growing(response) => {
                    let load = Load { job: job.clone(), guard: load, stale, _permit: permit };
                    load.land(cache.clone(), *response)
                }
            }
        }
    }
}

/// The key's stored responses to requests with other selecting fields, for groups that follow the RFC to the letter.
/// For other groups they are no candidates: careless origins give two encodings the same tag.
fn other_variants(cache: &Cache, served: &ServedGroup, key: &Key) -> Vec<Arc<Entry>> {
    let letter = served.group.config().freshness.errors.by_rfc();
    let stored = letter.then(|| cache.store.peek(&served.quota, key, cache.clock.now())).flatten();
    stored.map_or_else(Vec::new, |(entries, _)| entries)
}

/// Records whether the origin responds as it should.
fn note_health(cache: &Cache, served: &ServedGroup, key: &Key, head: &response::Parts) {
    if is_error(head.status) {
        let retry_after =
            head.headers.get(RETRY_AFTER).map_or(0, |value| freshness::retry_after(value.as_bytes(), clock::wall()));
        served.backoff.record_failure(key.hash(), FailureScope::Key { retry_after }, cache.clock.now(), random());
    } else {
        served.backoff.record_success(key.hash());
    }
}

/// The outcome of a load that got no permit in time, as the group's `overload` has it: the stale response if it allows
/// that, else a pass for each request, or 503.
fn overloaded(cache: &Cache, served: &ServedGroup, stale: Option<&Arc<Entry>>) -> LoadOutcome {
    let overload = served.group.config().overload;
    served.load_limit.log_overload(served.group.name(), overload, cache.clock.now());
    if overload == Overload::Refuse {
        return LoadOutcome::Failed(Failure::Overload);
    }
    match stale
        .filter(|entry| overload == Overload::Stale && !entry.stored.must_revalidate && !entry.stored.always_validate)
    {
        Some(entry) => loaded(entry, Verdict::new(Outcome::Stale).because("overload"), cache.clock.now()),
        None => LoadOutcome::NotShared(NotShared { reason: Reason::Overload.into(), remember: 0, vary: String::new() }),
    }
}

fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
