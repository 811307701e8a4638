//! The status port: health, metrics and the filter's modules. Plain and read-only: nothing here is secret.

use crate::{
    cache::state::Cache,
    cluster::gossip::MemberState,
    feed::Feed,
    inquiry::Readiness,
    server::{Handler, Modules, TOO_MANY_FIELDS},
    telemetry::{metrics::Metrics, namespaces::Namespaces},
};
use axum::{
    Router,
    body::Body,
    extract::{Path as PathOf, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use std::sync::Arc;
use tower_service::Service;

/// The state behind the status port.
pub struct StatusPort {
    /// The cache, for its metrics.
    pub cache: Arc<Cache>,
    /// The feed, for the number of proxies.
    pub feed: Arc<Feed>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The modules that proxies fetch.
    pub modules: Modules,
    /// Whether the coordinator is ready.
    pub readiness: Readiness,
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
            .route("/filter", get(modules))
            .route("/filter/{name}", get(module));
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
    match status.readiness.check() {
        Ok(word) => format!("{word}\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(status): State<Arc<StatusPort>>) -> Response {
    status.metrics(&Namespaces::default())
}

async fn modules(State(status): State<Arc<StatusPort>>) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], status.modules.list()).into_response()
}

async fn module(State(status): State<Arc<StatusPort>>, PathOf(name): PathOf<String>) -> Response {
    let Some(module) = status.modules.named(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let headers =
        [(header::CONTENT_TYPE, module.content_type()), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, module.bytes()).into_response()
}
