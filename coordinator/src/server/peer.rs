//! The peer port: calls between coordinators. Without a token there is no answer, or, where peers trust all who reach
//! them, an answer to questions and peeks alone.

#[cfg(feature = "program")]
use crate::inquiry::Inquiry;
use crate::{
    cache::{
        invalidation, lookup,
        peek::{self, PeekAnswer},
        state::Cache,
        transfer,
    },
    cluster::{announcements, announcements::Announcement, membership::Membership},
    config::tokens::Tokens,
    consistency::messages::CatchUpRequest,
    http::{
        body::Body,
        reply::{empty, text, with_field},
        request_body::ControlBodies,
    },
    purge::{Behind, PurgeCall, Purger},
    server::{Handler, data::too_many_fields, watched::watched},
    settings::{PeerTrust, Port},
    telemetry::request_end::RequestEnds,
    tls::TlsSession,
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use meshcache_protocol::{paths, wire};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const WITH_TOKEN: &str =
    "send `Authorization: Bearer TOKEN`, with a token that is in --peer-token-file of both coordinators\n";
const WITHOUT: &str = "this port needs --peer-token-file: start all coordinators with one, and a token in common\n";

/// The longest purge, with what coordinators add to it.
const MAX_CALL: usize = 2 * 1024 * 1024;
/// The longest key of a peek.
const MAX_KEY: usize = 256 * 1024;
/// The longest that a peek waits for a flight, milliseconds.
const MAX_PEEK_WAIT_MS: u64 = 1000;
/// Pushes that are read at once. Others wait.
pub(crate) const MAX_PUSHES: usize = 4;

/// The state behind the peer port.
#[derive(Clone)]
pub struct PeerPort {
    /// Answers requests that a peer passes on.
    pub cache: Arc<Cache>,
    /// Carries out purges.
    pub purger: Arc<Purger>,
    /// Takes announcements of peers that join or leave.
    pub membership: Arc<Membership>,
    /// The tokens of peers.
    pub tokens: Arc<Tokens>,
    /// Permits for pushes.
    pub pushes: Arc<Semaphore>,
    /// Bodies of control calls with a token.
    pub(crate) bodies: Arc<ControlBodies>,
    /// What wants to know of requests that have ended.
    pub(crate) ends: Option<Arc<RequestEnds>>,
    /// What is told to administrators.
    #[cfg(feature = "program")]
    pub(crate) inquiry: Option<Arc<Inquiry>>,
}

impl Handler for PeerPort {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        self.answer(request.map(Body::from)).await
    }

    fn reject(&self, request: &Request<Incoming>) -> Response<Body> {
        too_many_fields(&self.cache, request)
    }
}

impl PeerPort {
    /// Answers a call of a peer. Failures are responses, too.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if !self.admits(&request) {
            let what = if self.tokens.is_configured() { WITH_TOKEN } else { WITHOUT };
            return with_field(
                text(StatusCode::UNAUTHORIZED, what.into()),
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"meshcache\"",
            );
        }
        if request.uri().path().starts_with(paths::CONTROL) {
            return self.control(request).await;
        }
        watched(self.ends.as_ref(), Port::Peer, request, |request| lookup::answer(&self.cache, Port::Peer, request))
            .await
    }

    fn admits(&self, request: &Request<Body>) -> bool {
        match self.cache.settings.peer_trust {
            PeerTrust::Token => self.tokens.accepts_bearer(request.headers()),
            PeerTrust::Open => is_for_all(request.uri().path()),
        }
    }

    async fn control(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().path().starts_with(paths::INVALIDATE) {
            return invalidation::answer(&self.cache, Port::Peer, request).await;
        }
        match (request.uri().path(), request.method()) {
            (paths::PURGE | paths::CATCH_UP | paths::PEEK | paths::PUSH | paths::ANNOUNCE | paths::ASK, method)
                if method != Method::POST =>
            {
                with_field(empty(StatusCode::METHOD_NOT_ALLOWED), header::ALLOW, "POST")
            }
            (paths::PURGE, _) => self.purge(request).await,
            (paths::CATCH_UP, _) => self.purges(request).await,
            (paths::PEEK, _) => self.peek(request).await,
            (paths::PUSH, _) => self.push(request).await,
            (paths::ANNOUNCE, _) => self.announcement(request).await,
            #[cfg(feature = "program")]
            (paths::ASK, _) => self.ask(request).await,
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    /// Tells of this coordinator, for an administrator of another one.
    #[cfg(feature = "program")]
    async fn ask(&self, request: Request<Body>) -> Response<Body> {
        let Some(inquiry) = &self.inquiry else { return empty(StatusCode::NOT_FOUND) };
        let body = match self.bodies.read(request, MAX_CALL).await {
            Ok(body) => body,
            Err(error) => return error.response(),
        };
        let Ok(ask) = serde_json::from_slice(&body) else { return empty(StatusCode::BAD_REQUEST) };
        match inquiry.answer(&ask).await {
            Ok(answer) => with_field(Response::new(Body::from(answer)), header::CONTENT_TYPE, "application/json"),
            Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
        }
    }

    async fn purge(&self, request: Request<Body>) -> Response<Body> {
        let body = match self.bodies.read(request, MAX_CALL).await {
            Ok(body) => body,
            Err(error) => return error.response(),
        };
        let Ok(call) = serde_json::from_slice::<PurgeCall>(&body) else { return empty(StatusCode::BAD_REQUEST) };
        match self.purger.receive(call).await {
            Ok(report) => json(&report),
            Err(Behind) => empty(StatusCode::CONFLICT),
        }
    }

    /// Returns the purges that the caller may have missed.
    async fn purges(&self, request: Request<Body>) -> Response<Body> {
        let session = request.extensions().get::<TlsSession>().cloned();
        let body = match self.bodies.read(request, MAX_CALL).await {
            Ok(body) => body,
            Err(error) => return error.response(),
        };
        let Ok(question) = serde_json::from_slice::<CatchUpRequest>(&body) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let names = question.from.iter().map(|peer| peer.name.as_str());
        let mut names = names.chain(question.gossip.iter().map(|gossip| gossip.from.name()));
        match names.find_map(|name| unproven(session.as_ref(), name)) {
            Some(refusal) => refusal,
            None => json(&self.purger.respond(&question)),
        }
    }

    /// Returns the stored responses of a key.
    async fn peek(&self, request: Request<Body>) -> Response<Body> {
        let question = request
            .headers()
            .get(wire::header::WIRE)
            .and_then(|value| wire::Question::parse(value.to_str().ok()?).ok())
            .unwrap_or_default();
        let key = match self.bodies.read(request, MAX_KEY).await {
            Ok(key) => key,
            Err(error) => return error.response(),
        };
        match peek::answer(&self.cache, key, Duration::from_millis(MAX_PEEK_WAIT_MS.min(question.patience))).await {
            PeekAnswer::Entries(message) => Response::new(Body::from(message)),
            PeekAnswer::Loading => empty(StatusCode::ACCEPTED),
            PeekAnswer::Nothing => empty(StatusCode::NO_CONTENT),
        }
    }

    /// Takes the entries of a coordinator that leaves.
    async fn push(&self, request: Request<Body>) -> Response<Body> {
        let began = self.cache.clock.now();
        let Ok(_place) = self.pushes.acquire().await else { return empty(StatusCode::SERVICE_UNAVAILABLE) };
        let Some(message) = transfer::read_message(request.into_body()).await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        match transfer::receive(&self.cache, &message, began).await {
            Ok(report) => json(&report),
            Err(bad) => {
                tracing::warn!(%bad, "unreadable handover");
                text(StatusCode::BAD_REQUEST, bad.to_string())
            }
        }
    }

    /// Takes an announcement. The response says whether this peer leaves: one that joins may have missed that.
    async fn announcement(&self, request: Request<Body>) -> Response<Body> {
        let session = request.extensions().get::<TlsSession>().cloned();
        let body = match self.bodies.read(request, announcements::MAX_BYTES).await {
            Ok(body) => body,
            Err(error) => return error.response(),
        };
        match serde_json::from_slice::<Announcement>(&body)
            .map_err(|error| error.to_string())
            .and_then(|announcement| announcement.problem().map_or(Ok(announcement), |bad| Err(bad.into())))
        {
            Ok(announcement) => {
                if let Some(refusal) = unproven(session.as_ref(), &announcement.peer.name) {
                    return refusal;
                }
                self.membership.receive(&announcement);
                self.membership.own_departure().map_or_else(|| empty(StatusCode::NO_CONTENT), |own| json(&own))
            }
            Err(bad) => text(StatusCode::BAD_REQUEST, bad),
        }
    }
}

/// Whether whoever reaches the port may make a call where no token is asked for: questions, peeks, and invalidations,
/// which the data port takes from all as well, one a second for a key.
fn is_for_all(path: &str) -> bool {
    !path.starts_with(paths::CONTROL) || path == paths::PEEK || path.starts_with(paths::INVALIDATE)
}

/// Refuses what a caller says under a name that is not in the certificate of its connection.
fn unproven(session: Option<&TlsSession>, name: &str) -> Option<Response<Body>> {
    let is_proven = session.is_none_or(|session| session.proves(name));
    let why = || format!("the certificate of this connection has no name `{name}`\n");
    (!is_proven).then(|| text(StatusCode::FORBIDDEN, why()))
}

fn json(report: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(report) {
        Ok(report) => with_field(Response::new(Body::from(report)), header::CONTENT_TYPE, "application/json"),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
