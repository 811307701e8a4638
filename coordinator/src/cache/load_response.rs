//! What becomes of a load's response, whoever brought it: the stale one is given in its place, or its head decides.

use crate::{
    cache::{
        groups::ServedGroup,
        growing_load::Load,
        insertion::{self, LoadTarget},
        load_job::LoadJob,
        load_limit::LoadPermit,
        load_outcome::{Landing, LeaderReply, LoadOutcome, loaded},
        origin_response::{self, Decided, Lead, OriginResponse},
        state::Cache,
    },
    clock,
    jitter::random,
    origin::{Failure, FailureScope, Origin},
    store::{Entry, PurgeGuard},
};
use http::{StatusCode, header::RETRY_AFTER, response};
use meshcache_protocol::{
    Key, Reason, freshness,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;

/// What a load holds until its end.
pub(crate) struct BegunLoad {
    pub(crate) guard: PurgeGuard,
    /// In a group with slices: the guard of the first slice, which stands for its file and is stored beside it.
    pub(crate) first: Option<PurgeGuard>,
    /// The stored response to its request, if that is no longer fresh.
    pub(crate) stale: Option<Arc<Entry>>,
    pub(crate) permit: LoadPermit,
}

/// Decides by the head of a response. It is none to a validation.
pub(crate) async fn land(
    cache: &Arc<Cache>,
    job: &Arc<LoadJob>,
    begun: BegunLoad,
    response: OriginResponse,
    leader: LeaderReply,
) -> Landing {
    let LoadJob { served, head, key, verified, fwd, .. } = &**job;
    let BegunLoad { guard, first, stale, permit } = begun;
    let fields = head.fields();
    let Ok(request) = head.request(&fields).map(|request| request.whole()) else {
        return LoadOutcome::Failed(Failure::Internal).into();
    };
    let target = LoadTarget { served, request, verified: *verified, load: &guard, stale: stale.as_ref() };
    match target.stale {
        Some(entry) if is_error(response.head.status) && origin_response::may_serve_on_error(cache, &target, entry) => {
            served.metrics.local_load_errs.inc();
            let (key, now) = (target.load.key().hash(), cache.clock.now());
            let why = Reason::OriginError;
            cache.last_reasons.record_response((key, &target.request), &served.group, why, &response.head, now);
            let mut verdict = Verdict::new(Outcome::Stale).because("origin-error");
            verdict.fwd_status = response.head.status.as_u16();
            loaded(entry, verdict, cache.clock.now()).into()
        }
        _ => {
            let is_slice = response.extent.is_some();
            // Of a file there is its first slice or the whole: the newer one counts.
            let guard = match first {
                Some(first) if is_slice => {
                    cache.store.remove_variants(&served.quota, key, |entry| entry.selecting.matches(&request));
                    first
                }
                Some(first) => {
                    insertion::supersede(cache, served, first.key(), &request, &response.head);
                    guard
                }
                None => guard,
            };
            // No client is given a slice for the whole.
            let lead = leader.filter(|_| !is_slice).map(|to| Lead { to, fwd });
            let target = LoadTarget { load: &guard, stale: stale.as_ref(), served, request, verified: *verified };
            let pass_timeout = match &served.origin {
                Origin::Http(origin) => origin.pass_timeout(),
                Origin::Getter(_) | Origin::Proxies { .. } => None,
            };
            match origin_response::store_or_share(cache, &target, job, response, pass_timeout, lead).await {
                Decided::Done(outcome) => outcome.into(),
                Decided::Growing(response) => {
                    let load = Load { job: job.clone(), guard, stale, _permit: permit };
                    load.land(cache.clone(), *response)
                }
            }
        }
    }
}

/// Records whether the origin responds as it should.
pub(crate) fn note_health(cache: &Cache, served: &ServedGroup, key: &Key, head: &response::Parts) {
    if is_error(head.status) {
        let retry_after =
            head.headers.get(RETRY_AFTER).map_or(0, |value| freshness::retry_after(value.as_bytes(), clock::wall()));
        served.backoff.record_failure(key.hash(), FailureScope::Key { retry_after }, cache.clock.now(), random());
    } else {
        served.backoff.record_success(key.hash());
    }
}

fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
