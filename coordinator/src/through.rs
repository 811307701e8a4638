//! Requests that go past the store: to the origin and back as they stream, or back to the proxy that asked.

use crate::{
    answer,
    asked::{Asked, Elsewhere},
    body::Body,
    cache::{Cache, spread},
    clock,
    collect::Kept,
    head::Head,
    load::{random, with_headers},
    origin::{Failure, Purpose, answered, outgoing},
    served::Served,
    store::{Entry, Load, Parts},
};
use bytes::Bytes;
use http::{Response, StatusCode, response};
use hyper::body::Incoming;
use meshcache_protocol::{
    self as protocol, Key,
    freshness::{self, Selecting, Times, Vary},
    groups::Overload,
    request::Marks,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;

impl Cache {
    /// A request that is none of the cache's.
    pub(crate) async fn elsewhere<'a>(self: &Arc<Self>, elsewhere: Elsewhere<'a>, head: &Head, body: Incoming) -> (Option<&'a Arc<Served>>, Response<Body>) {
        match elsewhere {
            Elsewhere::Pass { served, reason, is_question } => {
                served.metrics.request(Outcome::Pass.label(), reason);
                let response = if is_question { answer::hand_back(reason, 0) } else { Box::pin(self.through(served, head, body.into(), reason, None)).await };
                (Some(served), response)
            }
            Elsewhere::HandBack { served, reason } => {
                if let Some(served) = served {
                    served.metrics.request(Outcome::Pass.label(), reason);
                }
                (served, answer::hand_back(reason, 0))
            }
            Elsewhere::Refused { status, reason } => (None, answer::refused(status, reason, &self.names)),
        }
    }

    /// A request that the cache has nothing for: a proxy goes on by itself, and remembers that for so long; a plain client is served by the origin.
    pub(crate) async fn let_go(self: &Arc<Self>, asked: &Asked<'_>, head: &Head, body: Incoming, reason: &'static str, remember: u64) -> Response<Body> {
        asked.served.metrics.request(Outcome::Pass.label(), reason);
        if asked.question.is_some() {
            return answer::hand_back(reason, remember);
        }
        // Answers for everybody may come to those who name themselves, too.
        let keeps = (reason == "identity" || reason == "request-directive") && asked.request.is_get();
        self.through(asked.served, head, body.into(), reason, keeps.then_some(asked)).await
    }

    /// There is no room to wait.
    pub(crate) async fn full(&self, asked: &Asked<'_>, deadline: tokio::time::Instant) -> Response<Body> {
        if asked.question.is_some() && asked.served.group.config().overload == Overload::Refuse {
            return self.failed(asked, Failure::Overload);
        }
        if asked.question.is_some() {
            spread(deadline).await;
            asked.served.metrics.request(Outcome::Pass.label(), "full");
            return answer::hand_back("full", 0);
        }
        asked.served.metrics.request(Outcome::Error.label(), "full");
        answer::refused(StatusCode::SERVICE_UNAVAILABLE, "full", &self.names)
    }

    /// The origin gave no answer.
    pub(crate) fn failed(&self, asked: &Asked<'_>, failure: Failure) -> Response<Body> {
        asked.served.metrics.request(Outcome::Error.label(), failure.label());
        match &asked.question {
            // Everybody has waited as long as the origin may take, or the group has it so: the herd is not let loose on it now.
            Some(_) if matches!(failure, Failure::Timeout | Failure::Overload) => answer::to_all(answer::failed(failure, &self.names), failure.label()),
            Some(_) => answer::bare(&Verdict::new(Outcome::Error).because(failure.label())),
            None => answer::failed(failure, &self.names),
        }
    }

    /// To the origin and back, as it streams. `keeps`: what comes is stored as well, where it may be.
    pub(crate) async fn through(self: &Arc<Self>, served: &Arc<Served>, head: &Head, body: Body, reason: &str, keeps: Option<&Asked<'_>>) -> Response<Body> {
        let is_whole = |asked: &&Asked<'_>| asked.request.is_get() && !asked.request.marks.any(Marks::RANGE.with(Marks::CONDITIONAL));
        let keeps = keeps.filter(is_whole).map(|asked| (asked, self.store.begin(asked.key.clone(), self.history.position())));
        let Some(outgoing) = outgoing(&served.origin, &served.group, head, &self.settings.installation, Purpose::Pass(body)) else {
            return answer::refused(StatusCode::BAD_REQUEST, "bad-request", &self.names);
        };
        let requested = clock::wall();
        let (mut parts, body) = match served.origin.send(outgoing).await {
            Ok(response) => response.into_parts(),
            Err(failure) => return answer::failed(failure, &self.names),
        };
        let times = Times { requested, responded: clock::wall() };
        answered(&served.group, &mut parts.headers);
        if !head.method().is_safe() && (parts.status.is_success() || parts.status.is_redirection()) {
            self.invalidate(served, head);
        }
        let mut verdict = Verdict::new(Outcome::Pass).because(reason);
        verdict.fwd_status = parts.status.as_u16();
        let body = match keeps.and_then(|(asked, load)| self.keeper(asked, load, &parts, times)) {
            Some(keep) => Body::stream(Kept::new(body, served.group.config().limits.object.0, self.bytes.take(), keep)),
            None => Body::stream(body),
        };
        answer::through(parts, body, &self.names, &verdict)
    }

    /// What stores an answer that streams through, once it is whole. None where it may not be stored.
    fn keeper(self: &Arc<Self>, asked: &Asked<'_>, load: Load, head: &response::Parts, times: Times) -> Option<impl FnOnce(Bytes) + Send + Unpin + use<>> {
        let (cache, served, status, arrived) = (self.clone(), asked.served.clone(), head.status, self.clock.now());
        let (stored, selecting, fields) = with_headers(&head.headers, |fields| {
            let response = protocol::Response { status: status.as_u16(), fields };
            let stored = freshness::store(&served.group, &asked.request, asked.verified(), &response, times, random());
            let stored = stored.inspect_err(|not| served.metrics.not_stored(not.label())).ok()?;
            let selecting = Selecting::of(&Vary::of(&response), &asked.request);
            Some((stored, selecting, cache.with_via(freshness::storable(&served.group, &response, times.responded), head.version)))
        })?;
        Some(move |body: Bytes| {
            let tags = served.group.config().tags.header.to_ascii_lowercase();
            let entry = Entry::new(Parts { status, fields, tags: &tags, body, selecting, stored, arrived, position: load.position().clone() });
            cache.put(&served, &load, &Arc::new(entry));
        })
    }

    /// An unsafe method has succeeded: what was stored for its target is of no use any more (RFC 9111 section 4.4).
    fn invalidate(&self, served: &Served, head: &Head) {
        let fields = head.fields();
        if let Ok(request) = head.request(&fields) {
            let key = Key::of(&served.group, &request, None);
            self.store.remove(&served.share, &key);
            self.loading.detach(|flying| flying.bytes().starts_with(key.bytes()));
        }
    }
}
