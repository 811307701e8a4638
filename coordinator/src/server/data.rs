//! The data port: requests of proxies, plain clients, and the feed.

use crate::{
    cache::{invalidation, lookup, pass_reason::PassReason, response, state::Cache},
    feed::{Feed, Unavailable},
    http::{
        body::Body,
        names,
        reply::{empty, text, with_field},
        request_body::ControlBodies,
    },
    server::{Handler, TOO_MANY_FIELDS, watched::watched},
    settings::Port,
    telemetry::{request_end::RequestEnds, request_metrics::RequestMetrics},
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use meshcache_protocol::{feed::FeedRequest, paths, wire};
use std::{sync::Arc, time::Instant};

/// The longest feed request: a thousand groups with all their outcomes.
const MAX_FEED_QUESTION: usize = 512 * 1024;

/// The state behind the data port.
#[derive(Clone)]
pub struct DataPort {
    /// Answers requests.
    pub cache: Arc<Cache>,
    /// Answers feed requests.
    pub feed: Arc<Feed>,
    /// Bodies of control calls, which any client may send.
    pub(crate) bodies: Arc<ControlBodies>,
    /// Records plain clients' requests.
    pub(crate) requests: Option<Arc<RequestMetrics>>,
    /// What wants to know of requests that have ended.
    pub(crate) ends: Option<Arc<RequestEnds>>,
}

impl Handler for DataPort {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let request = request.map(Body::from);
        if request.uri().path().starts_with(paths::CONTROL) {
            // Boxed: what is rare must not make the futures of all requests large.
            return Box::pin(self.control(request)).await;
        }
        watched(self.ends.as_ref(), Port::Data, request, |request| self.answer(request)).await
    }

    fn reject(&self, request: &Request<Incoming>) -> Response<Body> {
        too_many_fields(&self.cache, request)
    }
}

/// Rejects a head with too many fields. A proxy or a peer passes its client's request on itself.
pub(super) fn too_many_fields(cache: &Cache, request: &Request<Incoming>) -> Response<Body> {
    if request.headers().contains_key(&names::WIRE) {
        return response::decline(&PassReason::new(TOO_MANY_FIELDS, ""));
    }
    response::refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_MANY_FIELDS, &cache.names)
}

impl DataPort {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let Some(requests) = self.requests.as_ref().filter(|_| !request.headers().contains_key(&names::WIRE)) else {
            return lookup::answer(&self.cache, Port::Data, request).await;
        };
        let (began, method, uri) = (Instant::now(), request.method().clone(), request.uri().clone());
        let response = lookup::answer(&self.cache, Port::Data, request).await;
        requests.record(method.as_str(), response.status().as_u16(), uri.path(), began.elapsed());
        response
    }

    async fn control(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().path().starts_with(paths::INVALIDATE) {
            return invalidation::answer(&self.cache, Port::Data, request).await;
        }
        if request.uri().path() != paths::FEED {
            return empty(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::POST {
            return with_field(empty(StatusCode::METHOD_NOT_ALLOWED), header::ALLOW, "POST");
        }
        let body = match self.bodies.read(request, MAX_FEED_QUESTION).await {
            Ok(body) => body,
            Err(error) => return error.response(),
        };
        let question: FeedRequest = match serde_json::from_slice(&body) {
            Ok(question) => question,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        // A later version is answered in this one: during an upgrade or a downgrade the filter understands that.
        if question.wire < wire::OLDEST {
            return text(
                StatusCode::BAD_REQUEST,
                format!("feed version {} is not supported ({} and later)", question.wire, wire::OLDEST),
            );
        }
        let answer = match self.feed.answer(question).await {
            Ok(answer) => answer,
            Err(Unavailable::NoLease) => {
                return text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "this coordinator does not hear the others: ask one of them".into(),
                );
            }
            Err(Unavailable::NoMemory) => {
                return with_field(
                    text(StatusCode::SERVICE_UNAVAILABLE, "no memory for the response now".into()),
                    header::RETRY_AFTER,
                    "1",
                );
            }
        };
        let mut response = with_field(Response::new(Body::from(answer.json)), header::CONTENT_TYPE, "application/json");
        if let Some(own) = answer.own_address {
            response.headers_mut().insert(wire::header::SELF, own);
        }
        response
    }
}
