//! The data port: questions from proxies, plain clients, and the feed.

use crate::{
    cache::{invalidation, pass_reason::Aside, response, state::Cache},
    feed::{Feed, Unanswered},
    http::{
        body::Body,
        reply::{empty, text, with},
    },
    server::{Answer, TOO_MANY_LINES},
    settings::Door,
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use meshcache_protocol::{feed::FeedQuestion, wire};
use std::sync::Arc;

/// The longest feed question: a thousand groups with all their outcomes.
const QUESTION: usize = 512 * 1024;

/// What the data port needs.
#[derive(Clone)]
pub struct Data {
    /// Answers questions and plain requests.
    pub cache: Arc<Cache>,
    /// Answers the feed's.
    pub feed: Arc<Feed>,
}

impl Answer for Data {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path().starts_with(wire::CONTROL_PATH) {
            return self.control(request).await;
        }
        self.cache.answer(Door::Data, request).await
    }

    fn refuse(&self, request: &Request<Incoming>) -> Response<Body> {
        too_many_lines(&self.cache, request)
    }
}

/// Refuses a head with too many lines. Who asks for somebody else goes on by itself.
pub(super) fn too_many_lines(cache: &Cache, request: &Request<Incoming>) -> Response<Body> {
    if request.headers().contains_key(wire::header::WIRE) {
        return response::hand_back(&Aside::new(TOO_MANY_LINES, ""));
    }
    response::refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_MANY_LINES, &cache.names)
}

impl Data {
    async fn control(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path().starts_with(wire::INVALIDATE_PATH) {
            return invalidation::answer(&self.cache, Door::Data, request).await;
        }
        if request.uri().path() != wire::FEED_PATH {
            return empty(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::POST {
            return with(empty(StatusCode::METHOD_NOT_ALLOWED), header::ALLOW, "POST");
        }
        let body = match self.cache.unread.whole(request, QUESTION).await {
            Ok(body) => body,
            Err(unreadable) => return unreadable.response(),
        };
        let question: FeedQuestion = match serde_json::from_slice(&body) {
            Ok(question) => question,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        // A later version is answered in this one: in the middle of an upgrade, or back from it, the filter understands
        // that.
        if question.wire < wire::OLDEST {
            return text(
                StatusCode::BAD_REQUEST,
                format!("wire version {} is not spoken here ({} and later)", question.wire, wire::OLDEST),
            );
        }
        let answer = match self.feed.answer(question).await {
            Ok(answer) => answer,
            Err(Unanswered::Unsure) => {
                return text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the other coordinators are not heard: ask one of them".into(),
                );
            }
            Err(Unanswered::Full) => {
                return with(
                    text(StatusCode::SERVICE_UNAVAILABLE, "there is no room for the answer now".into()),
                    header::RETRY_AFTER,
                    "1",
                );
            }
        };
        let mut response = with(Response::new(Body::from(answer.json)), header::CONTENT_TYPE, "application/json");
        if let Some(own) = answer.own_address {
            response.headers_mut().insert(wire::header::SELF, own);
        }
        response
    }
}
