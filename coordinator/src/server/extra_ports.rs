//! Listeners for one path each: kubecache's health and metrics.

use crate::{
    config::extra_ports::{ExtraPort, ExtraPorts, MetricsPort},
    server::{Handler, Listener, StatusPort, TOO_MANY_FIELDS},
    telemetry::metrics::Metrics,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::{net::SocketAddr, sync::Arc};
use tokio::{sync::watch, task::JoinSet};

/// The most connections of each: probes and scrapes.
const CONNECTIONS: usize = 256;

/// What serves beside the four ports, until it is dropped.
#[derive(Default)]
pub(crate) struct ExtraServers {
    tasks: JoinSet<()>,
    health: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl ExtraServers {
    /// Serves health from now on, where it is asked for.
    pub(crate) fn start(ports: &ExtraPorts, metrics: &Metrics) -> Result<Self, String> {
        let mut servers = Self::default();
        if let Some(port) = &ports.health {
            servers.health = Some(servers.add("health", ExtraRoutes::Health(Arc::new(port.clone())), metrics)?);
        }
        Ok(servers)
    }

    /// Serves the metrics of a status port, too.
    pub(crate) fn add_metrics(&mut self, ports: &ExtraPorts, status: &Arc<StatusPort>) -> Result<(), String> {
        if let Some(port) = &ports.metrics {
            let routes = ExtraRoutes::Metrics(Arc::new((port.clone(), status.clone())));
            self.metrics = Some(self.add("metrics", routes, &status.metrics)?);
        }
        Ok(())
    }

    fn add(&mut self, name: &str, routes: ExtraRoutes, metrics: &Metrics) -> Result<SocketAddr, String> {
        let (open, refused) = (metrics.connections(name), metrics.heads_refused(name));
        let listener = Listener::bind(routes.port().at, open, refused, CONNECTIONS)?;
        let address = listener.address().map_err(|error| error.to_string())?;
        let (running, drain) = watch::channel(false);
        self.tasks.spawn(async move {
            listener.serve(routes, drain).await;
            drop(running);
        });
        Ok(address)
    }

    /// Returns where health and metrics are served.
    pub(crate) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.health, self.metrics)
    }
}

/// What answers at the path.
#[derive(Clone)]
enum ExtraRoutes {
    /// `health ok`.
    Health(Arc<ExtraPort>),
    /// The metrics of the status port, under kubecache's names.
    Metrics(Arc<(MetricsPort, Arc<StatusPort>)>),
}

impl ExtraRoutes {
    fn port(&self) -> &ExtraPort {
        match self {
            Self::Health(port) => port,
            Self::Metrics(state) => &state.0.port,
        }
    }
}

impl Handler for ExtraRoutes {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> Response {
        if !self.port().has(request.uri().path()) {
            return StatusCode::NOT_FOUND.into_response();
        }
        match self {
            Self::Health(_) => "health ok\n".into_response(),
            Self::Metrics(state) => state.1.metrics(&state.0.names),
        }
    }

    fn reject(&self, _: &Request<Incoming>) -> Response {
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, format!("{}\n", TOO_MANY_FIELDS.label())).into_response()
    }
}
