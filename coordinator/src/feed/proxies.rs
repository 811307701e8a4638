//! The proxies that ask for the feed, and the requests that they report. Any client of the data port may say that it is
//! one, so all of it is bounded.

use crate::telemetry::metrics::Metrics;
#[cfg(feature = "program")]
use meshcache_admin::ProxyState;
use meshcache_protocol::{
    Groups,
    feed::{FeedRequest, HERD, SHARED},
    observe::{MISMATCH, word},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// A proxy that has not asked for this time is gone.
const RETENTION: Duration = Duration::from_secs(5);
/// The most requests of a proxy in a second that are counted: no proxy has more.
pub(super) const MAX_PER_SECOND: u64 = 200_000;
/// The most proxies.
const MAX_PROXIES: usize = 20_000;
/// The most filter versions, and the most outcomes, with a series of their own.
const MAX_LABELS: usize = 32;
/// The most proxies that are told by name.
#[cfg(feature = "program")]
const MAX_TOLD: usize = 100;
/// The longest name of a proxy.
const MAX_NAME: usize = 256;

/// The proxies, by name.
pub(super) struct Proxies {
    known: Mutex<HashMap<String, Proxy>>,
    outcomes: Mutex<BTreeSet<String>>,
    metrics: Arc<Metrics>,
}

struct Proxy {
    asked: Instant,
    version: String,
    /// The number of requests that it may still report. It grows each second by what a proxy can have.
    allowance: u64,
}

impl Proxies {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { known: Mutex::default(), outcomes: Mutex::default(), metrics }
    }

    /// Records a proxy, and counts the requests that it reports. Unknown groups and odd labels make no series. Returns
    /// by group how many comparisons of those that it tells of are taken.
    pub(super) fn record(&self, request: &FeedRequest, groups: &Groups) -> BTreeMap<String, u64> {
        let mut known = self.known.lock();
        if request.proxy.len() > MAX_NAME || (known.len() >= MAX_PROXIES && !known.contains_key(&request.proxy)) {
            return BTreeMap::new();
        }
        let version = if is_label(&request.filter_version) { &request.filter_version } else { "other" };
        let most = MAX_PER_SECOND * RETENTION.as_secs();
        let proxy = known.entry(request.proxy.clone()).or_insert_with(|| Proxy {
            asked: Instant::now(),
            version: String::new(),
            allowance: most,
        });
        let more =
            u64::try_from(proxy.asked.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_mul(MAX_PER_SECOND / 1000);
        (proxy.asked, proxy.allowance) = (Instant::now(), proxy.allowance.saturating_add(more).min(most));
        version.clone_into(&mut proxy.version);
        let mut allowed = |count: u64| {
            let count = count.min(proxy.allowance);
            proxy.allowance -= count;
            count
        };
        self.metrics.proxy_panics.inc_by(allowed(request.panics));
        let mut comparisons = BTreeMap::new();
        for (group, outcomes) in &request.requests {
            let Some(rules) = groups.named(group) else { continue };
            if let Some(count) = outcomes.get(&word::compared(rules)) {
                comparisons.insert(group.clone(), allowed(*count));
            }
            let metrics = self.metrics.group(group);
            let beside =
                [(MISMATCH, &metrics.observe_mismatches), (HERD, &metrics.herds), (SHARED, &metrics.herd_loads_saved)];
            for (word, counter) in beside {
                counter.inc_by(outcomes.get(word).map_or(0, |count| allowed(*count)));
            }
            let is_outcome = |word: &str| is_label(word) && !beside.iter().any(|(other, _)| *other == word);
            for (outcome, count) in outcomes.iter().filter(|(outcome, _)| is_outcome(outcome)) {
                let mut labels = self.outcomes.lock();
                if labels.contains(outcome) || (labels.len() < MAX_LABELS && labels.insert(outcome.clone())) {
                    self.metrics.add_proxy_requests(group, outcome, allowed(*count));
                }
            }
        }
        comparisons
    }

    /// Returns how many proxies asked lately, and the first of them by name.
    #[cfg(feature = "program")]
    pub(super) fn known(&self) -> (u64, Vec<ProxyState>) {
        let mut known = self.known.lock();
        known.retain(|_, proxy| proxy.asked.elapsed() < RETENTION);
        let mut names: Vec<_> = known.iter().collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        let told = |(name, Proxy { asked, version, .. }): (&String, &Proxy)| ProxyState {
            name: name.clone(),
            version: version.clone(),
            asked_ago: u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        (names.len() as u64, names.into_iter().take(MAX_TOLD).map(told).collect())
    }

    /// Sets the metric of the proxies that asked lately, by filter version.
    pub(super) fn update_metric(&self) {
        let mut versions: HashMap<String, usize> = HashMap::new();
        let mut known = self.known.lock();
        known.retain(|_, proxy| proxy.asked.elapsed() < RETENTION);
        for Proxy { version, .. } in known.values() {
            let has_series = versions.contains_key(version) || versions.len() < MAX_LABELS;
            *versions.entry(if has_series { version.clone() } else { "other".into() }).or_default() += 1;
        }
        self.metrics.set_proxies(versions);
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}
