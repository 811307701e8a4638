//! What the coordinator counts, under the names that groupcache users have on their dashboards. docs/metrics.md says
//! what each means.

use crate::telemetry::group_metrics::Families;
pub use crate::telemetry::group_metrics::GroupMetrics;

use crate::{
    cluster::peer_lists::Problem,
    kube::endpoint_slices::Fault,
    store::usage::Usage,
    telemetry::limits::{Limit, Met},
};
use meshcache_protocol::Reason;
use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Every metric of one coordinator, on a registry of its own.
pub struct Metrics {
    registry: Registry,
    families: Families,
    groups: Mutex<HashMap<String, Arc<GroupMetrics>>>,
    /// `kubegroup_peers`: peers in the ring, this one included.
    pub peers: IntGauge,
    /// `kubegroup_events`: changes that discovery has seen.
    pub discovery_events: IntCounter,
    /// `meshcache_ring_age_seconds`: how long the Kubernetes API has not told each change of the ring; 0 while it
    /// does.
    pub ring_age: IntGauge,
    /// `meshcache_config_last_reload_successful`: 1, or 0 while the file is wrong and the configuration before it is
    /// in use.
    pub reload_successful: IntGauge,
    /// `meshcache_flights`: loads that are under way and may be joined.
    pub flights: IntGauge,
    /// `meshcache_purges_total`: purges carried out here, whoever ordered them.
    pub purges: IntCounter,
    /// `meshcache_purged_entries_total`: entries that they removed or made stale.
    pub purged_entries: IntCounter,
    /// `meshcache_purges_unreached_total`: peers that a purge ordered here did not reach.
    pub purges_unreached: IntCounter,
    purge_log: IntGauge,
    /// `meshcache_emptied_total`: how often the store was emptied because nobody knew what had been purged.
    pub emptied: IntCounter,
    /// `meshcache_silent_peers`: peers that neither answer nor refuse.
    pub silent_peers: IntGauge,
    sure: IntGauge,
    /// `meshcache_peers_failing`: peers that have not answered since they failed.
    pub peers_failing: IntGauge,
    /// `meshcache_hedges_total`: questions to the next peer while the owner was still waited for.
    pub hedges: IntCounter,
    peer_failures: IntCounterVec,
    peeks: IntCounterVec,
    peeks_answered: IntCounterVec,
    pushed: IntCounterVec,
    received: IntCounterVec,
    limits: Met,
    waiters: IntGauge,
    heads: IntGauge,
    under_way: IntGauge,
    config_info: IntGaugeVec,
    ring_info: IntGaugeVec,
    discovery_problems: IntGaugeVec,
    peer_problems: IntGaugeVec,
    connections: IntGaugeVec,
    heads_refused: IntCounterVec,
    proxy_requests: IntCounterVec,
    proxies: IntGaugeVec,
}

impl Metrics {
    /// All metrics at zero. Fails only where two have one name.
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
            "Endpoints and ports that discovery by the Kubernetes API had to leave out, by problem.",
            &["problem"],
        )?;
        let words = |counters: &IntCounterVec, words: &[&str]| {
            words.iter().for_each(|word| counters.with_label_values(&[*word]).reset())
        };
        let peer_failures = counters(
            to,
            "meshcache_peer_failures_total",
            "Calls to other coordinators that brought no answer, by reason.",
            &["reason"],
        )?;
        let peeks = counters(
            to,
            "meshcache_peeks_total",
            "Keys for which the owner before was asked, by what came of it.",
            &["outcome"],
        )?;
        let peeks_answered = counters(
            to,
            "meshcache_peeks_answered_total",
            "Keys for which a new owner asked here, by what it was told.",
            &["outcome"],
        )?;
        let pushed = counters(
            to,
            "meshcache_pushed_entries_total",
            "Entries handed over while stopping, by what became of them.",
            &["outcome"],
        )?;
        let received = counters(
            to,
            "meshcache_received_entries_total",
            "Entries that a stopping coordinator handed over, by what became of them.",
            &["outcome"],
        )?;
        words(&peer_failures, &[Reason::Refused, Reason::Reset, Reason::Timeout].map(Reason::label));
        words(&peeks, &["found", "nothing", "failed"]);
        words(&peeks_answered, &["found", "nothing", "loading"]);
        words(&pushed, &["taken"]);
        words(&received, &["taken"]);
        Fault::ALL.iter().for_each(|fault| discovery_problems.with_label_values(&[fault.word()]).set(0));
        Ok(Arc::new(Self {
            registry: to.clone(),
            families,
            groups: Mutex::default(),
            peers: one(to, IntGauge::new("kubegroup_peers", "Peers in the ring, this one included."))?,
            discovery_events: one(to, IntCounter::new("kubegroup_events", "Changes that discovery has seen."))?,
            ring_age: one(
                to,
                IntGauge::new(
                    "meshcache_ring_age_seconds",
                    "How long the Kubernetes API has not told each change of the ring; 0 while it does.",
                ),
            )?,
            reload_successful: one(
                to,
                IntGauge::new(
                    "meshcache_config_last_reload_successful",
                    "1, or 0 while the file is wrong and the configuration before it is in use.",
                ),
            )?,
            flights: one(to, IntGauge::new("meshcache_flights", "Loads that are under way and may be joined."))?,
            purges: counter(to, "meshcache_purges_total", "Purges carried out here, whoever ordered them.")?,
            purged_entries: counter(
                to,
                "meshcache_purged_entries_total",
                "Entries that purges removed or made stale here.",
            )?,
            purges_unreached: counter(
                to,
                "meshcache_purges_unreached_total",
                "Coordinators that a purge ordered here did not reach.",
            )?,
            purge_log: one(to, IntGauge::new("meshcache_purge_log", "Purges that others can still catch up from."))?,
            emptied: counter(
                to,
                "meshcache_emptied_total",
                "How often the store was emptied because nobody knew any more what had been purged.",
            )?,
            silent_peers: one(
                to,
                IntGauge::new("meshcache_silent_peers", "Coordinators that neither answer nor refuse."),
            )?,
            sure: one(
                to,
                IntGauge::new(
                    "meshcache_sure",
                    "1, or 0 while other coordinators are not heard, so that everything passes.",
                ),
            )?,
            peers_failing: one(
                to,
                IntGauge::new(
                    "meshcache_peers_failing",
                    "Other coordinators that have not answered since they failed: their keys go to the next ones.",
                ),
            )?,
            hedges: one(
                to,
                IntCounter::new(
                    "meshcache_hedges_total",
                    "Questions to the next coordinator while the owner was still waited for.",
                ),
            )?,
            peer_failures,
            peeks,
            peeks_answered,
            pushed,
            received,
            limits: Met::new(&counters(
                to,
                "meshcache_limits_met_total",
                "How often a limit of this process was met, by limit.",
                &["limit"],
            )?),
            waiters: one(to, IntGauge::new("meshcache_waiters", "Requests that wait for a flight."))?,
            heads: one(
                to,
                IntGauge::new("meshcache_heads_bytes", "Bytes of requests under way that the store does not answer."),
            )?,
            under_way: one(
                to,
                IntGauge::new("meshcache_under_way_bytes", "Bytes of bodies on their way into the store."),
            )?,
            config_info: gauges(
                to,
                "meshcache_config_info",
                "1, with the digest of the groups in a label.",
                &["digest"],
            )?,
            ring_info: gauges(to, "meshcache_ring_info", "1, with the version of the ring in a label.", &["version"])?,
            discovery_problems,
            peer_problems: gauges(
                to,
                "meshcache_peer_list_problems",
                "1 for each peer that --peers is wrong about: not heard, or not in every list.",
                &["peer", "problem"],
            )?,
            connections: gauges(to, "meshcache_connections", "Open connections, by port.", &["port"])?,
            heads_refused: counters(
                to,
                "meshcache_heads_refused_total",
                "Requests whose head has too many lines or bytes (431), by port.",
                &["port"],
            )?,
            proxy_requests: counters(
                to,
                "meshcache_proxy_requests_total",
                "Requests that proxies counted, as they told this coordinator.",
                &["group", "outcome"],
            )?,
            proxies: gauges(to, "meshcache_proxies", "Proxies heard in the last 5 seconds.", &["filter_version"])?,
        }))
    }

    /// A group's own metrics. Resolve them once and keep them: this takes a lock, what they offer does not.
    pub fn group(&self, name: &str) -> Arc<GroupMetrics> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(name) {
            return group.clone();
        }
        let group = Arc::new(GroupMetrics::new(name, &self.families));
        groups.insert(name.to_owned(), group.clone());
        group
    }

    /// Open connections of a port: `data`, `admin`, `status` or `peer`.
    pub fn connections(&self, port: &str) -> IntGauge {
        self.connections.with_label_values(&[port])
    }

    /// Heads that a port refused: `data`, `admin`, `status` or `peer`.
    pub fn heads_refused(&self, port: &str) -> IntCounter {
        self.heads_refused.with_label_values(&[port])
    }

    /// Counts that a limit was met, and says so now and then.
    pub(crate) fn met(&self, limit: Limit) {
        self.limits.note(limit);
    }

    /// Counts a call to a peer that brought no answer.
    pub fn peer_failure(&self, reason: Reason) {
        self.peer_failures.with_label_values(&[reason.label()]).inc();
    }

    /// Counts a peek by what it brought.
    pub fn peek(&self, outcome: &'static str) {
        self.peeks.with_label_values(&[outcome]).inc();
    }

    /// Counts a peek of another by what it was told.
    pub fn peek_answered(&self, outcome: &'static str) {
        self.peeks_answered.with_label_values(&[outcome]).inc();
    }

    /// Counts entries that were handed over, by outcome.
    pub fn pushed(&self, outcomes: impl Iterator<Item = (&'static str, u64)>) {
        outcomes.for_each(|(outcome, n)| self.pushed.with_label_values(&[outcome]).inc_by(n));
    }

    /// Counts entries that a peer handed over, by outcome.
    pub fn received(&self, outcomes: impl Iterator<Item = (&'static str, u64)>) {
        outcomes.for_each(|(outcome, n)| self.received.with_label_values(&[outcome]).inc_by(n));
    }

    /// Says which configuration is in use.
    pub fn set_config(&self, digest: &str) {
        info(&self.config_info, digest);
    }

    /// Says which ring is in use.
    pub fn set_ring(&self, ring: &meshcache_protocol::Ring) {
        info(&self.ring_info, &format!("{:016x}", ring.version()));
        self.peers.set(i64::try_from(ring.peers().len()).unwrap_or(i64::MAX));
    }

    /// Says how much discovery has to leave out for that problem.
    pub fn set_discovery_problems(&self, problem: &str, count: usize) {
        self.discovery_problems.with_label_values(&[problem]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Says whether there is that problem with a peer of a fixed list. Who is in no list any more leaves no series
    /// behind.
    pub fn set_peer_problem(&self, peer: &str, problem: &str, is: bool) {
        if is || problem == Problem::Unheard.label() {
            self.peer_problems.with_label_values(&[peer, problem]).set(is.into());
        } else {
            let _ = self.peer_problems.remove_label_values(&[peer, problem]);
        }
    }

    /// Adds what a proxy counted. The caller makes sure that both words are known: each is a series of its own.
    pub fn proxy_requests(&self, group: &str, outcome: &str, count: u64) {
        self.proxy_requests.with_label_values(&[group, outcome]).inc_by(count);
        self.group(group).proxy_requests(outcome, count);
    }

    /// Says how many proxies there are of each filter version.
    pub fn set_proxies(&self, by_version: impl IntoIterator<Item = (String, usize)>) {
        self.proxies.reset();
        for (version, count) in by_version {
            self.proxies.with_label_values(&[version.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Takes over what the store says of itself, just before somebody reads it.
    pub fn set_usage(&self, usage: &[Usage]) {
        for of in usage {
            self.group(&of.group).set_usage(of);
        }
    }

    /// Says whether all purges are known here, and how many others can catch up from.
    pub fn set_standing(&self, (sure, held): (bool, usize)) {
        self.sure.set(sure.into());
        self.purge_log.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// Says how many requests wait, how many bytes are on their way into the store, and how many those take that are
    /// under way.
    pub fn set_under_way(&self, (waiters, bytes, heads): (usize, u64, u64)) {
        self.heads.set(i64::try_from(heads).unwrap_or(i64::MAX));
        self.waiters.set(i64::try_from(waiters).unwrap_or(i64::MAX));
        self.under_way.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The page that Prometheus reads.
    pub fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut page = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

/// A gauge that is 1 for the one value that holds now.
fn info(gauge: &IntGaugeVec, value: &str) {
    gauge.reset();
    gauge.with_label_values(&[value]).set(1);
}

pub(super) fn one<M: Collector + Clone + 'static>(
    to: &Registry,
    metric: Result<M, prometheus::Error>,
) -> Result<M, prometheus::Error> {
    let metric = metric?;
    to.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(to: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    one(to, IntCounter::new(name, help))
}

pub(super) fn counters(
    to: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    one(to, IntCounterVec::new(Opts::new(name, help), labels))
}

pub(super) fn gauges(to: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    one(to, IntGaugeVec::new(Opts::new(name, help), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_metrics_are_resolved_once() {
        let metrics = Metrics::new().unwrap();
        assert!(Arc::ptr_eq(&metrics.group("g"), &metrics.group("g")));
        metrics.group("g").gets.inc();
        metrics.group("g").answered("hit");
        metrics.group("g").answered("hit");
        metrics.group("g").request("pass", Reason::Private);
        let page = String::from_utf8(metrics.page().unwrap()).unwrap();
        for line in [
            r#"groupcache_gets_total{group="g"} 1"#,
            r#"meshcache_requests_total{group="g",outcome="hit",reason=""} 2"#,
            r#"meshcache_requests_total{group="g",outcome="pass",reason="private"} 1"#,
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
    }

    #[test]
    fn only_the_ring_in_use_is_told() {
        let metrics = Metrics::new().unwrap();
        metrics.set_config("0123");
        metrics.set_config("4567");
        let page = String::from_utf8(metrics.page().unwrap()).unwrap();
        assert!(page.contains(r#"meshcache_config_info{digest="4567"} 1"#) && !page.contains("0123"), "{page}");
    }
}
