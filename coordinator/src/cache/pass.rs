//! Requests that go past the store: to the origin and back as they stream, or back to the proxy that asked.

use crate::{
    cache::{
        groups::Served,
        load::Brought,
        observe::Watched,
        pass_reason::Aside,
        request::{Asked, Elsewhere},
        response,
        state::Cache,
    },
    clock,
    http::{
        body::{Body, GuardedBody},
        capture::TeeBody,
        head::RequestHead,
    },
    jitter::{random, spread},
    origin::{Failure, Purpose, goes_as_keyed, outgoing, strip_response_headers, with_headers},
    store::{Entry, Parts, PurgeGuard, with_fields},
    telemetry::limits::ProcessLimit,
};
use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use meshcache_protocol::{
    self as protocol, Key, Reason, Request,
    freshness::{self, Selecting, Times, Vary},
    groups::Overload,
    reason::AnyReason,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;
use tokio::time::timeout;

/// What a request takes that goes past the cache, with its connection to the origin, beside its head.
const PASSES: u64 = 28 * 1024;
/// Copies of a head: as the origin is sent it, and on the connection to that.
const COPIES: u64 = 2;

impl Cache {
    /// A request that is none of the cache's.
    pub(crate) async fn elsewhere<'a>(
        self: &Arc<Self>,
        elsewhere: Elsewhere<'a>,
        head: &RequestHead,
        body: Incoming,
    ) -> (Option<&'a Arc<Served>>, Response<Body>) {
        match elsewhere {
            Elsewhere::Pass { served, reason, is_question } => {
                served.metrics.count_request(Outcome::Pass.label(), reason);
                let response = if is_question {
                    response::hand_back(&Aside::new(reason, ""))
                } else {
                    {
                        let fwd = if reason == Reason::Method { reason.label() } else { "bypass" };
                        Box::pin(self.through(served, head, body.into(), Aside::new(reason, fwd), None)).await
                    }
                };
                (Some(served), response)
            }
            Elsewhere::HandBack { served, reason } => {
                if let Some(served) = served {
                    served.metrics.count_request(Outcome::Pass.label(), reason);
                }
                (served, response::hand_back(&Aside::new(reason, "")))
            }
            Elsewhere::Held { served, not } => {
                served.metrics.count_request(Outcome::Error.label(), Reason::NotPassed);
                served.held.complain(served.group.name(), not, head.method().as_str(), self.clock.now());
                (Some(served), response::refused(StatusCode::FORBIDDEN, Reason::NotPassed, &self.names))
            }
            Elsewhere::Refused { status, reason } => (None, response::refused(status, reason, &self.names)),
        }
    }

    /// A request that the cache has nothing for: a proxy goes on by itself, and remembers that for so long; a plain
    /// client is served by the origin.
    pub(crate) async fn let_go(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &RequestHead,
        body: Incoming,
        aside: Aside,
    ) -> Response<Body> {
        asked.served.metrics.count_request(Outcome::Pass.label(), aside.reason);
        let Some(question) = &asked.question else {
            return self.through(asked.served, head, body.into(), aside, Some(asked)).await;
        };
        if asked.request.is_head() && aside.fwd != "uri-miss" {
            // Its answer says something of what is stored here. An origin that is slow says it to the proxy.
            let looked = timeout(
                asked.patience(question),
                self.through(asked.served, head, body.into(), aside.clone(), Some(asked)),
            )
            .await;
            if let Ok(response) = looked
                && !response.status().is_server_error()
            {
                return response::to_proxy(response, aside.fwd);
            }
        }
        response::hand_back(&aside)
    }

    /// There is no room to wait.
    pub(crate) async fn full(&self, asked: &Asked<'_>, deadline: tokio::time::Instant) -> Response<Body> {
        if asked.question.is_some() && asked.served.group.config().overload == Overload::Refuse {
            return self.failed(asked, Failure::Overload);
        }
        if asked.question.is_some() {
            spread(deadline).await;
            asked.served.metrics.count_request(Outcome::Pass.label(), Reason::Full);
            return response::hand_back(&Aside::new(Reason::Full, ""));
        }
        asked.served.metrics.count_request(Outcome::Error.label(), Reason::Full);
        response::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::Full, &self.names)
    }

    /// The origin gave no answer.
    pub(crate) fn failed(&self, asked: &Asked<'_>, failure: Failure) -> Response<Body> {
        asked.served.metrics.count_request(Outcome::Error.label(), failure.reason());
        match &asked.question {
            // All who wait have waited for this one load: the herd is not let loose on an origin that fails.
            Some(_) if failure.is_no_answer() => {
                response::to_all(response::failed(failure, &self.names), failure.reason())
            }
            Some(_) => response::bare(&Verdict::new(Outcome::Error).because(failure.reason())),
            None => response::failed(failure, &self.names),
        }
    }

    /// To the origin and back, as it streams. `asked`: what comes is stored as well, where it may be.
    pub(crate) async fn through(
        self: &Arc<Self>,
        served: &Arc<Served>,
        head: &RequestHead,
        body: Body,
        aside: Aside,
        asked: Option<&Asked<'_>>,
    ) -> Response<Body> {
        let is_unsafe = freshness::is_unsafe(head.method().as_str().as_bytes());
        let fields = head.fields();
        let key = match asked {
            // Where there is no room for loads, there is none for bodies on their way into the store.
            _ if matches!(aside.reason, AnyReason::Own(Reason::Overload | Reason::Slow | Reason::TooLarge)) => None,
            // The origin's answer to another spelling of the same is not stored: it may be about the spelling.
            _ if !goes_as_keyed(&served.origin, &served.group, head) => None,
            Some(asked) => Some(asked.key.clone()),
            // A POST may be answered with what a GET would bring.
            None if is_unsafe && aside.reason == Reason::Method => {
                head.request(&fields).ok().map(|request| Key::of(&served.group, &request, None))
            }
            None => None,
        };
        // It is one of a connection of its own, for as long as it lasts.
        let mut taken = self.heads.reserve();
        if !head.reserve(&self.heads) || !taken.grow(PASSES.saturating_add(COPIES.saturating_mul(head.bytes()))) {
            self.metrics.count_limit_reached(ProcessLimit::Heads);
            return response::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::Full, &self.names);
        }
        let mut load = key.map(|key| self.store.begin(key, self.consistency.position()));
        let Some(outgoing) =
            outgoing(&served.origin, &served.group, head, &self.settings.installation, Purpose::Pass(body))
        else {
            return response::refused(StatusCode::BAD_REQUEST, Reason::BadRequest, &self.names);
        };
        // What the cache would not have answered in any case is none of what it could save.
        if asked.is_some() {
            served.metrics.service_passes.inc();
        }
        let requested = clock::wall();
        let (mut parts, body) = match served.origin.send(outgoing, served.origin.pass_timeout()).await {
            Ok(response) => response.into_parts(),
            Err(failure) => return response::failed(failure, &self.names),
        };
        let (times, at) = (Times { requested, responded: clock::wall() }, self.clock.now());
        strip_response_headers(&served.group, &mut parts.headers);
        if is_unsafe {
            let purged = load.as_ref().is_some_and(PurgeGuard::may_be_purged);
            self.succeeded(head, &parts);
            // What this very answer has made invalid is not itself.
            load =
                load.filter(|_| !purged).map(|load| self.store.begin(load.key().clone(), self.consistency.position()));
        }
        let brought = Brought { head: &parts, times, at };
        if let (Some(asked), Some(load)) = (asked, &load)
            && asked.request.is_head()
        {
            self.looked_at(asked, load, &brought);
        }
        let watching = asked.and_then(|asked| self.watch(asked, &brought));
        let mut verdict = Verdict::new(Outcome::Pass).because(aside.fwd);
        verdict.fwd_status = parts.status.as_u16();
        let verified = asked.is_some_and(Asked::verified);
        let request = asked.map_or_else(|| head.request(&fields).ok(), |asked| Some(asked.request));
        let body =
            match load.zip(request).and_then(|(load, request)| self.keeper(served, &request, verified, load, &brought))
            {
                Some(keep) => {
                    let limit = served.group.config().limits.object.0;
                    // Nothing is promised of a body that does not say how long it is.
                    verdict.stored = body.size_hint().exact().is_some_and(|length| length <= limit);
                    Body::stream(TeeBody::new(body, limit, self.bytes.reserve(), keep))
                }
                None => Body::stream(body),
            };
        let body = Body::stream(GuardedBody { body, _guard: (taken, head.reservation()) });
        let body = watching.into_iter().fold(body, |body, watching| Body::stream(Watched::new(body, watching)));
        let key = asked.filter(|asked| asked.is_debugged).map(|asked| asked.key.to_string());
        response::through(parts, body, &self.names, &verdict, aside.reason.as_str(), key.as_deref())
    }

    /// What stores an answer that streams through, once it is whole. None where it may not be stored.
    fn keeper(
        self: &Arc<Self>,
        served: &Arc<Served>,
        request: &Request<'_>,
        verified: bool,
        load: PurgeGuard,
        brought: &Brought<'_>,
    ) -> Option<impl FnOnce(Bytes) + Send + Unpin + use<>> {
        let Brought { head, times, at: arrived } = *brought;
        let (cache, served, status) = (self.clone(), served.clone(), head.status);
        let (stored, selecting, fields) = with_headers(&head.headers, |fields| {
            let response = protocol::Response { status: status.as_u16(), fields };
            let stored = freshness::store(&served.group, request, verified, &response, times, random());
            let stored = stored.inspect_err(|not| served.metrics.count_not_stored(not.reason())).ok()?;
            let selecting = Selecting::in_group(&served.group, &Vary::of(&response), request);
            Some((
                stored,
                selecting,
                cache.with_via(freshness::storable(&served.group, &response, times.responded), head.version),
            ))
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
            // A part that is not as long as it says is none.
            if entry.extent().is_none_or(|extent| extent.bytes() == entry.body.len() as u64) {
                cache.put(&served, &load, &Arc::new(entry));
            }
        })
    }

    /// What the answer to a HEAD says of what is stored: it is that and fresh again, or it is another (RFC 9111 section
    /// 4.3.5).
    fn looked_at(&self, asked: &Asked<'_>, load: &PurgeGuard, brought: &Brought<'_>) {
        let Served { group: _, quota, .. } = &**asked.served;
        let get = Request { method: b"GET", ..asked.request };
        let Some(old) = self
            .store
            .get(quota, &asked.key, self.clock.now(), |entry| !entry.is_part() && entry.selecting.matches(&get))
        else {
            return;
        };
        let same = || {
            with_headers(&brought.head.headers, |new| {
                let new = protocol::Response { status: brought.head.status.as_u16(), fields: new };
                with_fields(&old, |stored| freshness::same_representation(&stored, old.body.len() as u64, &new))
            })
        };
        match brought.head.status {
            status if status == old.status && same() => {
                match self.freshened(asked.served, &get, asked.verified(), &old, load, brought) {
                    Ok(entry) => {
                        self.put(asked.served, load, &Arc::new(entry));
                    }
                    Err(_) => self.store.remove_variants(quota, &asked.key, |entry| entry.selecting.matches(&get)),
                }
            }
            StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.supersede(asked.served, &asked.key, &get, brought.head)
            }
            _ => {}
        }
    }
}
