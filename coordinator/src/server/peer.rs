//! The peer port: calls between coordinators. Who has no token is told nothing.

use crate::{
    cache::{
        invalidation,
        peek::{self, PeekAnswer},
        state::Cache,
        transfer,
    },
    cluster::{announcements, announcements::Word, membership::Rings},
    config::tokens::Tokens,
    http::{
        body::Body,
        reply::{empty, text, with},
    },
    purge,
    purge::{Call, Purger, sync},
    server::{Answer, data::too_many_lines},
    settings::Door,
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use meshcache_protocol::wire;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const WITH_TOKEN: &str = "send `Authorization: Bearer TOKEN`, with a token of both sides' --peer-token-file\n";
const WITHOUT: &str =
    "no coordinator is answered without --peer-token-file: start all with one, and a token in common\n";

/// The longest purge, and what it grows by on its way.
const CALL: usize = 2 * 1024 * 1024;
/// The longest key of a peek.
const KEY: usize = 256 * 1024;
/// The longest that a peek waits for a flight.
const LONGEST_PEEK: u64 = 1000;
/// Pushes that are read at once: others wait.
pub(crate) const PUSHES: usize = 4;

/// What the peer port needs.
#[derive(Clone)]
pub struct PeerPort {
    /// Answers questions that a peer passes on.
    pub cache: Arc<Cache>,
    /// Carries out purges.
    pub purger: Arc<Purger>,
    /// Hears who comes and leaves.
    pub rings: Arc<Rings>,
    /// The tokens of peers.
    pub tokens: Arc<Tokens>,
    /// Places for pushes under way.
    pub pushes: Arc<Semaphore>,
}

impl Answer for PeerPort {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if !self.tokens.admit_bearer(request.headers()) {
            let what = if self.tokens.is_configured() { WITH_TOKEN } else { WITHOUT };
            return with(
                text(StatusCode::UNAUTHORIZED, what.into()),
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"meshcache\"",
            );
        }
        if request.uri().path().starts_with(wire::CONTROL_PATH) {
            return self.control(request).await;
        }
        self.cache.answer(Door::Peer, request).await
    }

    fn refuse(&self, request: &Request<Incoming>) -> Response<Body> {
        too_many_lines(&self.cache, request)
    }
}

impl PeerPort {
    async fn control(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path().starts_with(wire::INVALIDATE_PATH) {
            return invalidation::answer(&self.cache, Door::Peer, request).await;
        }
        match (request.uri().path(), request.method()) {
            (purge::PATH | sync::PATH | wire::PEEK_PATH | wire::PUSH_PATH | wire::WORD_PATH, method)
                if method != Method::POST =>
            {
                with(empty(StatusCode::METHOD_NOT_ALLOWED), header::ALLOW, "POST")
            }
            (purge::PATH, _) => self.purge(request).await,
            (sync::PATH, _) => self.purges(request).await,
            (wire::PEEK_PATH, _) => self.peek(request).await,
            (wire::PUSH_PATH, _) => self.push(request).await,
            (wire::WORD_PATH, _) => self.word(request).await,
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    async fn purge(&self, request: Request<Incoming>) -> Response<Body> {
        let body = match self.cache.unread_of_peers.whole(request, CALL).await {
            Ok(body) => body,
            Err(unreadable) => return unreadable.response(),
        };
        let Ok(call) = serde_json::from_slice::<Call>(&body) else { return empty(StatusCode::BAD_REQUEST) };
        match self.purger.here(call).await {
            Ok(report) => json(&report),
            Err(purge::Behind) => empty(StatusCode::CONFLICT),
        }
    }

    /// What was purged, for one who may have missed some.
    async fn purges(&self, request: Request<Incoming>) -> Response<Body> {
        let body = match self.cache.unread_of_peers.whole(request, CALL).await {
            Ok(body) => body,
            Err(unreadable) => return unreadable.response(),
        };
        let Ok(question) = serde_json::from_slice(&body) else { return empty(StatusCode::BAD_REQUEST) };
        json(&self.purger.since(&question))
    }

    /// What is here of a key.
    async fn peek(&self, request: Request<Incoming>) -> Response<Body> {
        let said = request
            .headers()
            .get(wire::header::WIRE)
            .and_then(|value| wire::Question::parse(value.to_str().ok()?).ok())
            .unwrap_or_default();
        let key = match self.cache.unread_of_peers.whole(request, KEY).await {
            Ok(key) => key,
            Err(unreadable) => return unreadable.response(),
        };
        match peek::answer(&self.cache, key, Duration::from_millis(LONGEST_PEEK.min(said.patience))).await {
            PeekAnswer::Entries(message) => Response::new(Body::from(message)),
            PeekAnswer::Loading => empty(StatusCode::ACCEPTED),
            PeekAnswer::Nothing => empty(StatusCode::NO_CONTENT),
        }
    }

    /// Entries of a coordinator that leaves.
    async fn push(&self, request: Request<Incoming>) -> Response<Body> {
        let began = self.cache.clock.now();
        let Ok(_place) = self.pushes.acquire().await else { return empty(StatusCode::SERVICE_UNAVAILABLE) };
        let Some(message) = transfer::read_message(request.into_body()).await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        match transfer::receive(&self.cache, &message, began).await {
            Ok(report) => json(&report),
            Err(bad) => {
                tracing::warn!(%bad, "a push cannot be read");
                text(StatusCode::BAD_REQUEST, bad.to_string())
            }
        }
    }

    /// Who comes or leaves. The answer says if this one leaves: who comes may not have heard it.
    async fn word(&self, request: Request<Incoming>) -> Response<Body> {
        let body = match self.cache.unread_of_peers.whole(request, announcements::LONGEST).await {
            Ok(body) => body,
            Err(unreadable) => return unreadable.response(),
        };
        match serde_json::from_slice::<Word>(&body)
            .map_err(|error| error.to_string())
            .and_then(|word| word.problem().map_or(Ok(word), |bad| Err(bad.into())))
        {
            Ok(word) => {
                self.rings.hear(&word);
                self.rings.own_leave().map_or_else(|| empty(StatusCode::NO_CONTENT), |own| json(&own))
            }
            Err(bad) => text(StatusCode::BAD_REQUEST, bad),
        }
    }
}

fn json(report: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(report) {
        Ok(report) => with(Response::new(Body::from(report)), header::CONTENT_TYPE, "application/json"),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
