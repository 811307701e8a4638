//! `POST /why`: why a request is, or is not, answered from the cache.

use crate::{http::request_body::ControlBodies, inquiry::Inquiry};
use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use serde_json::json;

/// The longest request to explain, with its headers.
const MAX_WHY: usize = 128 * 1024;

/// Explains the request of the body.
pub(super) async fn answer(inquiry: &Inquiry, bodies: &ControlBodies, request: Request<Body>) -> Response {
    let bad = |status: StatusCode, why: &str| (status, Json(json!({"error": why}))).into_response();
    let body = match bodies.read(request, MAX_WHY).await {
        Ok(body) => body,
        Err(error) => {
            let (status, why) = error.message();
            return bad(status, why.trim_end());
        }
    };
    let asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => {
            return bad(StatusCode::BAD_REQUEST, &format!("{error}; write {{\"url\": \"http://HOST/PATH\"}}"));
        }
    };
    match Box::pin(inquiry.why(&asked)).await {
        Ok(why) => Json(why).into_response(),
        Err(wrong) => bad(StatusCode::BAD_REQUEST, &wrong.to_string()),
    }
}
