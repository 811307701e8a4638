//! One group's metrics, resolved once, so that counting needs no lookup by label.
//!
//! Long: each metric has its name, its help and its place here, and nowhere else.

use crate::{
    store::{CacheType, usage::Usage},
    telemetry::{
        cache_metrics::CacheMetrics,
        labelled::LabelledCounters,
        register::{counters, gauges, histograms},
        slowest_peer::SlowestPeer,
        token_metrics::{TokenFamilies, TokenMetrics},
        trace::note_outcome,
    },
};
use meshcache_protocol::{Reason, reason::AnyReason};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// The metrics with a label `group`: a [`GroupMetrics`] is a child of each.
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
    crosstalk_refusals: IntCounterVec,
    slowest_peer: IntGaugeVec,
    loading: IntGaugeVec,
    waiting: IntGaugeVec,
    cache_bytes: IntGaugeVec,
    cache_items: IntGaugeVec,
    cache_gets: IntCounterVec,
    cache_hits: IntCounterVec,
    cache_evictions: IntCounterVec,
    cache_evictions_nonexpired: IntCounterVec,
    pub(super) requests: IntCounterVec,
    pub(super) not_stored: IntCounterVec,
    continued: IntCounterVec,
    origin_failures: IntCounterVec,
    fills: IntCounterVec,
    tokens: TokenFamilies,
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
            peer_loads: counters(to, "groupcache_peer_loads_total", "Responses from other coordinators.", &["group"])?,
            peer_errors: counters(
                to,
                "groupcache_peer_errors_total",
                "Requests to other coordinators that failed.",
                &["group"],
            )?,
            loads: counters(to, "groupcache_loads_total", "Lookups that the store could not answer.", &["group"])?,
            loads_deduped: counters(
                to,
                "groupcache_loads_deduped_total",
                "Loads that were begun: lookups that joined one do not count.",
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
                "Requests from other coordinators.",
                &["group"],
            )?,
            crosstalk_refusals: counters(
                to,
                "groupcache_crosstalk_refusals_total",
                "Questions for another's key that were not passed on to it.",
                &["group"],
            )?,
            slowest_peer: gauges(
                to,
                "groupcache_get_from_peers_latency_slowest_milliseconds",
                "The longest response time of another coordinator, begun anew every five minutes.",
                &["group"],
            )?,
            loading: gauges(
                to,
                "meshcache_loads",
                "Loads from the origin in progress: what maxLoads bounds.",
                &["group"],
            )?,
            waiting: gauges(to, "meshcache_loads_waiting", "Loads that wait because of maxLoads.", &["group"])?,
            cache_bytes: gauges(
                to,
                "groupcache_cache_bytes",
                "Bytes held: key, headers, body and bookkeeping.",
                &["group", "type"],
            )?,
            cache_items: gauges(to, "groupcache_cache_items", "Responses held.", &["group", "type"])?,
            cache_gets: counters(to, "groupcache_cache_gets_total", "Lookups in the store.", &["group", "type"])?,
            cache_hits: counters(
                to,
                "groupcache_cache_hits_total",
                "Lookups in the store that found a response.",
                &["group", "type"],
            )?,
            cache_evictions: counters(
                to,
                "groupcache_cache_evictions_total",
                "Responses evicted, or removed because they had expired.",
                &["group", "type"],
            )?,
            cache_evictions_nonexpired: counters(
                to,
                "groupcache_cache_evictions_nonexpired_total",
                "Responses evicted before they had expired.",
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
                "Responses that were not stored, by reason.",
                &["group", "reason"],
            )?,
            continued: counters(to, "meshcache_continued_total", "Rests of large bodies.", &["group", "outcome"])?,
            origin_failures: counters(
                to,
                "meshcache_origin_failures_total",
                "Requests to the origin, loads and passes, that got no response, by reason.",
                &["group", "reason"],
            )?,
            fills: counters(
                to,
                "meshcache_fills_total",
                "Loads that were granted to proxies, by what came of it.",
                &["group", "outcome"],
            )?,
            tokens: TokenFamilies::new(to)?,
            observe_mismatches: counters(
                to,
                "meshcache_observe_mismatch_total",
                "Responses that passed in a group that observes, and differ from what would have been served.",
                &["group"],
            )?,
            client_requests: counters(
                to,
                "meshcache_client_requests_total",
                "Requests of clients, counted where they came in: at a proxy, or at this coordinator from a plain client.",
                &["group", "from"],
            )?,
            service_requests: counters(
                to,
                "meshcache_service_requests_total",
                "Requests that reached the service: loads, refreshes in the background, passes, and rests of bodies.",
                &["group", "cause"],
            )?,
            request_seconds: histograms(
                to,
                "meshcache_request_duration_seconds",
                "From a request's head to its response's head.",
                &["group"],
            )?,
            origin_seconds: histograms(
                to,
                "meshcache_origin_duration_seconds",
                "From a load's begin to its response's head.",
                &["group"],
            )?,
        })
    }
}

/// One group's metrics. The fields are groupcache's statistics under groupcache's names.
pub struct GroupMetrics {
    name: Arc<str>,
    /// Requests looked up.
    pub gets: IntCounter,
    /// Requests answered from this coordinator's store.
    pub hits: IntCounter,
    /// Responses that another coordinator gave.
    pub peer_loads: IntCounter,
    /// Requests to another coordinator that failed.
    pub peer_errors: IntCounter,
    /// Lookups that the store could not answer: gets - hits.
    pub loads: IntCounter,
    /// Loads that were begun, from a peer or the origin: lookups that joined one do not count.
    pub loads_deduped: IntCounter,
    /// Loads from the origin that succeeded.
    pub local_load: IntCounter,
    /// Loads from the origin that failed.
    pub local_load_errs: IntCounter,
    /// Requests that came from other coordinators.
    pub server_requests: IntCounter,
    /// Those among them for a key that a third coordinator owns here: they were not passed on to it.
    pub crosstalk_refusals: IntCounter,
    /// Cacheable requests of plain clients, without those of proxies and peers.
    pub from_clients: IntCounter,
    /// Requests of proxies' clients, as the proxies report them.
    pub from_proxies: IntCounter,
    /// Requests to the service that clients wait for.
    pub service_loads: IntCounter,
    /// Requests to the service in the background: for stale responses, or to learn whether a response may be shared by
    /// now.
    pub service_refreshes: IntCounter,
    /// Clients' requests that went on to the service, here and at proxies.
    pub service_passes: IntCounter,
    /// Requests to the service for the rest of a body, for one client.
    pub service_continued: IntCounter,
    /// From a request's head to its response's head, seconds.
    pub request_seconds: Histogram,
    /// From a load's begin to its response's head, seconds.
    pub origin_seconds: Histogram,
    /// Loads from the origin in progress: those that `maxLoads` counts.
    pub loading: IntGauge,
    /// Loads that wait for their turn among them.
    pub waiting: IntGauge,
    /// In a group that observes: responses that differ from what would have been served.
    pub observe_mismatches: IntCounter,
    main: CacheMetrics,
    hot: CacheMetrics,
    slowest_peer: SlowestPeer,
    requests: LabelledCounters<2>,
    not_stored: LabelledCounters<1>,
    continued: LabelledCounters<1>,
    origin_failures: LabelledCounters<1>,
    fills: LabelledCounters<1>,
    /// Tokens for the origin.
    pub(crate) tokens: TokenMetrics,
}

impl GroupMetrics {
    pub(super) fn new(name: &str, families: &Families) -> Self {
        let counter = |family: &IntCounterVec| family.with_label_values(&[name]);
        let cache = |cache_type: CacheType| CacheMetrics {
            fresh_reads: AtomicU64::new(0),
            bytes: families.cache_bytes.with_label_values(&[name, cache_type.label()]),
            items: families.cache_items.with_label_values(&[name, cache_type.label()]),
            gets: families.cache_gets.with_label_values(&[name, cache_type.label()]),
            hits: families.cache_hits.with_label_values(&[name, cache_type.label()]),
            evictions: families.cache_evictions.with_label_values(&[name, cache_type.label()]),
            evictions_nonexpired: families.cache_evictions_nonexpired.with_label_values(&[name, cache_type.label()]),
        };
        // Created before the first failure, so that an alert sees it rise.
        for reason in [Reason::Connect, Reason::Dns, Reason::Tls, Reason::Timeout, Reason::Reset] {
            families.origin_failures.with_label_values(&[name, reason.label()]);
        }
        Self {
            name: name.into(),
            gets: counter(&families.gets),
            hits: counter(&families.hits),
            peer_loads: counter(&families.peer_loads),
            peer_errors: counter(&families.peer_errors),
            loads: counter(&families.loads),
            loads_deduped: counter(&families.loads_deduped),
            local_load: counter(&families.local_load),
            local_load_errs: counter(&families.local_load_errs),
            server_requests: counter(&families.server_requests),
            crosstalk_refusals: counter(&families.crosstalk_refusals),
            from_clients: families.client_requests.with_label_values(&[name, "client"]),
            from_proxies: families.client_requests.with_label_values(&[name, "proxy"]),
            service_loads: families.service_requests.with_label_values(&[name, "load"]),
            service_refreshes: families.service_requests.with_label_values(&[name, "refresh"]),
            service_passes: families.service_requests.with_label_values(&[name, "pass"]),
            service_continued: families.service_requests.with_label_values(&[name, "continue"]),
            request_seconds: families.request_seconds.with_label_values(&[name]),
            origin_seconds: families.origin_seconds.with_label_values(&[name]),
            observe_mismatches: counter(&families.observe_mismatches),
            loading: families.loading.with_label_values(&[name]),
            waiting: families.waiting.with_label_values(&[name]),
            main: cache(CacheType::Main),
            hot: cache(CacheType::Hot),
            slowest_peer: SlowestPeer::new(families.slowest_peer.with_label_values(&[name])),
            requests: LabelledCounters::new(name, &families.requests),
            not_stored: LabelledCounters::new(name, &families.not_stored),
            continued: LabelledCounters::new(name, &families.continued),
            origin_failures: LabelledCounters::new(name, &families.origin_failures),
            fills: LabelledCounters::new(name, &families.fills),
            tokens: TokenMetrics::new(name, &families.tokens),
        }
    }

    /// Counts a request by its outcome and the reason for it.
    pub fn count_request(&self, outcome: &'static str, reason: impl Into<AnyReason>) {
        let reason = reason.into();
        self.requests.inc([outcome, reason.label()]);
        note_outcome(&self.name, outcome, Some(reason));
    }

    /// Counts a request without a reason.
    pub fn count_response(&self, outcome: &'static str) {
        self.requests.inc([outcome, ""]);
        note_outcome(&self.name, outcome, None);
    }

    /// Returns how many requests clients have made, and how many of them the service did not see. That may be negative:
    /// loads here may be for requests elsewhere, so only the sum over all coordinators is exact.
    pub fn saved(&self) -> (u64, i64) {
        let sum = |counters: &[&IntCounter]| counters.iter().map(|counter| counter.get()).sum::<u64>();
        let requests = sum(&[&self.from_clients, &self.from_proxies]);
        let seen = sum(&[&self.service_loads, &self.service_refreshes, &self.service_passes, &self.service_continued]);
        (requests, i64::try_from(requests).unwrap_or(i64::MAX).saturating_sub(i64::try_from(seen).unwrap_or(i64::MAX)))
    }

    /// Adds requests that a proxy counted.
    pub(super) fn add_proxy_requests(&self, outcome: &str, count: u64) {
        if matches!(outcome, "hot" | "hit" | "stale" | "miss" | "revalidated" | "pass" | "failed") {
            self.from_proxies.inc_by(count);
        }
        if matches!(outcome, "pass" | "failed") {
            self.service_passes.inc_by(count);
        }
    }

    /// Counts a request for the rest of a body: `continued`, or why there is none.
    pub(crate) fn count_continued(&self, outcome: &'static str) {
        self.continued.inc([outcome]);
    }

    /// Counts a load that was granted to a proxy, by what came of it.
    pub(crate) fn count_fill(&self, outcome: &'static str) {
        self.fills.inc([outcome]);
    }

    /// Counts a response that is not stored.
    pub fn count_not_stored(&self, reason: Reason) {
        self.not_stored.inc([reason.label()]);
    }

    /// Counts a failed request to the origin.
    pub fn count_origin_failure(&self, reason: Reason) {
        self.origin_failures.inc([reason.label()]);
    }

    /// Sets the numbers of the store for one type of entries, and forgets slow responses of long ago.
    pub(super) fn set_usage(&self, usage: &Usage, now: u64) {
        self.slowest_peer.refresh(now);
        let cache = if usage.cache_type == CacheType::Hot { &self.hot } else { &self.main };
        let uncounted = cache.set(usage);
        self.gets.inc_by(uncounted);
        self.hits.inc_by(uncounted);
    }

    /// Records how long another coordinator took to respond. `now`: milliseconds.
    pub fn record_peer_latency(&self, took: Duration, now: u64) {
        self.slowest_peer.record(took, now);
    }
}
