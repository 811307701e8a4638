//! The status port: health, metrics and the filter. Plain and read-only: nothing here is secret.

use crate::{
    cache::state::Cache,
    feed::Feed,
    kube::Followed,
    server::{Answer, TOO_MANY_LINES},
    telemetry::metrics::Metrics,
};
use axum::{
    Router,
    body::Body,
    extract::{Path as PathOf, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tower_service::Service;

/// What the status port shows.
pub struct Status {
    /// The store's numbers.
    pub cache: Arc<Cache>,
    /// The proxies' numbers.
    pub feed: Arc<Feed>,
    /// All numbers.
    pub metrics: Arc<Metrics>,
    /// The module that proxies fetch.
    pub filter: Option<Filter>,
    /// What discovery by the Kubernetes API knows, where it is in use.
    pub kube: Option<Followed>,
    /// Whether the process is about to stop.
    pub stopping: Arc<AtomicBool>,
}

/// A module under its own digest: who has the digest knows what it gets.
pub struct Filter {
    /// SHA-256, lower case hexadecimal.
    pub digest: String,
    module: Bytes,
}

impl Filter {
    /// Reads the module. The error is one line that names the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let module = std::fs::read(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
        let digest = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { digest, module: module.into() })
    }
}

/// The port's routes.
#[derive(Clone)]
pub(crate) struct Routes(Router);

impl Status {
    /// What answers on the port.
    pub(crate) fn routes(self) -> Routes {
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/filter/{name}", get(filter));
        Routes(router.with_state(Arc::new(self)))
    }
}

impl Answer for Routes {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response {
        match self.0.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn refuse(&self, _: &Request<Incoming>) -> Response {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, format!("{}\n", TOO_MANY_LINES.label())).into_response()
    }
}

async fn ready(State(status): State<Arc<Status>>) -> Response {
    if status.stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match status.kube.as_ref().map(Followed::readiness) {
        None => "ready\n".into_response(),
        Some(Ok(word)) => format!("{word}\n").into_response(),
        Some(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    status.feed.count_proxies();
    status.metrics.set_usage(&status.cache.usage());
    status.metrics.set_standing(status.cache.consistency.standing());
    status.metrics.set_under_way(status.cache.in_flight());
    match status.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn filter(State(status): State<Arc<Status>>, PathOf(name): PathOf<String>) -> Response {
    match &status.filter {
        Some(filter) if name.strip_suffix(".wasm") == Some(&filter.digest) => {
            let headers = [
                (header::CONTENT_TYPE, "application/wasm"),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, filter.module.clone()).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
