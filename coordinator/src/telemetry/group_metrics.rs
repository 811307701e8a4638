//! One group's metrics, resolved once, so that counting costs no lookup by label.

use crate::{
    store::usage::Usage,
    telemetry::metrics::{counters, gauges, one},
};
use meshcache_protocol::{Reason, reason::AnyReason};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The metrics that have a label `group`: a [`GroupMetrics`] is a child of each.
pub(super) struct Families {
    gets: IntCounterVec,
    hits: IntCounterVec,
    peer_loads: IntCounterVec,
    peer_errors: IntCounterVec,
    loads: IntCounterVec,
    loads_deduped: IntCounterVec,
    local_load: IntCounterVec,
    local_load_errs: IntCounterVec,
    server_requests: IntCounterVec,
    slowest_peer: IntGaugeVec,
    loading: IntGaugeVec,
    waiting: IntGaugeVec,
    cache_bytes: IntGaugeVec,
    cache_items: IntGaugeVec,
    cache_gets: IntCounterVec,
    cache_hits: IntCounterVec,
    cache_evictions: IntCounterVec,
    cache_evictions_nonexpired: IntCounterVec,
    requests: IntCounterVec,
    not_stored: IntCounterVec,
    origin_failures: IntCounterVec,
    request_seconds: HistogramVec,
    origin_seconds: HistogramVec,
    observe_mismatches: IntCounterVec,
    client_requests: IntCounterVec,
    service_requests: IntCounterVec,
}

impl Families {
    pub(super) fn new(to: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            gets: counters(to, "groupcache_gets_total", "Requests looked up.", &["group"])?,
            hits: counters(
                to,
                "groupcache_hits_total",
                "Requests answered from this coordinator's store.",
                &["group"],
            )?,
            peer_loads: counters(
                to,
                "groupcache_peer_loads_total",
                "Answers that another coordinator gave.",
                &["group"],
            )?,
            peer_errors: counters(
                to,
                "groupcache_peer_errors_total",
                "Questions to another coordinator that failed.",
                &["group"],
            )?,
            loads: counters(to, "groupcache_loads_total", "Lookups that the store could not answer.", &["group"])?,
            loads_deduped: counters(
                to,
                "groupcache_loads_deduped_total",
                "Loads that were really begun: lookups that joined one do not count.",
                &["group"],
            )?,
            local_load: counters(
                to,
                "groupcache_local_load_total",
                "Loads from the origin that succeeded.",
                &["group"],
            )?,
            local_load_errs: counters(
                to,
                "groupcache_local_load_errs_total",
                "Loads from the origin that failed.",
                &["group"],
            )?,
            server_requests: counters(
                to,
                "groupcache_server_requests_total",
                "Questions that came from other coordinators.",
                &["group"],
            )?,
            slowest_peer: gauges(
                to,
                "groupcache_get_from_peers_latency_slowest_milliseconds",
                "The longest that another coordinator took to answer.",
                &["group"],
            )?,
            loading: gauges(
                to,
                "meshcache_loads",
                "Loads from the origin under way: what maxLoads bounds.",
                &["group"],
            )?,
            waiting: gauges(to, "meshcache_loads_waiting", "Loads that wait for a place among them.", &["group"])?,
            cache_bytes: gauges(
                to,
                "groupcache_cache_bytes",
                "Bytes held: key, headers, body and bookkeeping.",
                &["group", "type"],
            )?,
            cache_items: gauges(to, "groupcache_cache_items", "Answers held.", &["group", "type"])?,
            cache_gets: counters(to, "groupcache_cache_gets_total", "Lookups in the store.", &["group", "type"])?,
            cache_hits: counters(
                to,
                "groupcache_cache_hits_total",
                "Lookups in the store that found a fresh answer.",
                &["group", "type"],
            )?,
            cache_evictions: counters(
                to,
                "groupcache_cache_evictions_total",
                "Answers dropped for want of room or because they had expired.",
                &["group", "type"],
            )?,
            cache_evictions_nonexpired: counters(
                to,
                "groupcache_cache_evictions_nonexpired_total",
                "Answers dropped for want of room while they were of use.",
                &["group", "type"],
            )?,
            requests: counters(
                to,
                "meshcache_requests_total",
                "Requests answered, by outcome and its reason.",
                &["group", "outcome", "reason"],
            )?,
            not_stored: counters(
                to,
                "meshcache_not_stored_total",
                "Answers that were not stored, by reason.",
                &["group", "reason"],
            )?,
            origin_failures: counters(
                to,
                "meshcache_origin_failures_total",
                "Requests to the origin, loads and those that pass, that brought no answer, by reason.",
                &["group", "reason"],
            )?,
            observe_mismatches: counters(
                to,
                "meshcache_observe_mismatch_total",
                "Responses that passed in a group that observes, and that differ from what would have been answered.",
                &["group"],
            )?,
            client_requests: counters(
                to,
                "meshcache_client_requests_total",
                "What clients asked of a group, counted where it came in: at a proxy, or at this coordinator by a plain client.",
                &["group", "from"],
            )?,
            service_requests: counters(
                to,
                "meshcache_service_requests_total",
                "Requests that reached the service for them: loads, refreshes in the background, and what passed.",
                &["group", "cause"],
            )?,
            request_seconds: histograms(
                to,
                "meshcache_request_duration_seconds",
                "From a request's head to its answer's head.",
            )?,
            origin_seconds: histograms(
                to,
                "meshcache_origin_duration_seconds",
                "From a load's begin to its answer's head.",
            )?,
        })
    }
}

/// From half a millisecond, which a hit should stay below, to the time that a slow origin takes.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What one group counts. The fields are groupcache's statistics under groupcache's names.
pub struct GroupMetrics {
    /// Requests looked up.
    pub gets: IntCounter,
    /// Requests answered from this coordinator's store.
    pub hits: IntCounter,
    /// Answers that another coordinator gave.
    pub peer_loads: IntCounter,
    /// Questions to another coordinator that failed.
    pub peer_errors: IntCounter,
    /// Lookups that the store could not answer: gets - hits.
    pub loads: IntCounter,
    /// Loads that were really begun, from a peer or the origin: lookups that joined one do not count.
    pub loads_deduped: IntCounter,
    /// Loads from the origin that succeeded.
    pub local_load: IntCounter,
    /// Loads from the origin that failed.
    pub local_load_errs: IntCounter,
    /// Questions that came from other coordinators.
    pub server_requests: IntCounter,
    /// What plain clients asked, that the cache may answer. Neither questions nor hops.
    pub from_clients: IntCounter,
    /// What proxies' clients asked, as the proxies say.
    pub from_proxies: IntCounter,
    /// Requests to the service for which somebody waits.
    pub service_loads: IntCounter,
    /// Requests to the service in the background: for what is stale, or to see whether an answer may be shared by now.
    pub service_refreshes: IntCounter,
    /// Requests of clients that went on to the service, here and at proxies.
    pub service_passes: IntCounter,
    /// From a request's head to its answer's head, seconds.
    pub request_seconds: Histogram,
    /// From a load's begin to its answer's head, seconds.
    pub origin_seconds: Histogram,
    /// Loads from the origin that are under way: those that `maxLoads` counts.
    pub loading: IntGauge,
    /// Loads that wait for a place among them.
    pub waiting: IntGauge,
    /// Responses that differ from what would have been answered, in a group that observes.
    pub observe_mismatches: IntCounter,
    main: CacheMetrics,
    slowest_peer: IntGauge,
    slowest_ms: AtomicU64,
    requests: Labelled<2>,
    not_stored: Labelled<1>,
    origin_failures: Labelled<1>,
}

/// What a part of the store says of itself, for one group.
struct CacheMetrics {
    bytes: IntGauge,
    items: IntGauge,
    gets: IntCounter,
    hits: IntCounter,
    evictions: IntCounter,
    evictions_nonexpired: IntCounter,
}

impl GroupMetrics {
    pub(super) fn new(name: &str, families: &Families) -> Self {
        let counter = |family: &IntCounterVec| family.with_label_values(&[name]);
        let cache = |kind: &str| CacheMetrics {
            bytes: families.cache_bytes.with_label_values(&[name, kind]),
            items: families.cache_items.with_label_values(&[name, kind]),
            gets: families.cache_gets.with_label_values(&[name, kind]),
            hits: families.cache_hits.with_label_values(&[name, kind]),
            evictions: families.cache_evictions.with_label_values(&[name, kind]),
            evictions_nonexpired: families.cache_evictions_nonexpired.with_label_values(&[name, kind]),
        };
        // groupcache's hot cache holds what another peer owns. Here that is in the proxies: always 0, so that
        // dashboards find their series.
        cache("hot");
        // There before the first one: an alert sees it rise.
        for reason in [Reason::Connect, Reason::Dns, Reason::Tls, Reason::Timeout, Reason::Reset] {
            families.origin_failures.with_label_values(&[name, reason.label()]);
        }
        Self {
            gets: counter(&families.gets),
            hits: counter(&families.hits),
            peer_loads: counter(&families.peer_loads),
            peer_errors: counter(&families.peer_errors),
            loads: counter(&families.loads),
            loads_deduped: counter(&families.loads_deduped),
            local_load: counter(&families.local_load),
            local_load_errs: counter(&families.local_load_errs),
            server_requests: counter(&families.server_requests),
            from_clients: families.client_requests.with_label_values(&[name, "client"]),
            from_proxies: families.client_requests.with_label_values(&[name, "proxy"]),
            service_loads: families.service_requests.with_label_values(&[name, "load"]),
            service_refreshes: families.service_requests.with_label_values(&[name, "refresh"]),
            service_passes: families.service_requests.with_label_values(&[name, "pass"]),
            request_seconds: families.request_seconds.with_label_values(&[name]),
            origin_seconds: families.origin_seconds.with_label_values(&[name]),
            observe_mismatches: counter(&families.observe_mismatches),
            loading: families.loading.with_label_values(&[name]),
            waiting: families.waiting.with_label_values(&[name]),
            main: cache("main"),
            slowest_peer: families.slowest_peer.with_label_values(&[name]),
            slowest_ms: AtomicU64::new(0),
            requests: Labelled::new(name, &families.requests),
            not_stored: Labelled::new(name, &families.not_stored),
            origin_failures: Labelled::new(name, &families.origin_failures),
        }
    }

    /// Counts a request by its outcome and the reason for it.
    pub fn request(&self, outcome: &'static str, reason: impl Into<AnyReason>) {
        self.requests.inc([outcome, reason.into().label()]);
    }

    /// Counts a request that needs no reason.
    pub fn answered(&self, outcome: &'static str) {
        self.requests.inc([outcome, ""]);
    }

    /// How many requests clients have made, and how many of them the service did not see. Less than none where it has
    /// seen more than that: loads here may be for what was asked elsewhere, so only the sum over all coordinators
    /// is the truth.
    pub fn saved(&self) -> (u64, i64) {
        let sum = |counters: &[&IntCounter]| counters.iter().map(|counter| counter.get()).sum::<u64>();
        let requests = sum(&[&self.from_clients, &self.from_proxies]);
        let seen = sum(&[&self.service_loads, &self.service_refreshes, &self.service_passes]);
        (requests, i64::try_from(requests).unwrap_or(i64::MAX).saturating_sub(i64::try_from(seen).unwrap_or(i64::MAX)))
    }

    /// Takes what a proxy counted of its clients' requests.
    pub(super) fn proxy_requests(&self, outcome: &str, count: u64) {
        if matches!(outcome, "hot" | "hit" | "stale" | "miss" | "revalidated" | "pass" | "failed") {
            self.from_proxies.inc_by(count);
        }
        if matches!(outcome, "pass" | "failed") {
            self.service_passes.inc_by(count);
        }
    }

    /// Counts an answer that is not stored.
    pub fn not_stored(&self, reason: Reason) {
        self.not_stored.inc([reason.label()]);
    }

    /// Counts a request to the origin that brought no answer.
    pub fn origin_failure(&self, reason: Reason) {
        self.origin_failures.inc([reason.label()]);
    }

    /// Takes over what the store says of itself.
    pub(super) fn set_usage(&self, usage: &Usage) {
        let set = |gauge: &IntGauge, n: u64| gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        set(&self.main.bytes, usage.bytes);
        set(&self.main.items, usage.items);
        let raise = |counter: &IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        raise(&self.main.gets, usage.gets);
        raise(&self.main.hits, usage.hits);
        raise(&self.main.evictions, usage.evictions);
        raise(&self.main.evictions_nonexpired, usage.evictions_nonexpired);
    }

    /// Notes how long another coordinator took to answer.
    pub fn from_peer(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let slowest = self.slowest_ms.fetch_max(ms, Ordering::Relaxed).max(ms);
        self.slowest_peer.set(i64::try_from(slowest).unwrap_or(i64::MAX));
    }
}

/// Counters by words that are known only when they are first said. Reading takes no lock: a slot is set once and stays.
struct Labelled<const N: usize> {
    group: String,
    family: IntCounterVec,
    slots: [OnceLock<([&'static str; N], IntCounter)>; 48],
}

impl<const N: usize> Labelled<N> {
    fn new(group: &str, family: &IntCounterVec) -> Self {
        Self { group: group.to_owned(), family: family.clone(), slots: [const { OnceLock::new() }; 48] }
    }

    fn inc(&self, words: [&'static str; N]) {
        for slot in &self.slots {
            let (own, counter) = slot.get_or_init(|| (words, self.counter(words)));
            if *own == words {
                return counter.inc();
            }
        }
        self.counter(words).inc();
    }

    fn counter(&self, words: [&'static str; N]) -> IntCounter {
        let mut labels = vec![self.group.as_str()];
        labels.extend(words);
        self.family.with_label_values(&labels)
    }
}

fn histograms(to: &Registry, name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
    one(to, HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &["group"]))
}
