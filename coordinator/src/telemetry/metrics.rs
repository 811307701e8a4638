//! The coordinator's metrics, under the names of groupcache's dashboards. docs/metrics.md explains each.
//!
//! Long: a field, a registration and a method for each metric.

pub use crate::telemetry::group_metrics::GroupMetrics;

use crate::{
    store::usage::Usage,
    telemetry::{
        group_metrics::Families,
        limits::{LimitCounters, ProcessLimit},
        member_metrics::MemberMetrics,
        namespaces::Namespaces,
        register::{counter, counters, gauge, gauges},
        request_metrics::{Buckets, RequestMetrics},
        span_metrics::SpanCounters,
        tls_metrics::TlsMetrics,
    },
};
use meshcache_protocol::Reason;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The label of a peer that is in the own list and was not heard. Its series stays at 0 while the peer is well.
pub const UNHEARD: &str = "unheard";

/// All metrics of one coordinator, on a registry of its own.
pub struct Metrics {
    registry: Registry,
    pub(super) families: Families,
    groups: Mutex<HashMap<String, Arc<GroupMetrics>>>,
    /// `kubegroup_peers`: peers in the ring, this one included.
    pub peers: IntGauge,
    /// `kubegroup_events`: changes that discovery has seen.
    pub discovery_events: IntCounter,
    /// `meshcache_ring_age_seconds`: how long the Kubernetes API's changes have been missing; 0 while they arrive.
    pub ring_age: IntGauge,
    /// `meshcache_config_last_reload_successful`: 0 while the file is invalid and the previous groups are in use, else
    /// 1.
    pub reload_successful: IntGauge,
    /// `meshcache_flights`: loads in progress that requests may join.
    pub flights: IntGauge,
    /// `meshcache_purges_total`: purges carried out here, of any coordinator.
    pub purges: IntCounter,
    /// `meshcache_purged_entries_total`: entries that they removed or made stale.
    pub purged_entries: IntCounter,
    /// `meshcache_purges_unreached_total`: peers that a purge ordered here did not reach.
    pub purges_unreached: IntCounter,
    purge_log: IntGauge,
    /// `meshcache_store_flushes_total`: flushes of the store because missed purges could not be learnt.
    pub store_flushes: IntCounter,
    /// `meshcache_unresponsive_peers`: peers that neither answer nor refuse.
    pub unresponsive_peers: IntGauge,
    purge_lease_held: IntGauge,
    /// `meshcache_peers_failing`: peers that have not answered since they failed.
    pub peers_failing: IntGauge,
    /// `meshcache_hedges_total`: requests to the next peer while the owner had not answered yet.
    pub hedges: IntCounter,
    peer_failures: IntCounterVec,
    peeks: IntCounterVec,
    peeks_answered: IntCounterVec,
    pushed: IntCounterVec,
    received: IntCounterVec,
    /// Handshakes and certificates.
    pub(crate) tls: TlsMetrics,
    limits: LimitCounters,
    /// Recorded spans, by what became of them.
    pub(crate) spans: SpanCounters,
    waiters: IntGauge,
    heads: IntGauge,
    inflight_body_bytes: IntGauge,
    config_info: IntGaugeVec,
    ring_info: IntGaugeVec,
    discovery_problems: IntGaugeVec,
    /// Members that find each other by gossip.
    pub members: MemberMetrics,
    peer_problems: IntGaugeVec,
    connections: IntGaugeVec,
    heads_refused: IntCounterVec,
    address_failures: IntCounterVec,
    /// `meshcache_access_log_dropped_total`: lines that found no place in the queue.
    pub access_lines_dropped: IntCounter,
    pub(super) proxy_requests: IntCounterVec,
    /// Panics that native filters survived.
    pub proxy_panics: IntCounter,
    proxies: IntGaugeVec,
}

impl Metrics {
    /// Returns all metrics at zero. Fails only where two have one name.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let to = &Registry::new();
        #[cfg(target_os = "linux")]
        to.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let families = Families::new(to)?;
        let build = gauges(to, "meshcache_build_info", "1, with the version in a label.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let discovery_problems = gauges(
            to,
            "meshcache_discovery_problems",
            "Endpoints, ports and Pods that discovery by the Kubernetes API leaves out, by problem.",
            &["problem"],
        )?;
        let words = |counters: &IntCounterVec, words: &[&str]| {
            words.iter().for_each(|word| counters.with_label_values(&[*word]).reset())
        };
        let peer_failures = counters(
            to,
            "meshcache_peer_failures_total",
            "Calls to other coordinators that failed, by reason.",
            &["reason"],
        )?;
        let peeks = counters(
            to,
            "meshcache_peeks_total",
            "Keys for which the previous owner was asked, by outcome.",
            &["outcome"],
        )?;
        let peeks_answered = counters(
            to,
            "meshcache_peeks_answered_total",
            "Keys for which a new owner asked this coordinator, by outcome.",
            &["outcome"],
        )?;
        let pushed = counters(
            to,
            "meshcache_pushed_entries_total",
            "Entries handed over while stopping, by outcome.",
            &["outcome"],
        )?;
        let received = counters(
            to,
            "meshcache_received_entries_total",
            "Entries from a stopping coordinator, by outcome.",
            &["outcome"],
        )?;
        words(&peer_failures, &[Reason::Refused, Reason::Reset, Reason::Timeout].map(Reason::label));
        words(&peeks, &["found", "nothing", "failed"]);
        words(&peeks_answered, &["found", "nothing", "loading"]);
        words(&pushed, &["taken"]);
        words(&received, &["taken"]);
        Ok(Arc::new(Self {
            registry: to.clone(),
            families,
            groups: Mutex::default(),
            peers: gauge(to, "kubegroup_peers", "Peers in the ring, this one included.")?,
            discovery_events: counter(to, "kubegroup_events", "Changes that discovery has seen.")?,
            ring_age: gauge(
                to,
                "meshcache_ring_age_seconds",
                "How long changes of the ring have been missing from the Kubernetes API; 0 while they arrive.",
            )?,
            reload_successful: gauge(
                to,
                "meshcache_config_last_reload_successful",
                "0 while the file is invalid and the previous groups are in use, else 1.",
            )?,
            flights: gauge(to, "meshcache_flights", "Loads in progress that requests may join.")?,
            purges: counter(to, "meshcache_purges_total", "Purges carried out here, of any coordinator.")?,
            purged_entries: counter(to, "meshcache_purged_entries_total", "Entries removed or made stale by purges.")?,
            purges_unreached: counter(to, "meshcache_purges_unreached_total", "Peers that purges did not reach.")?,
            purge_log: gauge(
                to,
                "meshcache_purge_log",
                "Purges from which other coordinators and proxies can catch up.",
            )?,
            store_flushes: counter(
                to,
                "meshcache_store_flushes_total",
                "Flushes of the store because missed purges could not be learnt from any peer.",
            )?,
            unresponsive_peers: gauge(
                to,
                "meshcache_unresponsive_peers",
                "Coordinators that neither answer nor refuse.",
            )?,
            purge_lease_held: gauge(
                to,
                "meshcache_purge_lease_held",
                "1, or 0 while other coordinators' purges are unknown, so that everything passes.",
            )?,
            peers_failing: gauge(
                to,
                "meshcache_peers_failing",
                "Other coordinators that have failed and not answered since: their keys go to the next ones.",
            )?,
            hedges: counter(
                to,
                "meshcache_hedges_total",
                "Requests to the next coordinator while the owner had not answered yet.",
            )?,
            peer_failures,
            peeks,
            peeks_answered,
            pushed,
            received,
            spans: SpanCounters::new(&counters(
                to,
                "meshcache_spans_total",
                "Recorded spans of traces, by what became of them.",
                &["outcome"],
            )?),
            tls: TlsMetrics::new(to)?,
            limits: LimitCounters::new(&counters(
                to,
                "meshcache_limits_met_total",
                "How often a limit of this process was reached, by limit.",
                &["limit"],
            )?),
            waiters: gauge(to, "meshcache_waiters", "Requests that wait for a load of another.")?,
            heads: gauge(to, "meshcache_heads_bytes", "Bytes of requests in progress that the store does not answer.")?,
            inflight_body_bytes: gauge(
                to,
                "meshcache_inflight_body_bytes",
                "Bytes of bodies on their way into the store.",
            )?,
            config_info: gauges(to, "meshcache_config_info", "1, with the groups' digest in a label.", &["digest"])?,
            ring_info: gauges(to, "meshcache_ring_info", "1, with the version of the ring in a label.", &["version"])?,
            discovery_problems,
            members: MemberMetrics::new(to)?,
            peer_problems: gauges(
                to,
                "meshcache_peer_list_problems",
                "1 for each problem of --peers: a peer that is not heard, or not in every list.",
                &["peer", "problem"],
            )?,
            connections: gauges(to, "meshcache_connections", "Open connections, by port.", &["port"])?,
            heads_refused: counters(
                to,
                "meshcache_heads_refused_total",
                "Requests whose head has too many fields or bytes (431), by port.",
                &["port"],
            )?,
            address_failures: counters(
                to,
                "meshcache_origin_address_failures_total",
                "Connections that failed, by address, of origins with several addresses.",
                &["origin", "address"],
            )?,
            access_lines_dropped: counter(
                to,
                "meshcache_access_log_dropped_total",
                "Lines of the access log that were dropped, since what reads them is too slow.",
            )?,
            proxy_panics: counter(
                to,
                "meshcache_proxy_panics_total",
                "Panics of native filters in proxies that report to this coordinator.",
            )?,
            proxy_requests: counters(
                to,
                "meshcache_proxy_requests_total",
                "Requests counted by proxies that report to this coordinator.",
                &["group", "outcome"],
            )?,
            proxies: gauges(
                to,
                "meshcache_proxies",
                "Proxies that reported in the last 5 seconds.",
                &["filter_version"],
            )?,
        }))
    }

    /// Returns a group's metrics. Keep them: this takes a lock, counting does not.
    pub fn group(&self, name: &str) -> Arc<GroupMetrics> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(name) {
            return group.clone();
        }
        let group = Arc::new(GroupMetrics::new(name, &self.families));
        groups.insert(name.to_owned(), group.clone());
        group
    }

    /// Returns the open connections of a port: `data`, `admin`, `status` or `peer`.
    pub fn connections(&self, port: &str) -> IntGauge {
        self.connections.with_label_values(&[port])
    }

    /// Returns the heads that a port rejected: `data`, `admin`, `status` or `peer`.
    pub fn heads_refused(&self, port: &str) -> IntCounter {
        self.heads_refused.with_label_values(&[port])
    }

    /// Counts a connection to one of an origin's addresses that failed.
    pub(crate) fn count_address_failure(&self, origin: &str, address: SocketAddr) {
        self.address_failures.with_label_values(&[origin, &address.to_string()]).inc();
    }

    /// Drops the series of an address that is not in use any more.
    pub(crate) fn forget_address(&self, origin: &str, address: SocketAddr) {
        let _ = self.address_failures.remove_label_values(&[origin, &address.to_string()]);
    }

    /// Counts that a limit was reached, and logs it now and then.
    pub(crate) fn count_limit_reached(&self, limit: ProcessLimit) {
        self.limits.count(limit);
    }

    /// Counts a failed call to a peer.
    pub fn count_peer_failure(&self, reason: Reason) {
        self.peer_failures.with_label_values(&[reason.label()]).inc();
    }

    /// Counts a peek by its outcome.
    pub fn count_peek(&self, outcome: &'static str) {
        self.peeks.with_label_values(&[outcome]).inc();
    }

    /// Counts a peek of another peer by its outcome.
    pub fn count_peek_answered(&self, outcome: &'static str) {
        self.peeks_answered.with_label_values(&[outcome]).inc();
    }

    /// Counts entries that were handed over, by outcome.
    pub fn count_pushed(&self, outcomes: impl Iterator<Item = (&'static str, u64)>) {
        outcomes.for_each(|(outcome, n)| self.pushed.with_label_values(&[outcome]).inc_by(n));
    }

    /// Counts entries that came from a peer, by outcome.
    pub fn count_received(&self, outcomes: impl Iterator<Item = (&'static str, u64)>) {
        outcomes.for_each(|(outcome, n)| self.received.with_label_values(&[outcome]).inc_by(n));
    }

    /// Sets the configuration in use.
    pub fn set_config(&self, digest: &str) {
        info(&self.config_info, digest);
    }

    /// Sets the ring in use.
    pub fn set_ring(&self, ring: &meshcache_protocol::Ring) {
        info(&self.ring_info, &format!("{:016x}", ring.version()));
        self.peers.set(i64::try_from(ring.peers().len()).unwrap_or(i64::MAX));
    }

    /// Sets how many endpoints and ports discovery leaves out for a problem.
    pub fn set_discovery_problems(&self, problem: &str, count: usize) {
        self.discovery_problems.with_label_values(&[problem]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets whether a peer of `--peers` has a problem. A peer that is in no list any more leaves no series behind.
    pub fn set_peer_problem(&self, peer: &str, problem: &str, is: bool) {
        if is || problem == UNHEARD {
            self.peer_problems.with_label_values(&[peer, problem]).set(is.into());
        } else {
            let _ = self.peer_problems.remove_label_values(&[peer, problem]);
        }
    }

    /// Adds requests that a proxy counted. Both words must be known ones: each pair is a series.
    pub fn add_proxy_requests(&self, group: &str, outcome: &str, count: u64) {
        self.proxy_requests.with_label_values(&[group, outcome]).inc_by(count);
        self.group(group).add_proxy_requests(outcome, count);
    }

    /// Sets the number of proxies of each filter version.
    pub fn set_proxies(&self, by_version: impl IntoIterator<Item = (String, usize)>) {
        self.proxies.reset();
        for (version, count) in by_version {
            self.proxies.with_label_values(&[version.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets the numbers of the store, just before they are read. `now`: milliseconds.
    pub fn set_usage(&self, usage: &[Usage], now: u64) {
        for of in usage {
            self.group(&of.group).set_usage(of, now);
        }
    }

    /// Sets whether the purge lease is held, and the number of purges in the log.
    pub fn set_purge_log(&self, lease_held: bool, len: usize) {
        self.purge_lease_held.set(lease_held.into());
        self.purge_log.set(i64::try_from(len).unwrap_or(i64::MAX));
    }

    /// Sets the waiting requests, the bytes of bodies on their way into the store, and those of requests in progress.
    pub fn set_under_way(&self, (waiters, bytes, heads): (usize, u64, u64)) {
        self.heads.set(i64::try_from(heads).unwrap_or(i64::MAX));
        self.waiters.set(i64::try_from(waiters).unwrap_or(i64::MAX));
        self.inflight_body_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Adds `requests_seconds`, with these buckets.
    pub(crate) fn add_requests(&self, buckets: &Buckets) -> Result<Arc<RequestMetrics>, prometheus::Error> {
        RequestMetrics::new(&self.registry, buckets).map(Arc::new)
    }

    /// Returns the page that Prometheus reads.
    pub fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.page_with(&Namespaces::default())
    }

    /// Returns the page with namespaces before the names that kubecache has.
    pub(crate) fn page_with(&self, names: &Namespaces) -> Result<Vec<u8>, prometheus::Error> {
        let (mut page, mut families) = (Vec::with_capacity(16 * 1024), self.registry.gather());
        names.apply(&mut families);
        TextEncoder::new().encode(&families, &mut page)?;
        Ok(page)
    }
}

/// Sets a gauge to 1 for the current value, and drops the others.
fn info(gauge: &IntGaugeVec, value: &str) {
    gauge.reset();
    gauge.with_label_values(&[value]).set(1);
}
