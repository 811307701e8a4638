//! The status port: health, metrics and the filter. Plain and read-only: nothing here is secret.

use crate::{
    cache::state::Cache,
    cluster::gossip::MemberState,
    feed::Feed,
    kube::KubeDiscovery,
    server::{Handler, TOO_MANY_FIELDS},
    telemetry::{metrics::Metrics, namespaces::Namespaces},
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
use ring::digest::{SHA256, digest};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tower_service::Service;

/// The state behind the status port.
pub struct StatusPort {
    /// The cache, for its metrics.
    pub cache: Arc<Cache>,
    /// The feed, for the number of proxies.
    pub feed: Arc<Feed>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The module that proxies fetch.
    pub filter: Option<Filter>,
    /// Discovery by the Kubernetes API, where it is in use.
    pub kube: Option<KubeDiscovery>,
    /// Whether the process is about to stop.
    pub stopping: Arc<AtomicBool>,
}

/// A module, served under its own digest: a proxy that has the digest can check what it gets.
pub struct Filter {
    /// SHA-256, lower case hexadecimal.
    pub digest: String,
    module: Bytes,
}

impl Filter {
    /// Reads the module. The error is one line that names the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let module = std::fs::read(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
        let digest = digest(&SHA256, &module).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { digest, module: module.into() })
    }
}

/// The port's routes.
#[derive(Clone)]
pub(crate) struct StatusRoutes(Router);

impl StatusPort {
    /// Returns the port's routes.
    pub(crate) fn routes(self: Arc<Self>) -> StatusRoutes {
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/filter/{name}", get(filter));
        StatusRoutes(router.with_state(self))
    }

    /// Returns the metrics, with namespaces before kubecache's names.
    pub(super) fn metrics(&self, names: &Namespaces) -> Response {
        self.feed.count_proxies();
        self.metrics.set_usage(&self.cache.usage(), self.cache.clock.now());
        let consistency = &self.cache.consistency;
        self.metrics.set_purge_log(consistency.holds_lease(), consistency.log_len());
        self.metrics.set_under_way(self.cache.in_flight());
        if let Some(gossiper) = self.cache.cluster.gossiper() {
            let view = gossiper.view();
            for state in MemberState::ALL {
                self.metrics.members.set(state.label(), view.iter().filter(|member| member.state == state).count());
            }
        }
        match self.metrics.page_with(names) {
            Ok(page) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

impl Handler for StatusRoutes {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response {
        match self.0.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn reject(&self, _: &Request<Incoming>) -> Response {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, format!("{}\n", TOO_MANY_FIELDS.label())).into_response()
    }
}

async fn ready(State(status): State<Arc<StatusPort>>) -> Response {
    if status.stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let gossiper = status.cache.cluster.gossiper();
    let of_gossip = gossiper.map(|gossiper| gossiper.readiness(status.cache.consistency.holds_lease()));
    match status.kube.as_ref().map(KubeDiscovery::readiness).or(of_gossip) {
        None => "ready\n".into_response(),
        Some(Ok(word)) => format!("{word}\n").into_response(),
        Some(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(status): State<Arc<StatusPort>>) -> Response {
    status.metrics(&Namespaces::default())
}

async fn filter(State(status): State<Arc<StatusPort>>, PathOf(name): PathOf<String>) -> Response {
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
