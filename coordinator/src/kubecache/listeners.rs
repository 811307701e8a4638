//! Where kubecache listens, and where what it has not listens: the admin and the status port.

use super::variables::{BadVariable, Variables};
use crate::{
    config::extra_ports::{ExtraPort, ExtraPorts, MetricsPort},
    telemetry::{namespaces::Namespaces, request_metrics::Buckets},
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first port that is tried for what kubecache has not.
const FIRST_OWN: u16 = 8081;

/// The addresses of all ports.
pub(super) struct Listeners {
    pub(super) data: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) status: SocketAddr,
    pub(super) extra: ExtraPorts,
    /// The buckets of the requests' histogram; `None`: PROMETHEUS_ENABLE is false.
    pub(super) buckets: Option<Buckets>,
}

impl Listeners {
    pub(super) fn read(from: &mut Variables<'_>) -> Result<Self, BadVariable> {
        let data = address(from, "LISTEN_ADDR", 8080)?;
        let peer = peer(from)?;
        let health = ExtraPort { at: address(from, "HEALTH_ADDR", 8888)?, path: path(from, "HEALTH_PATH", "/health")? };
        let metrics =
            ExtraPort { at: address(from, "METRICS_ADDR", 3000)?, path: path(from, "METRICS_PATH", "/metrics")? };
        let own = namespace(from, "METRICS_NAMESPACE")?;
        let kubegroup = namespace(from, "KUBEGROUP_METRICS_NAMESPACE")?;
        let buckets = buckets(from)?;
        let is_measured = from.bool("PROMETHEUS_ENABLE", true)?;
        let taken = [data, peer, health.at, metrics.at].map(|at| at.port());
        let mut free = (FIRST_OWN..).filter(|port| !taken.contains(port));
        let (admin, status) = (free.next().unwrap_or_default(), free.next().unwrap_or_default());
        Ok(Self {
            data,
            peer,
            admin: (Ipv4Addr::LOCALHOST, admin).into(),
            status: everywhere(status),
            extra: ExtraPorts {
                health: Some(health),
                metrics: is_measured.then_some(MetricsPort { port: metrics, names: Namespaces { own, kubegroup } }),
            },
            buckets: is_measured.then_some(buckets),
        })
    }
}

fn everywhere(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

fn address(from: &Variables<'_>, name: &str, default: u16) -> Result<SocketAddr, BadVariable> {
    let Some(text) = from.text(name)? else { return Ok(everywhere(default)) };
    let bad = || BadVariable::new(name, format!("`{text}` is not :PORT or IP:PORT, for example :{default}"));
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    match host {
        "" => Ok(everywhere(port)),
        "localhost" => Ok((Ipv4Addr::LOCALHOST, port).into()),
        _ => text.parse().map_err(|_| bad()),
    }
}

/// The peer port is the same at all pods: kubecache puts this text behind their addresses.
fn peer(from: &Variables<'_>) -> Result<SocketAddr, BadVariable> {
    let name = "GROUPCACHE_PORT";
    let Some(text) = from.text(name)? else { return Ok(everywhere(5000)) };
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
    port.map(everywhere).ok_or_else(|| BadVariable::new(name, format!("`{text}` is not :PORT, for example :5000")))
}

fn path(from: &Variables<'_>, name: &str, default: &str) -> Result<String, BadVariable> {
    let path = from.text(name)?.unwrap_or(default);
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err(BadVariable::new(name, format!("`{path}` does not begin with `/`, for example {default}")))
    }
}

fn namespace(from: &Variables<'_>, name: &str) -> Result<String, BadVariable> {
    let text = from.text(name)?.unwrap_or_default();
    if Namespaces::is_one(text) {
        Ok(text.to_owned())
    } else {
        Err(BadVariable::new(name, format!("`{text}` cannot stand in a metric's name (letters, digits, `_`, `:`)")))
    }
}

fn buckets(from: &mut Variables<'_>) -> Result<Buckets, BadVariable> {
    let name = "METRICS_BUCKETS_LATENCY_HTTP";
    let numbers = from.value(name, "a list of numbers such as 0.1,1,10", None, |text| {
        let items = text.split(',').filter(|item| !item.is_empty());
        items.map(|item| item.trim().parse().ok()).collect::<Option<Vec<f64>>>().map(Some)
    })?;
    match numbers {
        None => Ok(Buckets::default()),
        Some(numbers) => Buckets::new(numbers).map_err(|what| BadVariable::new(name, what)),
    }
}
