//! Calls of other nodes in a server of one's own.

use crate::{
    http::body::{Body, Cut},
    server::PeerPort,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http_body_util::BodyExt;
use meshcache_protocol::{paths, wire};

/// Returns a router that answers calls of other nodes, and gives all other requests to `app`.
pub fn mount(port: PeerPort, app: Router) -> Router {
    app.layer(from_fn(move |request: Request, next: Next| {
        let port = port.clone();
        async move { if is_call(&request) { answer(&port, request).await } else { next.run(request).await } }
    }))
}

/// Whether a request is another node's: no client sends these paths and this field.
fn is_call(request: &Request) -> bool {
    request.uri().path().starts_with(paths::CONTROL) || request.headers().contains_key(wire::header::WIRE)
}

async fn answer(port: &PeerPort, request: Request) -> Response {
    let request = request.map(|body| {
        if http_body::Body::is_end_stream(&body) {
            Body::empty()
        } else {
            Body::stream(body.map_err(|_| Cut("the node left")))
        }
    });
    port.answer(request).await.map(axum::body::Body::new)
}
