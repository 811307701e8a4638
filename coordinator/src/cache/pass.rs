//! Passes: a proxy's request is declined, a plain client's goes to the origin and back as it streams.
//!
//! Long: each way past the cache has its rule here.

use crate::{
    cache::{
        groups::ServedGroup,
        insertion,
        insertion::LoadTarget,
        invalidation,
        observe::{self, ObservedBody},
        pass_reason::PassReason,
        request::{CacheRequest, NotLookedUp},
        response,
        revalidation::{OriginHead, freshen},
        state::Cache,
    },
    clock,
    http::{
        body::{Body, GuardedBody},
        capture::TeeBody,
        head::RequestHead,
    },
    jitter::{random, spread},
    origin::{Failure, Origin, Purpose, goes_as_keyed, outgoing, strip_response_headers, with_headers},
    store::{Entry, Parts, PurgeGuard, with_fields},
    telemetry::limits::ProcessLimit,
};
use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::Body as _;
use meshcache_protocol::{
    self as protocol, Key, Reason, Request,
    freshness::{self, NotStored, Selecting, Times, Vary},
    groups::Overload,
    reason::AnyReason,
    wire::{Outcome, Verdict},
};
use std::{pin::pin, sync::Arc};
use tokio::time::timeout;

/// Memory of a pass beside its head: its task and its connection to the origin.
pub(crate) const PASS_BYTES: u64 = 28 * 1024;
/// Copies of a head in memory: the one that is sent to the origin, and the one in the connection's buffer.
const HEAD_COPIES: u64 = 2;

/// A request that passes to the origin.
pub(crate) struct PassTarget<'a> {
    pub(crate) served: &'a Arc<ServedGroup>,
    pub(crate) head: &'a RequestHead,
    /// The request, if the cache might have answered it: its response is stored as well, if it may be.
    pub(crate) request: Option<&'a CacheRequest<'a>>,
}

impl<'a> PassTarget<'a> {
    /// A request that the cache might have answered.
    pub(crate) fn of(request: &'a CacheRequest<'a>) -> Self {
        Self { served: request.served, head: request.head, request: Some(request) }
    }
}

/// Answers a request that is not looked up. Returns its group, too, if it is known.
pub(crate) async fn without_lookup<'a>(
    cache: &Arc<Cache>,
    request: NotLookedUp<'a>,
    head: &RequestHead,
    body: Body,
) -> (Option<&'a Arc<ServedGroup>>, Response<Body>) {
    match request {
        NotLookedUp::Pass { served, reason, is_question } => {
            served.metrics.count_request(Outcome::Pass.label(), reason);
            let response = if is_question {
                response::decline(&PassReason::new(reason, ""))
            } else {
                let fwd = if reason == Reason::Method { reason.label() } else { "bypass" };
                let target = PassTarget { served, head, request: None };
                Box::pin(stream(cache, target, body, PassReason::new(reason, fwd))).await
            };
            (Some(served), response)
        }
        NotLookedUp::Decline { served, reason } => {
            if let Some(served) = served {
                served.metrics.count_request(Outcome::Pass.label(), reason);
            }
            (served, response::decline(&PassReason::new(reason, "")))
        }
        NotLookedUp::Forbidden { served, field, .. } => {
            served.metrics.count_request(Outcome::Error.label(), Reason::NotPassed);
            served.not_passed_log.log(served.group.name(), field, head.method().as_str(), cache.clock.now());
            (Some(served), response::refused(StatusCode::FORBIDDEN, Reason::NotPassed, &cache.names))
        }
        NotLookedUp::Refused { status, reason } => (None, response::refused(status, reason, &cache.names)),
    }
}

/// Passes a request that the cache has no response for: a proxy's question is declined, a plain client gets the
/// origin's response.
pub(crate) async fn pass(
    cache: &Arc<Cache>,
    request: &CacheRequest<'_>,
    body: Body,
    why: PassReason,
) -> Response<Body> {
    note(cache, request, Outcome::Pass, why.reason);
    let target = PassTarget::of(request);
    let Some(question) = &request.question else { return pin!(stream(cache, target, body, why)).await };
    if request.http.is_head() && why.fwd != "uri-miss" {
        // The response to a HEAD may update a stored response. A proxy need not wait here for a slow origin.
        let streamed = Box::pin(stream(cache, target, body, why.clone()));
        if let Ok(response) = timeout(request.patience(question), streamed).await
            && !response.status().is_server_error()
        {
            return response::streamed_to_proxy(response, why.fwd);
        }
    }
    response::decline(&why)
}

/// Answers a request when no further flight, waiter or head is admitted.
pub(crate) async fn at_capacity(
    cache: &Cache,
    request: &CacheRequest<'_>,
    deadline: tokio::time::Instant,
) -> Response<Body> {
    if request.question.is_some() && request.served.group.config().overload == Overload::Refuse {
        return load_failed(cache, request, Failure::Overload);
    }
    if request.question.is_some() {
        spread(deadline).await;
        note(cache, request, Outcome::Pass, Reason::Full.into());
        return response::decline(&PassReason::new(Reason::Full, ""));
    }
    note(cache, request, Outcome::Error, Reason::Full.into());
    response::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::Full, &cache.names)
}

/// Answers a request whose load failed.
pub(crate) fn load_failed(cache: &Cache, request: &CacheRequest<'_>, failure: Failure) -> Response<Body> {
    note(cache, request, Outcome::Error, failure.reason().into());
    match &request.question {
        // All waiters share this failure: the herd must not reach an origin that fails.
        Some(_) if failure.is_no_answer() => {
            response::for_all_waiters(response::load_failed(failure, &cache.names), failure.reason())
        }
        Some(_) => response::verdict_only(&Verdict::new(Outcome::Error).because(failure.reason())),
        None => response::load_failed(failure, &cache.names),
    }
}

/// Notes why a request gets no response from the store, nor from a load.
fn note(cache: &Cache, request: &CacheRequest<'_>, outcome: Outcome, why: AnyReason) {
    request.answered.set(outcome);
    request.served.metrics.count_request(outcome.label(), why);
    // Those of other methods say nothing about the key.
    if request.http.is_get() {
        cache.last_reasons.record(request.key.hash(), why, cache.clock.now());
    }
}

/// Sends a request to the origin and streams the response back.
pub(crate) async fn stream(cache: &Arc<Cache>, target: PassTarget<'_>, body: Body, why: PassReason) -> Response<Body> {
    let PassTarget { served, head, request } = target;
    let origin = match &served.origin {
        Origin::Http(origin) => origin,
        Origin::Getter(_) => return response::refused(StatusCode::METHOD_NOT_ALLOWED, Reason::Method, &cache.names),
        // Only proxies reach the service.
        Origin::Proxies { .. } => {
            return response::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::NoFiller, &cache.names);
        }
    };
    let is_unsafe = freshness::is_unsafe(head.method().as_str().as_bytes());
    let fields = head.fields();
    let key = match request {
        // Where loads are limited, so are bodies on their way into the store.
        _ if matches!(why.reason, AnyReason::Own(Reason::Overload | Reason::Slow | Reason::TooLarge)) => None,
        // The response to another spelling of the key is not stored: it may depend on the spelling.
        _ if !goes_as_keyed(origin, &served.group, head) => None,
        // So may the response to the fields that a load would not send.
        _ if served.group.edits(&fields) => None,
        Some(request) => Some(request.key.clone()),
        // The response to a POST may be the one that a GET would bring, unless that would pass.
        None if is_unsafe && why.reason == Reason::Method => {
            let http = head.request(&fields).ok().filter(|http| served.group.bypass_reason(http).is_none());
            http.map(|http| Key::of(&served.group, &http, None))
        }
        None => None,
    };
    let mut reserved = cache.head_budget.reserve();
    if !head.reserve(&cache.head_budget)
        || !reserved.grow(PASS_BYTES.saturating_add(HEAD_COPIES.saturating_mul(head.bytes())))
    {
        cache.metrics.count_limit_reached(ProcessLimit::Heads);
        return response::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::Full, &cache.names);
    }
    let mut load = key.map(|key| cache.store.begin(key, cache.consistency.position()));
    let forwarder = &cache.names.forwarder;
    let Some(outgoing) = outgoing(origin, &served.group, head, forwarder, Purpose::Pass(body)) else {
        return response::refused(StatusCode::BAD_REQUEST, Reason::BadRequest, &cache.names);
    };
    // Requests that are never looked up do not count: the cache could not have saved them.
    if request.is_some() {
        served.metrics.service_passes.inc();
    }
    let requested = clock::wall();
    // Pinned and not moved: such futures are large.
    let sent = pin!(origin.send(outgoing, origin.pass_timeout())).await;
    let (mut parts, body) = match sent {
        Ok(response) => response.into_parts(),
        Err(failure) => return response::load_failed(failure, &cache.names),
    };
    let (times, at) = (Times { requested, responded: clock::wall() }, cache.clock.now());
    strip_response_headers(&served.group, &mut parts.headers);
    if is_unsafe {
        let purged = load.as_ref().is_some_and(PurgeGuard::may_be_purged);
        invalidation::after_unsafe(cache, head, &parts);
        // The response itself is newer than what it has just invalidated.
        load = load.filter(|_| !purged).map(|load| cache.store.begin(load.key().clone(), cache.consistency.position()));
    }
    let origin_head = OriginHead { head: &parts, times, at };
    if let (Some(request), Some(load)) = (request, &load)
        && request.http.is_head()
    {
        freshen_from_head(cache, request, load, &origin_head);
    }
    let watching = request.and_then(|request| observe::begin(cache, request, &origin_head));
    let mut verdict = Verdict::new(Outcome::Pass).because(why.fwd);
    verdict.fwd_status = parts.status.as_u16();
    let verified = request.is_some_and(CacheRequest::verified);
    let http = request.map_or_else(|| head.request(&fields).ok(), |request| Some(request.http));
    let on_completion =
        load.zip(http).and_then(|(load, http)| store_on_completion(cache, served, &http, verified, load, &origin_head));
    let guard = (reserved, head.reservation());
    let body = match on_completion {
        Some(store) => {
            let limit = served.group.config().limits.object.0;
            // A body of unknown length may turn out too large to be stored.
            verdict.stored = body.size_hint().exact().is_some_and(|length| length <= limit);
            let body = TeeBody::new(body, limit, cache.body_budget.reserve(), store);
            Body::stream(GuardedBody { body, _guard: guard })
        }
        None => Body::stream(GuardedBody { body, _guard: guard }),
    };
    let body = watching.into_iter().fold(body, |body, watching| Body::stream(ObservedBody::new(body, watching)));
    let key = request.filter(|request| request.is_debugged).map(|request| request.key.to_string());
    response::streamed(parts, body, &cache.names, &verdict, why.reason.as_str(), key.as_deref())
}

/// Returns what stores a response once its body has streamed through in whole. None if it may not be stored.
fn store_on_completion(
    cache: &Arc<Cache>,
    served: &Arc<ServedGroup>,
    request: &Request<'_>,
    verified: bool,
    load: PurgeGuard,
    origin_head: &OriginHead<'_>,
) -> Option<impl FnOnce(Bytes) + Send + Unpin + use<>> {
    let OriginHead { head, times, at: arrived } = *origin_head;
    let (cache, served, status) = (cache.clone(), served.clone(), head.status);
    let (stored, selecting, fields) = with_headers(&head.headers, |fields| {
        let response = protocol::Response { status: status.as_u16(), fields };
        let stored = freshness::store(&served.group, request, verified, &response, times, random());
        let stored = match stored {
            Ok(_) if insertion::is_used_too_little(&cache, &served, load.key()) => Err(Reason::MinUses),
            stored => stored.map_err(NotStored::reason),
        };
        let stored = stored.inspect_err(|why| {
            served.metrics.count_not_stored(*why);
            // Those of other methods say nothing about the key.
            if request.is_get() {
                let (key, now) = (load.key().hash(), cache.clock.now());
                cache.last_reasons.record_response((key, request), &served.group, *why, head, now);
            }
        });
        let stored = stored.ok()?;
        let selecting = Selecting::in_group(&served.group, &Vary::in_group(&served.group, &response), request);
        let fields = freshness::storable(&served.group, &response, times.responded);
        Some((stored, selecting, cache.names.with_via(fields, head.version)))
    })?;
    Some(move |body: Bytes| {
        let tags = served.group.config().tags.header.to_ascii_lowercase();
        let entry = Entry::new(Parts {
            status,
            fields,
            tags: &tags,
            body,
            selecting,
            stored,
            arrived,
            position: load.position().clone(),
        });
        // A partial response of another length than it declares is not stored.
        if entry.extent().is_none_or(|extent| extent.bytes() == entry.body_bytes().len() as u64) {
            let _ = insertion::put(&cache, &served, &load, &Arc::new(entry));
        }
    })
}

/// Applies the response to a HEAD to the stored response: it freshens the same representation, and invalidates another
/// (RFC 9111 section 4.3.5).
fn freshen_from_head(cache: &Cache, request: &CacheRequest<'_>, load: &PurgeGuard, origin_head: &OriginHead<'_>) {
    let (served, quota, key) = (request.served, &request.served.quota, &request.key);
    let get = Request { method: b"GET", ..request.http };
    let matches = |entry: &Entry| !entry.is_part() && entry.selecting.matches(&get);
    let Some(old) = cache.store.get(quota, key, cache.clock.now(), matches) else { return };
    let same = || {
        with_headers(&origin_head.head.headers, |new| {
            let new = protocol::Response { status: origin_head.head.status.as_u16(), fields: new };
            with_fields(&old, |stored| freshness::same_representation(&stored, old.body_bytes().len() as u64, &new))
        })
    };
    match origin_head.head.status {
        status if status == old.status && same() => {
            let target = LoadTarget { served, request: get, verified: request.verified(), load, stale: None };
            match freshen(&cache.names, &target, &old, origin_head) {
                Ok(entry) => {
                    let _ = insertion::put(cache, served, load, &Arc::new(entry));
                }
                Err(_) => cache.store.remove_variants(quota, key, |entry| entry.selecting.matches(&get)),
            }
        }
        StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::GONE => {
            insertion::supersede(cache, served, key, &get, origin_head.head)
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::request::tests::{cache, classified};
    use meshcache_protocol::wire::Question;

    /// What a plain client, or a proxy, gets when a limit is reached: status, outcome and reason.
    fn when_full(cache: &Cache, is_proxy: bool) -> (u16, Option<(Outcome, String)>) {
        let question = Question { group: "g".into(), ..Question::new() }.to_string();
        let fields = if is_proxy { &[("meshcache-wire", question.as_str())][..] } else { &[] };
        let response = classified(cache, "GET", "/a", fields, |request| {
            let Ok(request) = request else { panic!("it is not looked up") };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async { at_capacity(cache, &request, tokio::time::Instant::now()).await })
        });
        let verdict = response.headers().get(response::OUTCOME).and_then(|value| Verdict::parse(value.as_bytes()));
        (response.status().as_u16(), verdict.map(|verdict| (verdict.outcome, verdict.reason.as_str().to_owned())))
    }

    #[test]
    fn at_a_limit_a_proxy_passes_and_a_plain_client_gets_503() {
        let passes = cache(serde_json::json!({}));
        assert_eq!(when_full(&passes, false), (503, None));
        assert_eq!(when_full(&passes, true), (204, Some((Outcome::Pass, "full".into()))));
        let refuses = cache(serde_json::json!({"overload": "503"}));
        assert_eq!(when_full(&refuses, false), (503, None));
        assert_eq!(when_full(&refuses, true), (503, Some((Outcome::Miss, "overload".into()))));
    }

    #[test]
    fn a_failure_is_shared_by_all_waiters_of_a_proxy() {
        let cache = cache(serde_json::json!({}));
        let question = Question { group: "g".into(), ..Question::new() }.to_string();
        let fail = |fields: &[(&str, &str)]| {
            classified(&cache, "GET", "/a", fields, |request| {
                let Ok(request) = request else { panic!("it is not looked up") };
                load_failed(&cache, &request, Failure::Timeout)
            })
        };
        let to_proxy = fail(&[("meshcache-wire", &question)]);
        let verdict = Verdict::parse(to_proxy.headers()[response::OUTCOME].as_bytes()).unwrap();
        assert_eq!((to_proxy.status().as_u16(), verdict.shared, verdict.waiters), (504, true, true));
        assert_eq!(fail(&[]).status(), StatusCode::GATEWAY_TIMEOUT);
    }
}
