//! A response of the origin to a load: its head decides whether it may be stored and shared.

use crate::{
    cache::{
        groups::ServedGroup,
        insertion,
        insertion::{LoadTarget, StoredParts, with_extent},
        large,
        load_job::LoadJob,
        load_outcome::{
            Audience, LoadOutcome, LoadedResponse, NotShared, loaded, loaded_since, response_for_waiters,
            response_since,
        },
        not_shared::{NotSharedReason, OVER_BUDGET},
        response,
        revalidation::{OriginHead, freshen},
        state::Cache,
    },
    http::{
        body::{Body, Cut},
        capture::{CaptureOutcome, EarlyOutcome, ResumedBody, capture, capture_within},
        growing::Filling,
    },
    jitter::random,
    origin::{Failure, IdleTimeoutBody, with_headers},
    store::{Entry, PurgeGuard},
};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body as _;
use meshcache_protocol::{
    self as protocol, Reason,
    freshness::{self, ContentRange, Continuation, NotStored, Selecting, Stored, Times, Vary},
    wire::{Outcome, Verdict},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// For how long a failure is remembered, milliseconds: the next load that brings it is the second one.
const FAILURE: u64 = 1000;

/// How long a body may take before those who wait are given its head: most bodies are there with their heads, and
/// whole they cost less.
pub(crate) const GRACE: Duration = Duration::from_millis(1);
/// The same where a stale response may stand in for a body that breaks off: once the head is out, it may not.
const GRACE_WITH_STALE: Duration = Duration::from_millis(5);

/// A response whose head is here and whose body is still to come.
pub(crate) struct OriginResponse {
    pub(crate) head: http::response::Parts,
    pub(crate) body: IdleTimeoutBody,
    pub(crate) times: Times,
    /// When the head arrived, by the store's clock.
    pub(crate) at: u64,
    /// When the request was sent.
    pub(crate) began: Instant,
    /// Where it is a slice: its bytes of the file.
    pub(crate) extent: Option<ContentRange>,
}

/// A plain client that leads a flight, and why the store did not answer it, as Cache-Status has it.
pub(crate) struct Lead {
    pub(crate) to: oneshot::Sender<Response<Body>>,
    pub(crate) fwd: &'static str,
}

/// A response that may be stored and shared, and whose body is still growing.
pub(crate) struct GrowingResponse {
    pub(crate) head: http::response::Parts,
    pub(crate) vary: Vary,
    pub(crate) parts: StoredParts,
    pub(crate) stored: Stored,
    /// When its request was sent.
    pub(crate) began: Instant,
    pub(crate) filling: Filling<IdleTimeoutBody>,
    /// It is too large for the store.
    pub(crate) is_large: bool,
    /// How its readers go on by themselves, if it is, or turns out to be.
    pub(crate) continuation: Option<Continuation>,
}

/// What is left to do with a response of which the head has decided.
pub(crate) enum Decided {
    /// Nothing.
    Done(LoadOutcome),
    /// It may be stored and shared, and its body is still growing.
    Growing(Box<GrowingResponse>),
}

/// Stores a response that may be stored. Failures, and what is too large and can be gone on with, are shared without
/// being stored; anything else is the leader's alone. `pass_timeout`: the longest pause in the body of one that is the
/// leader's.
pub(crate) async fn store_or_share(
    cache: &Cache,
    target: &LoadTarget<'_>,
    job: &LoadJob,
    response: OriginResponse,
    pass_timeout: Option<Duration>,
    lead: Option<Lead>,
) -> Decided {
    let OriginResponse { head, body, times, at, began, extent } = response;
    let LoadTarget { served, request, verified, load, .. } = *target;
    served.metrics.local_load.inc();
    let limit = served.group.config().limits.object.0.min(served.quota.limit());
    // A response that turns out to be one client's alone streams on with the timeout of a pass.
    let as_pass = |body: IdleTimeoutBody| body.with_idle_timeout(pass_timeout);
    let length = body.size_hint().exact();
    let is_large = body.size_hint().lower() > limit;
    let (vary, decided, continuation) = with_headers(&head.headers, |fields| {
        let response = protocol::Response { status: head.status.as_u16(), fields };
        let continuation = large::continuation(job, &response, length);
        let decided = match freshness::share(&served.group, &request, verified, &response, times, random()) {
            // A load requests the whole: a partial response does not satisfy it.
            _ if head.status == StatusCode::PARTIAL_CONTENT => Err(NotStored::Incomplete),
            Ok(_) if is_large && continuation.is_none() => Err(NotStored::TooLarge),
            decided => decided,
        };
        (Vary::in_group(&served.group, &response), decided, continuation)
    });
    let parts = |head: &http::response::Parts| StoredParts {
        status: head.status,
        fields: with_headers(&head.headers, |fields| {
            let response = protocol::Response { status: head.status.as_u16(), fields };
            let fields = freshness::storable(&served.group, &response, times.responded);
            with_extent(cache.names.with_via(fields, head.version), extent)
        }),
        selecting: Selecting::in_group(&served.group, &vary, &request),
        arrived: at,
        position: load.position().clone(),
    };
    let (mut reservation, goes_on) = (cache.body_budget.reserve(), continuation.is_some());
    let growing = |head: http::response::Parts, stored: &Stored, filling, is_large| {
        let (parts, stored) = (parts(&head), stored.clone());
        let vary = vary.clone();
        Decided::Growing(Box::new(GrowingResponse {
            head,
            vary,
            parts,
            stored,
            began,
            filling,
            is_large,
            continuation,
        }))
    };
    let captured = match &decided {
        Err(not) if !freshness::is_shared_failure(&served.group, head.status.as_u16(), *not) => {
            let response = Response::from_parts(head, Body::stream(as_pass(body)));
            return Decided::Done(not_shared(cache, target, vary, (*not).into(), response, lead));
        }
        Err(_) => capture(body, limit, &mut reservation).await,
        Ok(stored) if is_large && reservation.grow(large::window(job).min(length.unwrap_or(u64::MAX))) => {
            return growing(head, stored, Filling::new([], body, length, limit, reservation), true);
        }
        Ok(_) if is_large => CaptureOutcome::OverBudget(ResumedBody::of(body)),
        Ok(stored) => match capture_within(grace(cache, target), body, limit, reservation).await {
            EarlyOutcome::Ended(CaptureOutcome::TooLarge(rest)) if goes_on => {
                let mut reservation = cache.body_budget.reserve();
                if reservation.grow(large::window(job).max(limit)) {
                    let (received, rest) = rest.into_parts();
                    return growing(head, stored, Filling::new(received, rest, length, limit, reservation), true);
                }
                CaptureOutcome::OverBudget(rest)
            }
            EarlyOutcome::Ended(captured) => captured,
            EarlyOutcome::Growing(filling) => return growing(head, stored, filling, false),
        },
    };
    let (why, rest) = match captured {
        CaptureOutcome::Whole(body) => {
            let parts = parts(&head);
            return Decided::Done(match decided {
                Ok(stored) => store(cache, served, load, parts.entry(served, stored, body), began),
                Err(not) => shared_failure(cache, target, &head, not, (parts, body), began),
            });
        }
        CaptureOutcome::Cut(cut) => return Decided::Done(incomplete(cache, target, &cut)),
        CaptureOutcome::OverBudget(rest) => (OVER_BUDGET, rest),
        CaptureOutcome::TooLarge(rest) => (NotStored::TooLarge.into(), rest),
    };
    let response = Response::from_parts(head, Body::stream(rest.map(as_pass)));
    Decided::Done(not_shared(cache, target, vary, why, response, lead))
}

/// The outcome of a whole response that may be stored.
pub(crate) fn store(
    cache: &Cache,
    served: &ServedGroup,
    load: &PurgeGuard,
    entry: Entry,
    began: Instant,
) -> LoadOutcome {
    let entry = Arc::new(entry);
    let put = insertion::put(cache, served, load, &entry);
    let (mut verdict, now) = (Verdict::new(Outcome::Miss), cache.clock.now());
    (verdict.fwd_status, verdict.stored) = (entry.status.as_u16(), put.is_ok());
    LoadOutcome::Loaded(match put {
        Err(Reason::MinUses) => response_for_waiters(&entry, verdict, Reason::MinUses, now, began),
        _ => response_since(&entry, verdict, now, began),
    })
}

/// The outcome of a failure that is shared without being stored.
fn shared_failure(
    cache: &Cache,
    target: &LoadTarget<'_>,
    head: &http::response::Parts,
    not: NotStored,
    (parts, body): (StoredParts, Bytes),
    began: Instant,
) -> LoadOutcome {
    let LoadTarget { served, request, load, .. } = target;
    note_not_stored(cache, target, not.reason(), head);
    insertion::supersede(cache, served, load.key(), request, head);
    let mut verdict = Verdict::new(Outcome::Miss);
    verdict.fwd_status = head.status.as_u16();
    let entry = Arc::new(parts.entry(served, verdict.to_stored(head.status.as_u16()), body));
    let before = cache.failures.replace(load.key().hash(), head.status, cache.clock.now(), FAILURE);
    let is_second = before == Some(head.status);
    (verdict.shared, verdict.waiters) = (true, is_second);
    let verdict = Verdict { why: None, ..response::with_age(verdict, &entry, cache.clock.now()) };
    let audience = if is_second { Audience::Waiters } else { Audience::First };
    LoadOutcome::Loaded(LoadedResponse { entry, verdict, audience, began, growing: None, leave: None })
}

/// Notes why a response of a load is not stored.
pub(crate) fn note_not_stored(cache: &Cache, target: &LoadTarget<'_>, why: Reason, head: &http::response::Parts) {
    let LoadTarget { served, request, load, .. } = target;
    served.metrics.count_not_stored(why);
    cache.last_reasons.record_response((load.key().hash(), request), &served.group, why, head, cache.clock.now());
}

/// The outcome of a body that broke off.
pub(crate) fn incomplete(cache: &Cache, target: &LoadTarget<'_>, cut: &Cut) -> LoadOutcome {
    target.served.metrics.count_not_stored(Reason::Incomplete);
    let is_late = cut.0 == Failure::Timeout.label();
    failed(cache, target, if is_late { Failure::Timeout } else { Failure::IncompleteBody })
}

/// The outcome of a 304: the stored response is fresh again, with the fields that the 304 brought.
pub(crate) fn revalidated(
    cache: &Cache,
    target: &LoadTarget<'_>,
    old: &Arc<Entry>,
    response: &OriginResponse,
) -> LoadOutcome {
    let LoadTarget { served, request, load, .. } = target;
    served.metrics.local_load.inc();
    let OriginResponse { head, times, at, began, .. } = response;
    let mut verdict = Verdict::new(Outcome::Revalidated);
    verdict.fwd_status = head.status.as_u16();
    match freshen(&cache.names, target, old, &OriginHead { head, times: *times, at: *at }) {
        Ok(entry) => {
            let entry = Arc::new(entry);
            verdict.stored = insertion::put(cache, served, load, &entry).is_ok();
            loaded_since(&entry, verdict, cache.clock.now(), *began)
        }
        Err(not) => {
            // It is still valid, but may no longer be stored.
            note_not_stored(cache, target, not.reason(), head);
            cache.store.remove_variants(&served.quota, load.key(), |entry| entry.selecting.matches(request));
            LoadOutcome::Loaded(LoadedResponse {
                entry: old.clone(),
                verdict,
                audience: Audience::Leader,
                began: *began,
                growing: None,
                leave: None,
            })
        }
    }
}

/// The outcome of a response that is for its requester alone: the leader gets it, the other waiters pass, and the key
/// is marked as hit-for-pass.
fn not_shared(
    cache: &Cache,
    target: &LoadTarget<'_>,
    vary: Vary,
    why: NotSharedReason,
    response: Response<Body>,
    lead: Option<Lead>,
) -> LoadOutcome {
    let (head, body) = response.into_parts();
    let outcome = mark_not_shared(cache, target, vary, why, &head);
    if let Some(Lead { to, fwd }) = lead {
        let mut verdict = Verdict::new(Outcome::Miss).because(fwd);
        verdict.fwd_status = head.status.as_u16();
        // A leader that has left drops the rest of the body.
        let _ = to.send(response::streamed(head, body, &cache.names, &verdict, why.reason.label(), None));
    }
    outcome
}

/// Marks the key of a response that may not be shared, or not any more. The outcome for those who wait.
pub(crate) fn mark_not_shared(
    cache: &Cache,
    target: &LoadTarget<'_>,
    vary: Vary,
    why: NotSharedReason,
    head: &http::response::Parts,
) -> LoadOutcome {
    let LoadTarget { served, load, request, stale, .. } = target;
    let status = head.status.as_u16();
    note_not_stored(cache, target, why.reason, head);
    if why != OVER_BUDGET {
        insertion::supersede(cache, served, load.key(), request, head);
    }
    // While there is a stored response to validate, an error marks nothing.
    let remember = if stale.is_some() && status >= 500 { 0 } else { why.remember };
    let names = vary.names();
    let remember =
        cache.hit_for_pass.remember(load.key().hash(), vary, request, why.reason, cache.clock.now(), remember);
    if let Some(length) = why.streamed {
        cache.hit_for_pass.note_streamed(load.key().hash(), request, length, cache.clock.now());
    }
    tracing::debug!(group = served.group.name(), key = %load.key(), status, reason = why.reason.label(), "not stored");
    LoadOutcome::NotShared(NotShared { reason: why.reason.into(), remember, vary: names })
}

/// The outcome of a load without a complete response: the stale response if it allows that.
pub(crate) fn failed(cache: &Cache, target: &LoadTarget<'_>, failure: Failure) -> LoadOutcome {
    let LoadTarget { served, load, stale, .. } = target;
    served.metrics.local_load_errs.inc();
    cache.last_reasons.record(load.key().hash(), failure.reason(), cache.clock.now());
    if let Some(failing) = failure.scope() {
        served.backoff.record_failure(load.key().hash(), failing, cache.clock.now(), random());
    }
    match stale {
        Some(entry) if may_serve_on_error(cache, target, entry) => {
            loaded(entry, Verdict::new(Outcome::Stale).because(failure.reason()), cache.clock.now())
        }
        // A disconnected cache answers 504 if it must not use the stored response (RFC 9111 section 5.2.2.2).
        Some(entry)
            if failure != Failure::Timeout && (entry.stored.must_revalidate || entry.stored.always_validate) =>
        {
            LoadOutcome::Failed(Failure::Unvalidated)
        }
        _ => LoadOutcome::Failed(failure),
    }
}

/// Returns how long a response's body may take before its head is given.
pub(crate) fn grace(cache: &Cache, target: &LoadTarget<'_>) -> Duration {
    match target.stale {
        Some(stale) if may_serve_on_error(cache, target, stale) => GRACE_WITH_STALE,
        _ => GRACE,
    }
}

/// Whether a stored response may be used in place of a failure (stale-if-error).
pub(crate) fn may_serve_on_error(cache: &Cache, target: &LoadTarget<'_>, entry: &Entry) -> bool {
    let resident = entry.resident(cache.clock.now());
    freshness::reuse_on_error(&target.served.group, &target.request, target.verified, &entry.stored, resident)
}
