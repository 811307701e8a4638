//! A peer's response on its way to all who wait.

use crate::{
    cache::{
        hot_copies,
        insertion::StoredParts,
        large,
        leave::Leave,
        load_job::LoadJob,
        load_outcome::{Audience, Landing, LoadOutcome, LoadedResponse, NotShared},
        origin_response::GRACE,
        peer_load::going_on::{PeerBody, Way},
        response::OUTCOME,
        state::Cache,
    },
    http::{
        body::Cut,
        capture::{CaptureOutcome, EarlyOutcome, capture_within},
        growing::{Filled, Filling, GrowingBody, Patience},
    },
    origin::{Failure, IdleTimeoutBody, with_headers},
    store::PurgeGuard,
};
use bytes::Bytes;
use http::{Method, Response, response};
use http_body::Body as _;
use hyper::body::Incoming;
use meshcache_protocol::{
    self as protocol, Reason,
    freshness::{Continuation, Selecting, Vary},
    groups::GroupConfig,
    wire::{Outcome, Question, Verdict, header},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One peer's response, and what it is read for.
pub(super) struct PeerRead {
    pub(super) cache: Arc<Cache>,
    pub(super) job: Arc<LoadJob>,
    /// The begin of a hot copy.
    pub(super) hot: Option<Arc<PurgeGuard>>,
    pub(super) peer: String,
    /// The question to it, and the peers after it.
    pub(super) question: Question,
    pub(super) peers: VecDeque<String>,
}

/// What is known of a response with its head.
#[derive(Clone)]
struct PeerHead {
    parts: StoredParts,
    verdict: Verdict,
    audience: Audience,
    began: Instant,
    /// How readers go on by themselves, if it is too large.
    continuation: Option<Continuation>,
}

impl PeerHead {
    fn response(self, job: &LoadJob, body: Bytes) -> LoadedResponse {
        let Self { parts, verdict, audience, began, .. } = self;
        let stored = verdict.to_stored(parts.status.as_u16());
        let entry = Arc::new(parts.entry(&job.served, stored, body));
        LoadedResponse { entry, verdict, audience, began, growing: None, leave: None }
    }
}

impl PeerRead {
    /// Reads a response for all waiters. None if it breaks off before they have its head.
    pub(super) async fn response(
        self,
        verdict: Verdict,
        response: Response<Incoming>,
        asked_at: Instant,
    ) -> Option<Landing> {
        let (parts, body) = response.into_parts();
        let head = self.head(verdict, &parts, body.size_hint().exact(), asked_at)?;
        let config = self.job.served.group.config();
        let budget = self.cache.body_budget.clone();
        let (length, limit) = (body.size_hint().exact(), config.limits.object.0);
        let body = PeerBody::new(IdleTimeoutBody::new(body, pause(config)), length, self.way(&parts, length));
        let mut reservation = budget.reserve();
        if let Some(length) = length.filter(|length| *length > limit && head.continuation.is_some()) {
            if !reservation.grow(large::window(&self.job).min(length)) {
                return Some(not_shared(Reason::Overload).into());
            }
            let filling = Filling::new([], body, Some(length), limit, reservation);
            return Some(self.growing(head, filling, true));
        }
        match capture_within(GRACE, body, limit, reservation).await {
            EarlyOutcome::Ended(CaptureOutcome::Whole(body)) => Some(self.whole(head, body).into()),
            EarlyOutcome::Ended(CaptureOutcome::OverBudget(_)) => Some(not_shared(Reason::Overload).into()),
            EarlyOutcome::Ended(CaptureOutcome::TooLarge(rest)) => {
                let (mut reservation, (received, rest)) = (budget.reserve(), rest.into_parts());
                if !reservation.grow(large::window(&self.job).max(limit)) {
                    return Some(not_shared(Reason::Overload).into());
                }
                Some(self.growing(head, Filling::new(received, rest, length, limit, reservation), true))
            }
            // A peer that was lost is counted as one by then.
            EarlyOutcome::Ended(CaptureOutcome::Cut(_)) => None,
            EarlyOutcome::Growing(filling) => Some(self.growing(head, filling, false)),
        }
    }

    /// Where the rest may come from.
    fn way(&self, parts: &response::Parts, length: Option<u64>) -> Way {
        let continuation = with_headers(&parts.headers, |fields| {
            Continuation::of(&protocol::Response { status: parts.status.as_u16(), fields }, length)
        });
        Way {
            cache: self.cache.clone(),
            job: self.job.clone(),
            continuation: continuation.filter(|_| self.job.head.load_method() == Method::GET),
            is_slice: parts.headers.contains_key(header::SLICE),
            question: self.question.clone(),
            peer: self.peer.clone(),
            peers: self.peers.clone(),
        }
    }

    fn growing(self, head: PeerHead, filling: Filling<PeerBody>, is_large: bool) -> Landing {
        let mut early = head.clone().response(&self.job, Bytes::new());
        early.growing = Some(filling.body().clone());
        if early.verdict.leave {
            early.leave = Leave::new(Duration::ZERO, self.job.served.group.config().stream_after.duration());
        }
        let is_large = is_large && self.begin_large(&head, filling.body());
        Landing::Growing(early.clone(), Box::pin(self.finish(head, filling, is_large, early)))
    }

    /// Keeps no more than a window of a body that is too large. False: its readers could not go on by themselves.
    fn begin_large(&self, head: &PeerHead, body: &GrowingBody) -> bool {
        let Some(continuation) = head.continuation.clone() else { return false };
        large::begin(&self.cache, &self.job, body, continuation);
        true
    }

    async fn finish(
        self,
        head: PeerHead,
        filling: Filling<PeerBody>,
        is_large: bool,
        early: LoadedResponse,
    ) -> LoadOutcome {
        let patience = Patience::Idle(self.job.served.origin.timeout());
        let passed = |cut: Option<Cut>| match cut {
            Some(_) => LoadOutcome::Failed(Failure::IncompleteBody),
            None => LoadOutcome::Loaded(early),
        };
        if is_large {
            let body = large::stream(&self.job, filling);
            return passed(large::passed(&body).await);
        }
        match filling.fill().await {
            Filled::Whole(filling, body) => {
                let outcome = self.whole(head, body.clone());
                filling.body().complete(body);
                outcome
            }
            // Its origin broke off, or nobody has the rest.
            Filled::Cut(_) => LoadOutcome::Failed(Failure::IncompleteBody),
            Filled::TooLarge(rest) if self.begin_large(&head, rest.body()) => {
                let body = rest.body().clone();
                tokio::spawn(rest.stream(Some(large::window(&self.job)), large::PATIENCE));
                passed(large::passed(&body).await)
            }
            Filled::TooLarge(rest) => {
                tokio::spawn(rest.stream(None, patience));
                not_shared(Reason::TooLarge)
            }
            Filled::OverBudget(rest) => {
                tokio::spawn(rest.stream(None, patience));
                not_shared(Reason::Overload)
            }
        }
    }

    /// The outcome of a whole response. A hot copy of it is kept where there is to be one.
    fn whole(&self, head: PeerHead, body: Bytes) -> LoadOutcome {
        let response = head.response(&self.job, body);
        self.job.served.metrics.peer_loads.inc();
        if let Some(load) = self.hot.as_ref().filter(|_| response.entry.slice_extent().is_none()) {
            hot_copies::keep(&self.cache, &self.job.served, load, &response.verdict, &response.entry);
        }
        LoadOutcome::Loaded(response)
    }

    fn head(
        &self,
        verdict: Verdict,
        parts: &response::Parts,
        length: Option<u64>,
        asked_at: Instant,
    ) -> Option<PeerHead> {
        let LoadJob { served, head, .. } = &*self.job;
        let (arrived, at) = (Instant::now(), self.cache.clock.now());
        let fields = head.fields();
        let request = head.request(&fields).ok()?;
        let (selecting, continuation) = with_headers(&parts.headers, |fields| {
            let response = protocol::Response { status: parts.status.as_u16(), fields };
            let vary = Vary::in_group(&served.group, &response);
            let selecting = Selecting::in_group(&served.group, &vary, &request);
            (selecting, large::continuation(&self.job, &response, length))
        });
        let is_ours = |name: &str| name == OUTCOME.as_str() || name == "age";
        let fields = parts
            .headers
            .iter()
            .filter(|(name, _)| !is_ours(name.as_str()))
            .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        let is_failure = parts.status.is_client_error() || parts.status.is_server_error();
        let audience = match () {
            () if verdict.waiters => Audience::Waiters,
            () if !verdict.shared => Audience::Leader,
            () if is_failure && verdict.ttl <= 0 && verdict.load.is_none() && verdict.outcome == Outcome::Miss => {
                Audience::First
            }
            () => Audience::All,
        };
        // If the owner does not say when its load began: no sooner than it was asked.
        let began =
            verdict.load.map_or(asked_at, |load| arrived.checked_sub(Duration::from_millis(load)).unwrap_or(asked_at));
        // It is given to the waiters, and at most a copy of it is stored.
        let position = Arc::default();
        let parts = StoredParts { status: parts.status, fields, selecting, arrived: at, position };
        Some(PeerHead { parts, verdict, audience, began, continuation })
    }
}

fn not_shared(reason: Reason) -> LoadOutcome {
    LoadOutcome::NotShared(NotShared { reason: reason.into(), remember: 0, vary: String::new() })
}

/// How long a peer may pause in the middle of a body: it waits for its origin.
pub(super) fn pause(group: &GroupConfig) -> Duration {
    group.origin.timeout.duration() + group.patience.duration()
}
