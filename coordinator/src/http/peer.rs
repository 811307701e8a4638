//! The peer port: calls between coordinators. Who has no token is told nothing.

use super::{
    Answer,
    data::{empty, whole, with},
};
use crate::{
    body::Body,
    cache::{Cache, Door},
    purge::{self, Call, Purger, watch},
    token::Tokens,
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use meshcache_protocol::wire;
use std::sync::Arc;

/// The longest purge, and what it grows by on its way.
const CALL: usize = 2 * 1024 * 1024;

/// What the peer port needs.
#[derive(Clone)]
pub struct PeerPort {
    /// Answers questions that a peer passes on.
    pub cache: Arc<Cache>,
    /// Carries out purges.
    pub purger: Arc<Purger>,
    /// The tokens of peers.
    pub tokens: Arc<Tokens>,
}

impl Answer for PeerPort {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if !self.tokens.admit_bearer(request.headers()) {
            return with(empty(StatusCode::UNAUTHORIZED), header::WWW_AUTHENTICATE, "Bearer");
        }
        if request.uri().path().starts_with(wire::CONTROL_PATH) {
            return self.control(request).await;
        }
        self.cache.answer(Door::Peer, request).await
    }
}

impl PeerPort {
    async fn control(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match (path.as_str(), request.method()) {
            (purge::PATH | watch::PATH, &Method::POST) => {}
            (purge::PATH | watch::PATH, _) => return with(empty(StatusCode::METHOD_NOT_ALLOWED), header::ALLOW, "POST"),
            _ => return empty(StatusCode::NOT_FOUND),
        }
        let body = match whole(request.into_body(), CALL).await {
            Ok(body) => body,
            Err(status) => return empty(status),
        };
        let answer = if path == watch::PATH {
            serde_json::from_slice(&body).map(|question| serde_json::to_vec(&self.purger.since(&question)))
        } else {
            match serde_json::from_slice::<Call>(&body) {
                Ok(call) => match self.purger.here(call).await {
                    Ok(report) => Ok(serde_json::to_vec(&report)),
                    Err(purge::Behind) => return empty(StatusCode::CONFLICT),
                },
                Err(error) => Err(error),
            }
        };
        match answer {
            Ok(Ok(json)) => with(Response::new(Body::from(json)), header::CONTENT_TYPE, "application/json"),
            Ok(Err(_)) => empty(StatusCode::INTERNAL_SERVER_ERROR),
            Err(_) => empty(StatusCode::BAD_REQUEST),
        }
    }
}
