//! Fills (`fill: proxy`): the owner grants a load to one of the proxies that ask. That proxy sends its client's request to
//! the service, and the owner a copy of the response as it comes; all others wait for that.
//!
//! The flight offers its load (`offer`), one who asks takes it and gets a grant (`grants`), the copy comes back with the
//! grant (`answer`), and `load` goes on with it as with a response of an origin.

mod answer;
mod body;
mod grants;
mod offer;
mod outcome;

pub(crate) use answer::answer;
pub(crate) use grants::Fills;
pub(crate) use offer::{Offers, OpenOffer};

use crate::{
    cache::{
        flight::JoinCondition,
        groups::ServedGroup,
        load_job::LoadJob,
        load_limit::LoadPermit,
        load_outcome::{Landing, LoadOutcome, NotShared},
        load_response::{self, BegunLoad, note_health},
        origin_response::OriginResponse,
        peer_load::PeerRoute,
        request::{CacheRequest, Caller},
        state::Cache,
    },
    clock,
    origin::{Failure, IdleTimeoutBody, Origin, passes_as_keyed},
    store::Entry,
};
use grants::Filled;
use meshcache_protocol::{
    Key, Reason,
    freshness::{self, Times},
    request::Flags,
    wire::GrantId,
};
use offer::Taken;
use outcome::FillOutcome;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a load is offered before all who wait pass: one that may take it may be on its way back after `loading`.
const OFFERED: Duration = Duration::from_millis(250);
/// The most proxies that are granted one load, one after another.
const MOST_GRANTS: usize = 3;

/// Whether proxies load what a group has not stored.
pub(crate) fn is_by_proxies(served: &ServedGroup) -> bool {
    matches!(served.origin, Origin::Proxies { .. })
}

/// Whether a request that cannot fill may join a flight: somebody fills, or has just done so.
pub(crate) fn may_join(cache: &Cache, request: &CacheRequest<'_>, key: &Key, condition: JoinCondition) -> bool {
    !is_by_proxies(request.served) || cache.loads.is_in_flight(key) || cache.loads.has_result(key, condition)
}

/// The identity with which a request's proxy may fill. None: it may not, or a load would send another request.
pub(crate) fn filler(cache: &Cache, request: &CacheRequest<'_>, route: Option<&PeerRoute>) -> Option<String> {
    let group = &request.served.group;
    let can = request.question.as_ref().is_some_and(|question| question.fills) && !request.is_from_peer;
    if !can || route.is_some() || !is_by_proxies(request.served) {
        return None;
    }
    let is_whole = request.http.is_get() && !request.http.flags.any(Flags::RANGE.with(Flags::CONDITIONAL));
    if !is_whole || group.edits(&request.head.fields()) || !passes_as_keyed(group, request.head) {
        return None;
    }
    Caller::of(request.head, &request.http, cache.settings.identity).filler(group).map(str::to_owned)
}

/// Whether a request that could have a stale response fills instead: nobody does yet.
pub(crate) fn refreshes(cache: &Cache, request: &CacheRequest<'_>) -> bool {
    filler(cache, request, None).is_some()
        && freshness::joins(&request.served.group, &request.http, request.verified()).is_ok()
        && !cache.loads.is_in_flight(&request.key)
}

/// Waits for a flight, or takes its load as soon as that is free. `flight`: its number.
pub(crate) async fn wait_or_take<T>(
    waiting: impl Future<Output = T>,
    cache: &Cache,
    request: &CacheRequest<'_>,
    flight: u64,
    identity: &str,
) -> Result<T, GrantId> {
    let take = async {
        let granted = || {
            let granted = cache.fills.grant(request.served, identity.to_owned())?;
            Some(Taken {
                head: request.head.clone(),
                verified: request.verified(),
                guard: cache.store.begin(request.key.clone(), cache.consistency.position()),
                granted,
            })
        };
        match cache.offers.of_flight(flight) {
            Some(offer) => offer.take(granted).await,
            None => None,
        }
    };
    tokio::select! {
        biased;
        result = waiting => Ok(result),
        Some(grant) = take => Err(grant),
    }
}

/// Gives a load to a proxy that may fill, and waits for what it sends. `permit`: the load's, until its end.
pub(crate) async fn load(cache: &Arc<Cache>, job: &Arc<LoadJob>, permit: LoadPermit) -> Landing {
    let (served, limit) = (&job.served, job.served.origin.timeout());
    let Some(offer) = &job.offer else { return no_filler().into() };
    for _ in 0..MOST_GRANTS {
        let Some(mut taken) = offer.make(OFFERED).await else { break };
        let lost = match timeout(limit, taken.granted.response()).await {
            Ok(Some(filled)) => return land(cache, job, permit, taken, filled).await,
            Ok(None) => FillOutcome::Lost,
            Err(_) => FillOutcome::Silent,
        };
        served.metrics.count_fill(lost.label());
    }
    no_filler().into()
}

/// Goes on with what a proxy sends as with an origin's response to its request.
async fn land(cache: &Arc<Cache>, job: &LoadJob, permit: LoadPermit, taken: Taken, filled: Filled) -> Landing {
    let Taken { head, verified, guard, granted } = taken;
    let (began, requested) = (granted.began, granted.requested);
    let job = Arc::new(LoadJob {
        served: job.served.clone(),
        head,
        key: job.key.clone(),
        verified,
        fwd: job.fwd,
        is_refresh: job.is_refresh,
        slice: None,
        offer: None,
    });
    let fields = job.head.fields();
    let Ok(request) = job.head.request(&fields).map(|request| request.whole()) else {
        return LoadOutcome::Failed(Failure::Internal).into();
    };
    let (served, now) = (&job.served, cache.clock.now());
    let fits = |entry: &Entry| !entry.is_part() && entry.selecting.matches(&request);
    let stale = cache.store.get(&served.quota, &job.key, now, fits);
    let response = OriginResponse {
        head: filled.head,
        body: IdleTimeoutBody::of_filler(filled.body, served.origin.timeout()),
        times: Times { requested, responded: clock::wall() },
        at: now,
        began,
        extent: None,
    };
    served.metrics.origin_seconds.observe(began.elapsed().as_secs_f64());
    note_health(cache, served, &job.key, &response.head);
    match load_response::land(cache, &job, BegunLoad { guard, first: None, stale, permit }, response, None).await {
        Landing::Done(outcome) => without_head(outcome).into(),
        Landing::Growing(response, rest) => Landing::Growing(response, Box::pin(async { without_head(rest.await) })),
    }
}

/// The outcome for those who have no head. A proxy that breaks off says nothing about the service: they ask it.
fn without_head(outcome: LoadOutcome) -> LoadOutcome {
    match outcome {
        LoadOutcome::Failed(Failure::IncompleteBody | Failure::Timeout) => no_filler(),
        outcome => outcome,
    }
}

fn no_filler() -> LoadOutcome {
    LoadOutcome::NotShared(NotShared { reason: Reason::NoFiller.into(), remember: 0, vary: String::new() })
}
