//! One lookup at the owner: store, owner, flight, load, store, answer.

use crate::{
    cache::{
        groups::Served,
        hit_for_pass::Passing,
        pass_reason::Aside,
        peer_load::Hop,
        request::{Asked, route},
        response,
        state::Cache,
    },
    http::{body::Body, head::RequestHead},
    settings::Door,
    telemetry::limits::ProcessLimit,
};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use meshcache_protocol::{
    Reason,
    freshness::{self, LoadStart, Reuse},
    groups::Mode,
    wire::{Outcome, Verdict},
};
use std::{sync::Arc, time::Instant};

impl Cache {
    /// Answers a request. Never fails: what goes wrong is an answer.
    pub async fn answer(self: &Arc<Self>, door: Door, request: Request<Incoming>) -> Response<Body> {
        let (began, now) = (Instant::now(), self.clock.now());
        let (parts, body) = request.into_parts();
        let head = match RequestHead::read(door, parts) {
            Ok(head) => head,
            Err(bad) => return response::refused(StatusCode::BAD_REQUEST, bad.reason(), &self.names),
        };
        let rules = self.rules();
        let fields = head.fields();
        let (served, response) =
            match route(door, &head, &fields, &rules, &self.settings.installation, self.settings.identity) {
                Ok(asked) if !self.consistency.catch_up(asked.claim()).await => {
                    (Some(asked.served), self.let_go(&asked, &head, body, Aside::new(Reason::PurgeLag, "bypass")).await)
                }
                Ok(asked) => (Some(asked.served), self.look_up(&asked, &head, body, now).await),
                Err(elsewhere) => self.elsewhere(elsewhere, &head, body).await,
            };
        if let Some(served) = served {
            served.metrics.request_seconds.observe(began.elapsed().as_secs_f64());
        }
        response
    }

    /// The store first. What it has is given at once, whoever owns the key.
    async fn look_up(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &RequestHead,
        body: Incoming,
        now: u64,
    ) -> Response<Body> {
        let Served { group, metrics, quota, .. } = &**asked.served;
        metrics.gets.inc();
        if asked.question.is_none() {
            metrics.from_clients.inc();
        }
        if asked.is_from_peer {
            metrics.server_requests.inc();
        }
        let stored = self.store.get(quota, &asked.key, now, |entry| entry.answers(&asked.request));
        let stored = stored.filter(|entry| !self.has_changed(asked, entry, now));
        let resident = stored.as_ref().map_or(0, |entry| entry.resident(now));
        let reuse = freshness::reuse(
            group,
            &asked.request,
            asked.verified(),
            stored.as_ref().map(|entry| &entry.stored),
            resident,
        );
        let found = match (reuse, &stored) {
            (Reuse::Fresh, Some(entry)) => Some((entry, Outcome::Hit)),
            (Reuse::Stale, Some(entry)) => Some((entry, Outcome::Stale)),
            _ => None,
        };
        if group.config().mode == Mode::Observe && asked.question.is_none() {
            metrics.count_request(found.map_or(Outcome::Miss, |(_, outcome)| outcome).label(), Reason::Observe);
            return Box::pin(self.through(
                asked.served,
                head,
                body.into(),
                Aside::new(Reason::Observe, "bypass"),
                Some(asked),
            ))
            .await;
        }
        // A stale answer is refreshed by the key's owner: who is not asks it.
        let found = found.filter(|(_, outcome)| *outcome == Outcome::Hit || self.hop(asked).is_none());
        if let Some((entry, outcome)) = found {
            if outcome == Outcome::Stale {
                self.refresh(asked, head);
            }
            let mut verdict = response::aged(Verdict::new(outcome), entry, now);
            verdict.shared = true;
            if let Some(response) = response::give(asked, entry, verdict, &self.names) {
                metrics.hits.inc();
                metrics.count_response(outcome.label());
                return response;
            }
        }
        metrics.loads.inc();
        let fwd = match reuse {
            Reuse::Validate("uri-miss") => self.missed_by(asked, now),
            Reuse::Validate(word) => word,
            Reuse::Stale => "stale",
            Reuse::OnlyIfCached => "uri-miss",
            // There is something, but not for this request.
            Reuse::Fresh | Reuse::Refuse => "request",
        };
        let validates = stored.is_some_and(|entry| entry.stored.validator);
        Box::pin(self.fetch(asked, head, body, reuse, fwd, validates)).await
    }

    /// What keeps the store from answering a request that it has no response for, as Cache-Status has it.
    fn missed_by(&self, asked: &Asked<'_>, now: u64) -> &'static str {
        match self.store.peek(&asked.served.quota, &asked.key, now) {
            None => "uri-miss",
            Some((entries, _))
                if entries.iter().any(|entry| entry.is_part() && entry.selecting.matches(&asked.request)) =>
            {
                "partial"
            }
            Some(_) => "vary-miss",
        }
    }

    /// What the store cannot answer: alone, or together with all who ask for the same.
    async fn fetch(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &RequestHead,
        body: Incoming,
        reuse: Reuse,
        fwd: &'static str,
        validates: bool,
    ) -> Response<Body> {
        let Served { group, .. } = &**asked.served;
        if !head.reserve(&self.heads) {
            self.metrics.count_limit_reached(ProcessLimit::Heads);
            return self.full(asked, tokio::time::Instant::now()).await;
        }
        let hop = self.hop(asked);
        let shares = match freshness::shares(group, &asked.request, asked.verified(), validates) {
            Err(alone) => Err(alone.reason()),
            Ok(_) if reuse == Reuse::Refuse => Err(Reason::Identity),
            Ok(_) if reuse == Reuse::OnlyIfCached => Err(Reason::OnlyIfCached),
            Ok(since) => Ok(since),
        };
        let since = match shares {
            Ok(since) => since,
            Err(_) if matches!(reuse, Reuse::Validate(_) | Reuse::Stale) && self.loads_the_whole(asked) => {
                LoadStart::Any
            }
            Err(reason) => return self.fetch_alone(asked, head, body, reuse, Aside::new(reason, fwd), hop).await,
        };
        // A plain client's own answer is stored as it passes, if it may be: a proxy's is not seen here.
        if let Some(Passing { reason, remember, vary, tries }) = self.passes.get(
            asked.key.hash(),
            &asked.request,
            asked.question.is_some() && hop.is_none(),
            self.clock.now(),
        ) {
            if tries {
                self.load_beside(asked, head, fwd);
            }
            return self.let_go(asked, head, body, Aside { remember, vary, ..Aside::new(reason, fwd) }).await;
        }
        self.fly(asked, head, body, hop, fwd, since).await
    }

    /// For a request that shares with nobody.
    async fn fetch_alone(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &RequestHead,
        body: Incoming,
        reuse: Reuse,
        aside: Aside,
        hop: Option<Hop>,
    ) -> Response<Body> {
        let metrics = &asked.served.metrics;
        if let Some(hop) = &hop
            && let Some(response) = self.relay(asked, head, hop).await
        {
            metrics.count_request(Outcome::Hit.label(), Reason::Peer);
            return response;
        }
        if reuse == Reuse::OnlyIfCached {
            metrics.count_request(Outcome::Error.label(), Reason::OnlyIfCached);
            return response::only_if_cached(asked, &self.names);
        }
        self.let_go(asked, head, body, aside).await
    }
}
