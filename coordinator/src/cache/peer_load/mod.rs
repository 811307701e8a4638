//! A key that another coordinator owns: its owner is asked, then the next peer, then the key is loaded here.

mod going_on;
mod pause;
mod read;
#[cfg(test)]
mod tests;

use crate::{
    cache::{
        flight::{JoinCondition, WaitOutcome},
        hot_copies, load,
        load_job::LoadJob,
        load_outcome::{Landing, LeaderReply, LoadOutcome, LoadedResponse, NotShared},
        ownership::ring_of_owner,
        request::CacheRequest,
        response,
        response::OUTCOME,
        state::Cache,
    },
    cluster::client::Call,
    http::body::Body,
    origin::{Failure, IdleTimeoutBody},
    store::PurgeGuard,
    telemetry::trace::{Current, Trace, current_trace},
};
use http::Response;
use meshcache_protocol::{
    Reason,
    reason::AnyReason,
    wire::{self, Outcome, Question},
};
use pause::pause;
use read::PeerRead;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The number of peers that are asked, the owner first. Peers that have just failed do not count.
const PEERS_ASKED: usize = 2;
/// The number of peers that are considered for that.
const PEERS_CONSIDERED: usize = 8;
/// How soon a peer says for the first time that a load is in progress: this tells a slow origin from a dead owner.
const FIRST_SIGN: Duration = Duration::from_millis(100);

/// The way of a request to its key's owner.
#[derive(Clone)]
pub(crate) struct PeerRoute {
    /// The peers to ask, in this order. After all of them, this coordinator is next.
    pub(crate) peers: Vec<String>,
    pub(crate) question: Question,
}

/// Returns the way to the key's owner; none if the request is answered here.
pub(crate) fn route(cache: &Cache, request: &CacheRequest<'_>) -> Option<PeerRoute> {
    let ring = ring_of_owner(cache, request)?;
    let me = &cache.settings.me;
    let peers = ring
        .order(request.key.hash())
        .into_iter()
        .map(|peer| peer.name.clone())
        .take_while(|name| name != me)
        .take(PEERS_CONSIDERED)
        .collect();
    let group = &request.served.group;
    let theirs = request.question.as_ref();
    let question = Question {
        wire: wire::VERSION,
        group: group.name().to_owned(),
        namespace: theirs.map_or_else(String::new, |question| question.namespace.clone()),
        verified: request.verified(),
        ring: ring.version(),
        rules: group.digest().to_owned(),
        purge: cache.consistency.position_text().to_string(),
        // Peers trust each other without marks.
        marks: String::new(),
        // Shorter than our own wait, so that `loading` is here before the peer counts as dead.
        patience: group.config().patience.as_millis() / 4 * 3,
        waited: theirs.map_or(0, |question| question.waited),
        flight: 0,
        changed: theirs.and_then(|question| question.changed),
        hop: true,
        streams: true,
        leave: theirs.is_some_and(|question| question.leave),
        fills: false,
        route: theirs.and_then(|question| question.route.clone()),
        slice: request.slice.clone(),
    };
    Some(PeerRoute { peers, question })
}

/// Whether a peer's request is for a key that a third coordinator owns by this one's ring: it is answered here all the
/// same, since no question is passed on twice.
pub(crate) fn refuses_crosstalk(cache: &Cache, request: &CacheRequest<'_>) -> bool {
    request.is_from_peer
        && cache.cluster.ring().owner(request.key.hash()).is_some_and(|owner| owner.name != cache.settings.me)
}

/// Loads from the peers for all waiters, and here if none of them responds. If the group hedges, the next peer is asked
/// beside an owner that is silent for that long.
pub(crate) async fn load(cache: &Arc<Cache>, job: &Arc<LoadJob>, mut route: PeerRoute, leader: LeaderReply) -> Landing {
    job.served.metrics.loads_deduped.inc();
    let hot = hot_copies::begin(cache, &job.served, &job.key).map(Arc::new);
    // After the begin: the peer carries out what was purged before it.
    route.question.purge = cache.consistency.position_text().to_string();
    let hot = hot.as_ref();
    let mut peers =
        route.peers.iter().filter(|peer| cache.cluster.peers.try_acquire(peer, Call::Question)).take(PEERS_ASKED);
    let Some(owner) = peers.next() else { return load_locally(cache, job, leader).await };
    let hedge = job.served.group.config().hedge.duration();
    let responded = AtomicBool::new(false);
    let mut from_owner = pin!(ask_peer(cache, job, hot, &route, owner, &responded));
    let mut early = None;
    if !hedge.is_zero() {
        early = tokio::select! {
            outcome = &mut from_owner => Some(outcome),
            () = async {
                sleep(hedge).await;
                // An owner that has said `loading` is not silent.
                if responded.load(Relaxed) {
                    std::future::pending().await
                }
            } => None,
        };
    }
    let hedged = early.is_none() && !hedge.is_zero();
    if hedged {
        cache.metrics.hedges.inc();
        let next = async {
            match peers.next() {
                Some(next) => ask_peer(cache, job, hot, &route, next, &AtomicBool::new(false)).await,
                None => Some(load_locally(cache, job, leader).await),
            }
        };
        return tokio::select! {
            Some(outcome) = &mut from_owner => outcome,
            Some(outcome) = next => outcome,
            else => load_locally(cache, job, None).await,
        };
    }
    if let Some(outcome) = match early {
        Some(outcome) => outcome,
        None => from_owner.await,
    } {
        return outcome;
    }
    if let Some(next) = peers.next()
        && let Some(outcome) = ask_peer(cache, job, hot, &route, next, &responded).await
    {
        return outcome;
    }
    load_locally(cache, job, leader).await
}

/// Asks one peer until it gives an outcome. None if it does not respond. `hot`: the begin of a hot copy. `responded`:
/// set with its first sign of life.
async fn ask_peer(
    cache: &Arc<Cache>,
    job: &Arc<LoadJob>,
    hot: Option<&Arc<PurgeGuard>>,
    route: &PeerRoute,
    peer: &str,
    responded: &AtomicBool,
) -> Option<Landing> {
    let LoadJob { served, head, .. } = &**job;
    let config = served.group.config();
    let patience = config.patience.duration();
    let asked_at = Instant::now();
    // The owner limits its loads itself; this limit is for an owner that does not. There may be another load before the
    // one that it waits for.
    let end = asked_at + 2 * config.origin.timeout.duration() + 4 * patience;
    let mut question = route.question.clone();
    // The first `loading` is a sign of life: it has to be here before the next peer is asked, too.
    let hedge = if config.hedge.is_zero() { u64::MAX } else { config.hedge.as_millis() / 4 * 3 };
    question.patience = question.patience.min(hedge).min(millis(FIRST_SIGN)).max(1);
    loop {
        let began = Instant::now();
        question.waited = millis(asked_at.elapsed()).saturating_add(route.question.waited);
        let answered = cache.cluster.peers.ask(peer, head, &question, patience, true).await;
        served.metrics.record_peer_latency(began.elapsed(), cache.clock.now());
        let Ok((verdict, response)) = answered else {
            served.metrics.peer_errors.inc();
            return None;
        };
        responded.store(true, Relaxed);
        match verdict.outcome {
            Outcome::Loading if began < end => {
                (question.patience, question.flight) = (route.question.patience, verdict.flight)
            }
            Outcome::Loading => return Some(LoadOutcome::Failed(Failure::Timeout).into()),
            Outcome::Pass => {
                let not_shared = NotShared {
                    reason: AnyReason::from_peer(verdict.reason),
                    remember: verdict.remember,
                    vary: verdict.vary,
                };
                return Some(LoadOutcome::NotShared(not_shared).into());
            }
            Outcome::Error => return Some(LoadOutcome::Failed(Failure::of_label(&verdict.reason)).into()),
            _ => {
                let (cache, job, hot, question) = (cache.clone(), job.clone(), hot.cloned(), route.question.clone());
                let after = route.peers.iter().skip_while(|other| *other != peer).skip(1);
                let peers = after.take(PEERS_ASKED.saturating_sub(1)).cloned().collect();
                let read = PeerRead { cache, job, hot, peer: peer.to_owned(), question, peers };
                return read.response(verdict, response, asked_at).await;
            }
        }
    }
}

/// Loads here what the peers did not give: one load, together with peers' requests for the key. It runs in a task of
/// its own: its other waiters get it even if the owner responds after all.
async fn load_locally(cache: &Arc<Cache>, job: &Arc<LoadJob>, leader: LeaderReply) -> Landing {
    let Ok((mut waiter, guard)) = cache.loads.join(&job.key, JoinCondition::default(), || None) else {
        let not_shared = NotShared { reason: Reason::Full.into(), remember: 0, vary: String::new() };
        return LoadOutcome::NotShared(not_shared).into();
    };
    let deadline = job.served.flight_deadline(waiter.follows);
    if let Some(guard) = guard {
        let (cache, job, trace) = (cache.clone(), job.clone(), current_trace());
        if let Trace::Recorded(span, _) = &trace {
            guard.set_span(*span);
        }
        tokio::spawn(Current { trace, request: None }.scope(async move {
            guard.mark_loading();
            load::load(&cache, &job, leader).await.complete(guard).await;
        }));
    }
    if let Some(LoadOutcome::Loaded(response @ LoadedResponse { growing: Some(_), .. })) =
        waiter.wait_for_head(deadline).await
    {
        let end = waiter.wait_to_the_end();
        return Landing::Growing(
            response,
            Box::pin(async { end.await.unwrap_or(LoadOutcome::Failed(Failure::Internal)) }),
        );
    }
    match waiter.wait(deadline).await {
        WaitOutcome::Completed(outcome) => outcome,
        WaitOutcome::TimedOut(_) => LoadOutcome::Failed(Failure::Timeout),
        WaitOutcome::Aborted => LoadOutcome::Failed(Failure::Internal),
    }
    .into()
}

/// Forwards one request that may not be shared to the owner, as it is. None if the owner has nothing for it.
pub(crate) async fn forward(cache: &Cache, request: &CacheRequest<'_>, route: &PeerRoute) -> Option<Response<Body>> {
    let (group, metrics) = (&request.served.group, &request.served.metrics);
    let patience = group.config().patience.duration();
    let peer = route.peers.iter().find(|peer| cache.cluster.peers.try_acquire(peer, Call::Question))?;
    // The owner puts a file together for it.
    let question = Question { streams: request.takes_growing_body(), slice: None, ..route.question.clone() };
    let Ok((verdict, response)) = cache.cluster.peers.ask(peer, request.head, &question, patience, false).await else {
        metrics.peer_errors.inc();
        return None;
    };
    if !verdict.outcome.has_response() {
        return request.question.is_some().then(|| response::verdict_only(&verdict));
    }
    metrics.peer_loads.inc();
    let (mut parts, body) = response.into_parts();
    if request.question.is_none() {
        parts.headers.remove(OUTCOME);
        let detail = if verdict.outcome == Outcome::Hit { "owner" } else { verdict.reason.as_str() };
        cache.names.append_status(&mut parts.headers, &verdict, detail);
    }
    parts.extensions.clear();
    parts.version = http::Version::HTTP_11;
    let pause = pause(group.config());
    Some(Response::from_parts(parts, Body::stream(IdleTimeoutBody::new(body, pause))))
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
