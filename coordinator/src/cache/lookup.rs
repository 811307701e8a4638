//! The way of a request through the cache, from top to bottom.
//!
//! 1. `answer` classifies the request (`request`). Without a lookup it passes, is declined or is refused (`pass`).
//!    While purges may be missing here (`consistency`), it passes.
//! 2. `look_up` looks into the store. A fresh response is given at once, a stale one if the group allows that
//!    (`response`); the owner refreshes it in the background (`miss::refresh`). Of what another coordinator owns there
//!    may be a hot copy (`hot_copies`).
//! 3. `fetch` joins the key's flight (`miss`), which asks the key's owner (`peer_load`) or loads from the origin
//!    (`load`), unless the key is known to pass (`hit_for_pass`).
//! 4. `fetch_alone` is for requests that may share no response: from the owner's store, else past the cache.

use crate::{
    cache::{
        fill,
        groups::ServedGroup,
        hit_for_pass::RememberedPass,
        hot_copies, invalidation, miss,
        ownership::ring_of_owner,
        pass,
        pass::PassTarget,
        pass_reason::PassReason,
        peer_load, query,
        request::{CacheRequest, classify},
        response, slices,
        state::Cache,
    },
    http::{
        body::Body,
        content::QUERY,
        head::{Fields, RequestHead},
    },
    settings::Port,
    telemetry::{limits::ProcessLimit, trace::note_key},
};
use http::{Request, Response, StatusCode};
use meshcache_protocol::{
    Reason, Slice,
    freshness::{self, LoadStart, Reuse},
    groups::Mode,
    wire::{Outcome, Verdict},
};
use std::{pin::pin, sync::Arc, time::Instant};

/// Answers a request. Never fails: an error is a response.
pub async fn answer(cache: &Arc<Cache>, port: Port, request: Request<Body>) -> Response<Body> {
    let (began, now) = (Instant::now(), cache.clock.now());
    let (parts, body) = request.into_parts();
    let head = match RequestHead::read(port, parts) {
        Ok(head) => head,
        Err(bad) => return response::refused(StatusCode::BAD_REQUEST, bad.reason(), &cache.names),
    };
    let table = cache.group_table();
    let (head, body) = if head.method().as_str() == QUERY {
        // Boxed, as what else is rare: it must not make the futures of all requests large.
        match Box::pin(query::take_content(cache, &table, port, head, body)).await {
            Ok(read) => read,
            Err(unread) => return response::refused(unread.status(), Reason::BadRequest, &cache.names),
        }
    } else {
        (head, body)
    };
    let fields = head.fields();
    let mut edited = Fields::new();
    let classified = classify(port, &head, &fields, &mut edited, &table, &cache.settings);
    if let Ok(request) = &classified {
        note_key(request.key.hash());
    }
    let (served, outcome, response) = match classified {
        Ok(request) => {
            let mut counted = CountedRequest { request: &request, is_answered: false };
            let response = if cache.consistency.catch_up(request.claim()).await {
                look_up(cache, &request, body, now).await
            } else {
                let why = PassReason::new(Reason::PurgeLag, "bypass");
                Box::pin(pass::pass(cache, &request, body, why)).await
            };
            counted.is_answered = true;
            (Some(request.served), request.answered.outcome(), response)
        }
        Err(not_looked_up) => {
            let (served, response) = pass::without_lookup(cache, not_looked_up, &head, body).await;
            (served, Outcome::Pass, response)
        }
    };
    if let Some(served) = served {
        served.metrics.request_seconds.record(outcome, began.elapsed());
    }
    response
}

/// Counts a plain client's request at its end, also where its client leaves before.
struct CountedRequest<'a> {
    request: &'a CacheRequest<'a>,
    is_answered: bool,
}

impl Drop for CountedRequest<'_> {
    fn drop(&mut self) {
        let CacheRequest { served, question: None, answered, .. } = self.request else { return };
        served.metrics.client_requests.count(self.is_answered.then(|| answered.outcome()));
    }
}

/// Looks into the store first. A fresh response is given at once, whichever peer owns the key.
async fn look_up(cache: &Arc<Cache>, request: &CacheRequest<'_>, body: Body, now: u64) -> Response<Body> {
    let ServedGroup { group, metrics, quota, .. } = &**request.served;
    metrics.gets.inc();
    if request.is_from_peer {
        metrics.server_requests.inc();
    }
    // A question that comes back for the flight that it waits for is no further request.
    if group.config().min_uses > 1 && request.question.as_ref().is_none_or(|question| question.flight == 0) {
        cache.uses.record(request.key.hash(), now);
        if let Some(first) = request.first_slice() {
            cache.uses.record(first.key(&request.key).hash(), now);
        }
    }
    let stored = cache.store.get(quota, &request.key, now, |entry| entry.answers(&request.http));
    // Of a large file its first slice is stored.
    let stored = stored.or_else(|| slices::first(cache, request, now));
    let stored = stored.filter(|entry| !invalidation::invalidate_if_changed(cache, request, entry, now));
    let resident = stored.as_ref().map_or(0, |entry| entry.resident(now));
    let reuse = match (&stored, &request.slice) {
        (Some(entry), Some(Slice { later: Some(_), .. })) => slices::reuse(entry, now),
        _ => {
            let stored = stored.as_ref().map(|entry| &entry.stored);
            freshness::reuse(group, &request.http, request.verified(), stored, resident)
        }
    };
    let found = match (reuse, &stored) {
        (Reuse::Fresh, Some(entry)) => Some((entry, Outcome::Hit)),
        (Reuse::Stale, Some(entry)) => Some((entry, Outcome::Stale)),
        _ => None,
    };
    if group.config().mode == Mode::Observe && request.question.is_none() {
        metrics.count_request(found.map_or(Outcome::Miss, |(_, outcome)| outcome).label(), Reason::Observe);
        let why = PassReason::new(Reason::Observe, "bypass");
        return Box::pin(pass::stream(cache, PassTarget::of(request), body, why)).await;
    }
    // The owner refreshes a stale response: other peers ask it.
    // Where proxies fill, the first that may does so instead.
    let found = found.filter(|(_, outcome)| {
        *outcome == Outcome::Hit || (peer_load::route(cache, request).is_none() && !fill::refreshes(cache, request))
    });
    if let Some((entry, outcome)) = found {
        if outcome == Outcome::Stale {
            miss::refresh(cache, request);
        }
        let mut verdict = response::with_age(Verdict::new(outcome), entry, now);
        verdict.shared = true;
        if request.is_for_file() && entry.slice_extent().is_some() {
            // Boxed, as what else is rare. If the file has changed, it is loaded anew.
            if let Ok(Some(response)) =
                Box::pin(slices::answer(cache, request, (entry, None), verdict, request.reply_by())).await
            {
                metrics.hits.inc();
                request.answered.set(outcome);
                return response;
            }
        } else if let Some(response) = response::from_entry(request, entry, verdict, &cache.names) {
            metrics.hits.inc();
            request.answered.set(outcome);
            metrics.count_response(outcome.label());
            return response;
        }
    }
    if ring_of_owner(cache, request).is_some()
        && let Some(response) = hot_copies::answer(cache, request, now)
    {
        metrics.hits.inc();
        request.answered.set(Outcome::Hit);
        metrics.count_response(Outcome::Hit.label());
        return response;
    }
    metrics.loads.inc();
    let fwd = match reuse {
        Reuse::Validate("uri-miss") => miss_reason(cache, request, now),
        Reuse::Validate(word) => word,
        Reuse::Stale => "stale",
        Reuse::OnlyIfCached => "uri-miss",
        // There is a response, but not for this request.
        Reuse::Fresh | Reuse::Refuse => "request",
    };
    let validates = stored.is_some_and(|entry| entry.stored.validator);
    Box::pin(fetch(cache, request, body, StoreMiss { reuse, fwd, validates })).await
}

/// Why the store did not answer a request.
#[derive(Clone, Copy)]
struct StoreMiss {
    reuse: Reuse,
    /// In the words of Cache-Status (RFC 9211 section 2.2).
    fwd: &'static str,
    /// A stored response can be validated.
    validates: bool,
}

/// Returns why the store has no response to a request, in the words of Cache-Status.
fn miss_reason(cache: &Cache, request: &CacheRequest<'_>, now: u64) -> &'static str {
    match cache.store.peek(&request.served.quota, &request.key, now) {
        None => "uri-miss",
        Some((entries, _)) if entries.iter().any(|entry| entry.is_part() && entry.selecting.matches(&request.http)) => {
            "partial"
        }
        Some(_) => "vary-miss",
    }
}

/// Fetches what the store cannot answer: together with all requests for the same if it may be shared, else alone.
async fn fetch(cache: &Arc<Cache>, request: &CacheRequest<'_>, body: Body, miss: StoreMiss) -> Response<Body> {
    let StoreMiss { reuse, fwd, validates } = miss;
    if peer_load::refuses_crosstalk(cache, request) {
        request.served.metrics.crosstalk_refusals.inc();
    }
    if !request.head.reserve(&cache.head_budget) {
        cache.metrics.count_limit_reached(ProcessLimit::Heads);
        return pass::at_capacity(cache, request, tokio::time::Instant::now()).await;
    }
    let shares = match freshness::shares(&request.served.group, &request.http, request.verified(), validates) {
        Err(alone) => Err(alone.reason()),
        Ok(_) if reuse == Reuse::Refuse => Err(Reason::Identity),
        Ok(_) if reuse == Reuse::OnlyIfCached => Err(Reason::OnlyIfCached),
        Ok(since) => Ok(since),
    };
    let since = match shares {
        Ok(since) => since,
        // A part of a file costs its slices.
        Err(Reason::Range)
            if request.is_for_file()
                && freshness::is_answered_by_whole(&request.served.group, &request.http, request.verified()) =>
        {
            LoadStart::Any
        }
        Err(_) if matches!(reuse, Reuse::Validate(_) | Reuse::Stale) && miss::note_partial_request(cache, request) => {
            LoadStart::Any
        }
        Err(reason) => return fetch_alone(cache, request, body, reuse, PassReason::new(reason, fwd)).await,
    };
    let route = peer_load::route(cache, request);
    // A plain client's own response is stored as it passes, if it may be. A proxy's pass does not come through here.
    let may_probe = request.question.is_some() && route.is_none();
    if let Some(RememberedPass { reason, remember, vary, probes }) = cache.hit_for_pass.take_pass(
        request.key.hash(),
        &request.http,
        request.longest_stream(),
        may_probe,
        cache.clock.now(),
    ) {
        if probes {
            miss::load_in_background(cache, request, fwd);
        }
        let why = PassReason { remember, vary, ..PassReason::new(reason, fwd) };
        return pin!(pass::pass(cache, request, body, why)).await;
    }
    if request.is_for_file() {
        return slices::join(cache, request, body, route, fwd, since).await;
    }
    let answer = miss::wait(cache, request, route, fwd, since).await;
    miss::respond(cache, request, body, answer, fwd).await
}

/// Fetches what may be shared with no other request: from the owner's store, else past the cache.
async fn fetch_alone(
    cache: &Arc<Cache>,
    request: &CacheRequest<'_>,
    body: Body,
    reuse: Reuse,
    why: PassReason,
) -> Response<Body> {
    let metrics = &request.served.metrics;
    if let Some(route) = peer_load::route(cache, request)
        && let Some(response) = peer_load::forward(cache, request, &route).await
    {
        request.answered.set(Outcome::Hit);
        metrics.count_request(Outcome::Hit.label(), Reason::Peer);
        return response;
    }
    if reuse == Reuse::OnlyIfCached {
        request.answered.set(Outcome::Error);
        metrics.count_request(Outcome::Error.label(), Reason::OnlyIfCached);
        return response::only_if_cached(request, &cache.names);
    }
    pin!(pass::pass(cache, request, body, why)).await
}
