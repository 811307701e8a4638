//! A miss: the request joins its key's flight; the first request starts it, and it asks the owner or loads here.
//!
//! Long: each outcome of a flight has its answer here.

use crate::{
    cache::{
        fill::{self, OpenOffer},
        flight::{FlightGuard, Full, JoinCondition, WaitOutcome},
        flight_key,
        flight_wait::{wait_for, wants_all},
        large,
        load::load,
        load_job::LoadJob,
        load_limit::Gauged,
        load_outcome::{Audience, LoadOutcome, LoadedResponse, NotShared},
        pass,
        pass_reason::PassReason,
        peek, peer_load,
        peer_load::{PeerRoute, millis},
        request::CacheRequest,
        response,
        state::Cache,
        stored_since::stored_since,
    },
    http::body::Body,
    jitter::spread,
    origin::Failure,
    telemetry::trace::{Current, SpanKind, current_trace, note_load},
};
use http::Response;
use meshcache_protocol::{
    Reason,
    freshness::{self, LoadStart},
    reason::AnyReason,
    wire::{GrantId, Outcome, Verdict},
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// The most flights that a request waits for, one after another: the first may turn out to have variants, the second
/// may be for earlier requests only, the third may fail by its leader's fault.
const MOST_FLIGHTS: usize = 4;
/// For how long a partial request for a key counts, milliseconds.
const PARTIAL_REQUEST: u64 = 10_000;

/// What a request gets from its key's flights.
pub(crate) enum FlightAnswer {
    /// A response, for this request.
    Loaded(LoadedResponse),
    /// A response for this request alone, as it streams, and why.
    Own(Response<Body>, AnyReason),
    /// Nothing that it may share: it passes. At this time, where a herd does so together.
    NotShared(PassReason, Option<Instant>),
    /// No response.
    Failed(Failure),
    /// Nothing within a question's patience: it asks again, with the ticket of this flight.
    /// `leave`: one of the requests behind it passes meanwhile.
    Loading { flight: u64, leads: bool, leave: bool },
    /// The request's proxy is to fill. The ticket is for those beside it.
    Fill { flight: u64, grant: GrantId },
    /// No further flight or waiter is admitted.
    Full(Instant),
}

/// Answers a request with what its flight has brought.
pub(crate) async fn respond(
    cache: &Arc<Cache>,
    request: &CacheRequest<'_>,
    body: Body,
    answer: FlightAnswer,
    fwd: &'static str,
) -> Response<Body> {
    let metrics = &request.served.metrics;
    let why = match answer {
        // Its flight began when its group had slices, or others.
        FlightAnswer::Loaded(LoadedResponse { entry, .. })
            if !request.takes_slice() && entry.slice_extent().is_some() =>
        {
            PassReason::new(Reason::NotShared, fwd)
        }
        FlightAnswer::Loaded(LoadedResponse { entry, verdict, growing, .. }) => {
            request.answered.set(verdict.outcome);
            metrics.count_response(verdict.outcome.label());
            match response::from_load(request, &entry, growing.as_ref(), verdict, &cache.names) {
                Some(response) => return response,
                None => PassReason::new(Reason::Conditional, fwd),
            }
        }
        FlightAnswer::Own(response, reason) => {
            request.answered.set(Outcome::Miss);
            metrics.count_request(Outcome::Miss.label(), reason);
            return response;
        }
        FlightAnswer::NotShared(why, at) => {
            if let Some(at) = at {
                spread(at).await;
            }
            why
        }
        FlightAnswer::Failed(failure) => return pass::load_failed(cache, request, failure),
        FlightAnswer::Fill { flight, grant } => {
            metrics.count_request(Outcome::Loading.label(), Reason::Fill);
            let verdict = Verdict { flight, fill: Some(grant), ..Verdict::new(Outcome::Loading) };
            return response::verdict_only(&verdict);
        }
        FlightAnswer::Loading { flight, leads, leave } => {
            match leave {
                true => metrics.count_request(Outcome::Loading.label(), Reason::Leave),
                false => metrics.count_response(Outcome::Loading.label()),
            }
            let verdict = Verdict { flight, leave, collapsed: !leads, ..Verdict::new(Outcome::Loading) };
            return response::verdict_only(&verdict);
        }
        FlightAnswer::Full(until) => return pass::at_capacity(cache, request, until).await,
    };
    pass::pass(cache, request, body, why).await
}

/// Waits for the key's flight, and starts it if there is none.
pub(crate) async fn wait(
    cache: &Arc<Cache>,
    request: &CacheRequest<'_>,
    route: Option<PeerRoute>,
    fwd: &'static str,
    since: LoadStart,
) -> FlightAnswer {
    let now = Instant::now();
    let reply_by = request.reply_by();
    let came = now.checked_sub(request.waited()).unwrap_or(now);
    let mut condition = JoinCondition {
        began_after: (since == LoadStart::AfterRequest).then_some(came),
        ticket: request.question.as_ref().map_or(0, |question| question.flight),
    };
    let flights = if route.is_some() { &cache.peer_loads } else { &cache.loads };
    // A flight to come back for may have turned out to have variants.
    let mut key =
        if flights.has_result(&request.key, condition) { request.key.clone() } else { flight_key::of(cache, request) };
    let (why, mut is_variant) = (|reason: AnyReason| PassReason::new(reason, fwd), false);
    let filler = fill::filler(cache, request, route.as_ref());
    for _ in 0..MOST_FLIGHTS {
        if route.is_none() && filler.is_none() && !fill::may_join(cache, request, &key, condition) {
            return FlightAnswer::NotShared(why(Reason::NoFiller.into()), None);
        }
        let stored = || if condition.began_after.is_none() { stored_since(cache, request, &key) } else { None };
        let (waiter, guard) = match flights.join(&key, condition, stored) {
            Ok(joined) => joined,
            Err(Full) => return FlightAnswer::Full(reply_by.unwrap_or(now)),
        };
        let (is_first, number) = (guard.is_some() || condition.leads(waiter.number), waiter.number);
        // Where proxies fill, the response is to the request of one that waits no longer.
        let leads = is_first && !fill::is_by_proxies(request.served);
        let own = guard.and_then(|guard| start_flight(cache, guard, request, route.clone(), fwd, false));
        let deadline = reply_by.unwrap_or_else(|| request.served.flight_deadline(waiter.follows));
        let load_span = waiter.load_span();
        let (ticket, share) = (waiter.ticket(), waiter.share());
        let waiting = wait_for(request, waiter, deadline);
        let (waited, leave) = match &filler {
            None => waiting.await,
            // Boxed, as what else is rare: it must not make the futures of all misses large.
            Some(identity) => match Box::pin(fill::wait_or_take(waiting, cache, request, number, identity)).await {
                Ok(waited) => waited,
                Err(grant) => return FlightAnswer::Fill { flight: ticket(), grant },
            },
        };
        if let (false, Some(load)) = (leads, load_span()) {
            note_load(load);
        }
        match waited {
            WaitOutcome::Completed(LoadOutcome::Loaded(LoadedResponse { growing: Some(body), .. }))
                if body.is_large() && !large::streams_to(request, &body) =>
            {
                return FlightAnswer::NotShared(large::pass_reason(cache, request, fwd), None);
            }
            // Its beginning has left its window: the next flight is for all who come from now on.
            WaitOutcome::Completed(LoadOutcome::Loaded(LoadedResponse { growing: Some(body), .. }))
                if body.is_large() && !body.is_readable() && wants_all(request) =>
            {
                condition.ticket = 0;
            }
            WaitOutcome::Completed(LoadOutcome::Loaded(loaded)) => {
                let LoadedResponse { entry, mut verdict, audience, began, growing, leave } = loaded;
                if growing.is_some() {
                    // The head may be older than this request.
                    verdict = response::with_age(verdict, &entry, cache.clock.now());
                }
                let fits = entry.selecting.matches(&request.http);
                // A response that needs validation before reuse is for requests that came before its load began (RFC
                // 9111 section 4).
                let is_reusable = verdict.ttl > 0 || matches!(verdict.outcome, Outcome::Hit | Outcome::Stale);
                let is_for_waiter = match audience {
                    Audience::Leader | Audience::First => false,
                    Audience::All => is_reusable || began >= came || condition.is_in_time_for(number),
                    Audience::Waiters => true,
                };
                if leads || (is_for_waiter && fits) {
                    if !leads && matches!(verdict.outcome, Outcome::Miss | Outcome::Revalidated) {
                        request.served.metrics.count_shared_load(share());
                    }
                    // A coordinator that takes the body as it grows gives the leave to one of its own proxies' requests.
                    verdict.leave =
                        request.question.as_ref().is_some_and(|question| question.leave && question.streams)
                            && leave.as_ref().is_some_and(|leave| leave.take());
                    verdict.collapsed |= !leads;
                    verdict.load = (!is_reusable && audience == Audience::All).then(|| millis(began.elapsed()));
                    if verdict.reason.is_empty()
                        && fwd != "uri-miss"
                        && matches!(verdict.outcome, Outcome::Miss | Outcome::Revalidated)
                    {
                        verdict.reason = fwd.into();
                    }
                    return FlightAnswer::Loaded(LoadedResponse { entry, verdict, audience, began, growing, leave });
                }
                match audience {
                    Audience::Leader => break,
                    // Another waiter leads the next flight.
                    Audience::First => condition = JoinCondition::after(number),
                    // Later requests know by which fields the response varies.
                    Audience::All if fits => {
                        condition.began_after = Some(came);
                        key = flight_key::variant_key(&request.key, &flight_key::selecting(request, &entry));
                    }
                    Audience::All | Audience::Waiters if !is_variant => {
                        is_variant = true;
                        key = flight_key::variant_key(&request.key, &flight_key::selecting(request, &entry));
                    }
                    Audience::All | Audience::Waiters => break,
                }
            }
            WaitOutcome::Completed(LoadOutcome::NotShared(NotShared { reason, remember, vary })) => {
                if let Some(response) = own.and_then(|mut own| own.try_recv().ok()) {
                    return FlightAnswer::Own(response, reason);
                }
                let at = (reason == Reason::Overload).then_some(deadline);
                return FlightAnswer::NotShared(PassReason { remember, vary, ..why(reason) }, at);
            }
            WaitOutcome::Completed(LoadOutcome::Failed(failure)) => return FlightAnswer::Failed(failure),
            WaitOutcome::Aborted => return FlightAnswer::Failed(Failure::Internal),
            WaitOutcome::TimedOut(flight) if request.question.is_some() => {
                return FlightAnswer::Loading { flight, leads, leave };
            }
            // The response's head came in time, or the load would have failed: a plain client need not wait for a long
            // body.
            WaitOutcome::TimedOut(_) => return FlightAnswer::NotShared(why(Reason::Slow.into()), None),
        }
    }
    FlightAnswer::NotShared(why(Reason::NotShared.into()), None)
}

/// Starts a flight in a task of its own, which outlives the client. Returns where a plain client gets a response that
/// turns out to be its own alone.
fn start_flight(
    cache: &Arc<Cache>,
    mut guard: FlightGuard<LoadOutcome>,
    request: &CacheRequest<'_>,
    route: Option<PeerRoute>,
    fwd: &'static str,
    is_refresh: bool,
) -> Option<oneshot::Receiver<Response<Body>>> {
    let wants_all = wants_all(request);
    let (leader, own) =
        if request.question.is_none() && wants_all { Some(oneshot::channel()).unzip() } else { (None, None) };
    let head = request.head.edited(&request.served.group);
    let job = Arc::new(LoadJob {
        served: request.served.clone(),
        head: if wants_all { head } else { head.whole() },
        key: request.key.clone(),
        verified: request.verified(),
        fwd,
        is_refresh,
        slice: request.slice.clone(),
        offer: (route.is_none() && request.slice.is_none() && fill::is_by_proxies(request.served))
            .then(|| OpenOffer::of(&cache.offers, guard.number())),
    });
    let cache = cache.clone();
    let gauge = Gauged::new(&cache.metrics.flights);
    let (trace, span) = current_trace().child(SpanKind::Internal, "load");
    let span = span.map(|mut span| {
        span.set("meshcache.group", request.served.group.name().to_owned().into());
        span
    });
    if let (Some(_), Some(ids)) = (&span, trace.ids()) {
        guard.set_span(ids);
    }
    tokio::spawn(Current { trace, request: None }.scope(async move {
        let (_gauge, _span) = (gauge, span);
        let waited = guard.wait_for_previous().await;
        let landing = match route {
            Some(mut route) => {
                route.question.waited = waited.map_or(route.question.waited, millis);
                peer_load::load(&cache, &job, route, leader).await
            }
            None => {
                peek::ask(&cache, &job).await;
                guard.mark_loading();
                load(&cache, &job, leader).await
            }
        };
        landing.complete(guard).await;
    }));
    own
}

/// Refreshes a stale response in the background: one load, however many requests were given it.
pub(crate) fn refresh(cache: &Arc<Cache>, request: &CacheRequest<'_>) {
    if freshness::joins(&request.served.group, &request.http, request.verified()).is_ok()
        && cache.hit_for_pass.take_pass(request.key.hash(), &request.http, 0, false, cache.clock.now()).is_none()
    {
        load_in_background(cache, request, "stale");
    }
}

/// Loads in the background, for requests that come meanwhile.
pub(crate) fn load_in_background(cache: &Arc<Cache>, request: &CacheRequest<'_>, fwd: &'static str) {
    if fill::is_by_proxies(request.served) {
        return;
    }
    let key = flight_key::of(cache, request);
    let stored = || stored_since(cache, request, &key);
    if let Ok((_, Some(guard))) = cache.loads.join(&key, JoinCondition::default(), stored) {
        start_flight(cache, guard, request, None, fwd, true);
    }
}

/// Records a proxy's partial request. Returns whether it is to wait for a load of the whole: one is in progress, or the
/// key was requested a moment ago. A single partial request is not worth the whole. A plain client's waits for nothing,
/// but has its part of a body that is growing.
pub(crate) fn note_partial_request(cache: &Cache, request: &CacheRequest<'_>) -> bool {
    if !freshness::is_answered_by_whole(&request.served.group, &request.http, request.verified()) {
        return false;
    }
    let key = flight_key::of(cache, request);
    if request.question.is_none() {
        return cache.loads.is_growing(&key) || cache.peer_loads.is_growing(&key);
    }
    cache.loads.is_in_flight(&key)
        || cache.peer_loads.is_in_flight(&key)
        || (!request.is_from_peer
            && cache.partial_requests.replace(request.key.hash(), (), cache.clock.now(), PARTIAL_REQUEST).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::request::tests::{cache, classified};
    use meshcache_protocol::wire::Question;

    #[test]
    fn the_second_partial_request_of_a_proxy_waits_for_the_whole() {
        let cache = cache(serde_json::json!({}));
        let question = Question { group: "g".into(), ..Question::new() }.to_string();
        let note = |target: &str, fields: &[(&str, &str)]| {
            classified(&cache, "GET", target, fields, |request| {
                let Ok(request) = request else { panic!("it is not looked up") };
                note_partial_request(&cache, &request)
            })
        };
        let (proxy, range) = (("meshcache-wire", question.as_str()), ("range", "bytes=0-1"));
        assert!(!note("/a", &[proxy, range]), "one is not worth the whole");
        assert!(note("/a", &[proxy, range]));
        assert!(!note("/b", &[proxy, range]), "another key");
        assert!(!note("/a", &[range]), "a plain client gets its part from the origin");
        assert!(!note("/a", &[proxy]), "it wants the whole");
    }
}
