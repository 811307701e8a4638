//! A peer's response on its way to all who wait.

use crate::{
    cache::{
        hot_copies,
        insertion::StoredParts,
        leave::Leave,
        load_job::LoadJob,
        load_outcome::{Audience, Landing, LoadOutcome, LoadedResponse, NotShared},
        origin_response::GRACE,
        response::OUTCOME,
        state::Cache,
    },
    http::{
        capture::{CaptureOutcome, EarlyOutcome, capture_within},
        growing::{Filled, Filling},
    },
    origin::{Failure, IdleTimeoutBody, with_headers},
    store::PurgeGuard,
};
use bytes::Bytes;
use http::{Response, response};
use hyper::body::Incoming;
use meshcache_protocol::{
    self as protocol, Reason,
    freshness::{Selecting, Vary},
    groups::GroupConfig,
    wire::{Outcome, Verdict},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One peer's response, and what it is read for.
pub(super) struct PeerRead {
    pub(super) cache: Arc<Cache>,
    pub(super) job: Arc<LoadJob>,
    /// The begin of a hot copy.
    pub(super) hot: Option<Arc<PurgeGuard>>,
    pub(super) peer: String,
}

/// What is known of a response with its head.
struct PeerHead {
    parts: StoredParts,
    verdict: Verdict,
    audience: Audience,
    began: Instant,
}

impl PeerHead {
    fn response(self, job: &LoadJob, body: Bytes) -> LoadedResponse {
        let Self { parts, verdict, audience, began } = self;
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
        let head = self.head(verdict, &parts, asked_at)?;
        let config = self.job.served.group.config();
        let (body, budget) = (IdleTimeoutBody::new(body, pause(config)), &self.cache.body_budget);
        match capture_within(GRACE, body, config.limits.object.0, budget.reserve()).await {
            EarlyOutcome::Ended(CaptureOutcome::Whole(body)) => Some(self.whole(head, body).into()),
            EarlyOutcome::Ended(CaptureOutcome::OverBudget(_)) => Some(not_shared(Reason::Overload).into()),
            EarlyOutcome::Ended(CaptureOutcome::TooLarge(_) | CaptureOutcome::Cut(_)) => {
                self.job.served.metrics.peer_errors.inc();
                self.cache.cluster.peers.record_incomplete(&self.peer);
                None
            }
            EarlyOutcome::Growing(filling) => {
                let early = PeerHead { parts: head.parts.clone(), verdict: head.verdict.clone(), ..head };
                let mut early = early.response(&self.job, Bytes::new());
                early.growing = Some(filling.body().clone());
                if early.verdict.leave {
                    early.leave = Leave::new(Duration::ZERO, config.stream_after.duration());
                }
                Some(Landing::Growing(early, Box::pin(self.finish(head, filling))))
            }
        }
    }

    async fn finish(self, head: PeerHead, filling: Filling<IdleTimeoutBody>) -> LoadOutcome {
        let patience = self.job.served.origin.timeout();
        match filling.fill().await {
            Filled::Whole(filling, body) => {
                let outcome = self.whole(head, body.clone());
                filling.body().complete(body);
                outcome
            }
            // Most likely its origin broke off: this says nothing about the peer.
            Filled::Cut(_) => LoadOutcome::Failed(Failure::IncompleteBody),
            Filled::TooLarge(rest) => {
                tokio::spawn(rest.stream(patience));
                not_shared(Reason::TooLarge)
            }
            Filled::OverBudget(rest) => {
                tokio::spawn(rest.stream(patience));
                not_shared(Reason::Overload)
            }
        }
    }

    /// The outcome of a whole response. A hot copy of it is kept where there is to be one.
    fn whole(&self, head: PeerHead, body: Bytes) -> LoadOutcome {
        let response = head.response(&self.job, body);
        self.job.served.metrics.peer_loads.inc();
        if let Some(load) = &self.hot {
            hot_copies::keep(&self.cache, &self.job.served, load, &response.verdict, &response.entry);
        }
        LoadOutcome::Loaded(response)
    }

    fn head(&self, verdict: Verdict, parts: &response::Parts, asked_at: Instant) -> Option<PeerHead> {
        let LoadJob { served, head, .. } = &*self.job;
        let (arrived, at) = (Instant::now(), self.cache.clock.now());
        let fields = head.fields();
        let request = head.request(&fields).ok()?;
        let selecting = with_headers(&parts.headers, |fields| {
            let response = protocol::Response { status: parts.status.as_u16(), fields };
            Selecting::in_group(&served.group, &Vary::in_group(&served.group, &response), &request)
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
        Some(PeerHead { parts, verdict, audience, began })
    }
}

fn not_shared(reason: Reason) -> LoadOutcome {
    LoadOutcome::NotShared(NotShared { reason: reason.into(), remember: 0, vary: String::new() })
}

/// How long a peer may pause in the middle of a body: it waits for its origin.
pub(super) fn pause(group: &GroupConfig) -> Duration {
    group.origin.timeout.duration() + group.patience.duration()
}
