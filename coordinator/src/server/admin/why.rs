//! `POST /why`: why a request is, or is not, answered from the cache.

use crate::server::AdminPort;
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use serde_json::json;
use std::sync::Arc;

/// The longest request to explain, with its headers.
const MAX_WHY: usize = 128 * 1024;

/// Explains the request of the body.
pub(super) async fn answer(State(admin): State<Arc<AdminPort>>, request: Request<Body>) -> Response {
    let bad = |status: StatusCode, why: &str| (status, Json(json!({"error": why}))).into_response();
    let body = match admin.bodies.read(request, MAX_WHY).await {
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
    match Box::pin(admin.inquiry.why(&asked)).await {
        Ok(why) => Json(why).into_response(),
        Err(wrong) => bad(StatusCode::BAD_REQUEST, &wrong.to_string()),
    }
}
