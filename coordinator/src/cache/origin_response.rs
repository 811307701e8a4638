//! A response of the origin to a load: its head decides whether it may be stored and shared.

use crate::{
    cache::{
        insertion,
        insertion::LoadTarget,
        load_outcome::{
            Audience, LoadOutcome, LoadedResponse, NotShared, loaded, loaded_before_min_uses, loaded_since,
        },
        response,
        revalidation::{OriginHead, freshen},
        state::Cache,
    },
    http::{
        body::Body,
        capture::{CaptureOutcome, capture},
    },
    jitter::random,
    origin::{Failure, IdleTimeoutBody, with_headers},
    store::{Entry, Parts},
};
use http::{Response, StatusCode};
use http_body::Body as _;
use meshcache_protocol::{
    self as protocol, Reason,
    freshness::{self, NotStored, Selecting, Times, Vary},
    wire::{Outcome, Verdict},
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// For how long a failure is remembered, milliseconds: the next load that brings it is the second one.
const FAILURE: u64 = 1000;

/// A response whose head is here and whose body is still to come.
pub(crate) struct OriginResponse {
    pub(crate) head: http::response::Parts,
    pub(crate) body: IdleTimeoutBody,
    pub(crate) times: Times,
    /// When the head arrived, by the store's clock.
    pub(crate) at: u64,
    /// When the request was sent.
    pub(crate) began: Instant,
}

/// A plain client that leads a flight, and why the store did not answer it, as Cache-Status has it.
pub(crate) struct Lead {
    pub(crate) to: oneshot::Sender<Response<Body>>,
    pub(crate) fwd: &'static str,
}

/// Why a response is for its requester alone, and for how many milliseconds the key is marked so.
#[derive(Clone, Copy, PartialEq, Eq)]
struct NotSharedReason {
    reason: Reason,
    remember: u64,
}

/// No memory was left for the body, which says nothing about the next time.
const OVER_BUDGET: NotSharedReason = NotSharedReason { reason: Reason::Overload, remember: 0 };

impl From<NotStored> for NotSharedReason {
    fn from(not: NotStored) -> Self {
        Self { reason: not.reason(), remember: not.remember() }
    }
}

/// Stores a response that may be stored. Failures are shared without being stored; anything else is the leader's alone.
pub(crate) async fn store_or_share(
    cache: &Cache,
    target: &LoadTarget<'_>,
    response: OriginResponse,
    lead: Option<Lead>,
) -> LoadOutcome {
    let OriginResponse { head, body, times, at, began } = response;
    let LoadTarget { served, request, verified, load, .. } = *target;
    served.metrics.local_load.inc();
    let limit = served.group.config().limits.object.0.min(served.quota.limit());
    // A response that turns out to be one client's alone streams on with the timeout of a pass.
    let as_pass = |body: IdleTimeoutBody| body.with_idle_timeout(served.origin.pass_timeout());
    let (vary, decided) = with_headers(&head.headers, |fields| {
        let response = protocol::Response { status: head.status.as_u16(), fields };
        let decided = match freshness::store(&served.group, &request, verified, &response, times, random()) {
            // A load requests the whole: a partial response does not satisfy it.
            _ if head.status == StatusCode::PARTIAL_CONTENT => Err(NotStored::Incomplete),
            _ if body.size_hint().lower() > limit => Err(NotStored::TooLarge),
            decided => decided,
        };
        (Vary::in_group(&served.group, &response), decided)
    });
    let collected = match decided {
        Err(not) if !freshness::is_shared_failure(&served.group, head.status.as_u16(), not) => {
            Err((NotSharedReason::from(not), Body::stream(as_pass(body))))
        }
        _ => match capture(body, limit, &mut cache.body_budget.reserve()).await {
            CaptureOutcome::Whole(body) => Ok(body),
            CaptureOutcome::OverBudget(rest) => Err((OVER_BUDGET, Body::stream(rest.map(as_pass)))),
            CaptureOutcome::TooLarge(rest) => Err((NotStored::TooLarge.into(), Body::stream(rest.map(as_pass)))),
            CaptureOutcome::Cut(cut) => {
                let is_late = cut.0 == Failure::Timeout.label();
                served.metrics.count_not_stored(Reason::Incomplete);
                return failed(cache, target, if is_late { Failure::Timeout } else { Failure::IncompleteBody });
            }
        },
    };
    let body = match collected {
        Ok(body) => body,
        Err((why, rest)) => return not_shared(cache, target, vary, why, Response::from_parts(head, rest), lead),
    };
    let mut verdict = Verdict::new(Outcome::Miss);
    verdict.fwd_status = head.status.as_u16();
    let tags = served.group.config().tags.header.to_ascii_lowercase();
    let fields = with_headers(&head.headers, |fields| {
        let response = protocol::Response { status: head.status.as_u16(), fields };
        freshness::storable(&served.group, &response, times.responded)
    });
    let parts = |stored| Parts {
        status: head.status,
        fields: cache.names.with_via(fields, head.version),
        tags: &tags,
        body,
        selecting: Selecting::in_group(&served.group, &vary, &request),
        stored,
        arrived: at,
        position: load.position().clone(),
    };
    match decided {
        Ok(stored) => {
            let entry = Arc::new(Entry::new(parts(stored)));
            let put = insertion::put(cache, served, load, &entry);
            verdict.stored = put.is_ok();
            let now = cache.clock.now();
            if put == Err(Reason::MinUses) {
                return loaded_before_min_uses(&entry, verdict, now, began);
            }
            loaded_since(&entry, verdict, now, began)
        }
        Err(not) => {
            served.metrics.count_not_stored(not.reason());
            insertion::supersede(cache, served, load.key(), &request, &head);
            let entry = Arc::new(Entry::new(parts(verdict.to_stored(head.status.as_u16()))));
            let before = cache.failures.replace(load.key().hash(), head.status, cache.clock.now(), FAILURE);
            let is_second = before == Some(head.status);
            (verdict.shared, verdict.waiters) = (true, is_second);
            let verdict = Verdict { why: None, ..response::with_age(verdict, &entry, cache.clock.now()) };
            let audience = if is_second { Audience::Waiters } else { Audience::First };
            LoadOutcome::Loaded(LoadedResponse { entry, verdict, audience, began })
        }
    }
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
            served.metrics.count_not_stored(not.reason());
            cache.store.remove_variants(&served.quota, load.key(), |entry| entry.selecting.matches(request));
            LoadOutcome::Loaded(LoadedResponse {
                entry: old.clone(),
                verdict,
                audience: Audience::Leader,
                began: *began,
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
    let LoadTarget { served, load, request, stale, .. } = target;
    let (status, (head, body)) = (response.status().as_u16(), response.into_parts());
    served.metrics.count_not_stored(why.reason);
    if why != OVER_BUDGET {
        insertion::supersede(cache, served, load.key(), request, &head);
    }
    // While there is a stored response to validate, an error marks nothing.
    let remember = if stale.is_some() && status >= 500 { 0 } else { why.remember };
    let names = vary.names();
    let remember =
        cache.hit_for_pass.remember(load.key().hash(), vary, request, why.reason, cache.clock.now(), remember);
    tracing::debug!(group = served.group.name(), key = %load.key(), status, reason = why.reason.label(), "not stored");
    if let Some(Lead { to, fwd }) = lead {
        let mut verdict = Verdict::new(Outcome::Miss).because(fwd);
        verdict.fwd_status = status;
        // A leader that has left drops the rest of the body.
        let _ = to.send(response::streamed(head, body, &cache.names, &verdict, why.reason.label(), None));
    }
    LoadOutcome::NotShared(NotShared { reason: why.reason.into(), remember, vary: names })
}

/// The outcome of a load without a complete response: the stale response if it allows that.
pub(crate) fn failed(cache: &Cache, target: &LoadTarget<'_>, failure: Failure) -> LoadOutcome {
    let LoadTarget { served, load, stale, .. } = target;
    served.metrics.local_load_errs.inc();
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

/// Whether a stored response may be used in place of a failure (stale-if-error).
pub(crate) fn may_serve_on_error(cache: &Cache, target: &LoadTarget<'_>, entry: &Entry) -> bool {
    let resident = entry.resident(cache.clock.now());
    freshness::reuse_on_error(&target.served.group, &target.request, target.verified, &entry.stored, resident)
}
