//! What the counters of all groups say, for people.

use crate::telemetry::metrics::Metrics;
use prometheus::{IntCounterVec, core::Collector};
use std::collections::{BTreeMap, HashMap};

/// Counts by a label.
pub(crate) type ByWord = BTreeMap<String, u64>;

/// The counts of one group.
#[derive(Debug, Default)]
pub(crate) struct GroupReadings {
    /// Clients' requests by outcome, each once.
    pub(crate) outcomes: ByWord,
    /// Requests that were not answered from the cache, or responses that were not stored, by reason, whichever are more:
    /// one that passes and whose response is not stored is in both counters.
    pub(crate) reasons: ByWord,
}

/// One series of a group that has counted.
struct Reading {
    group: String,
    outcome: String,
    reason: String,
    count: u64,
}

impl Metrics {
    /// Reads the counts of all groups, by name. Walks all series: for people, not for requests.
    pub(crate) fn readings(&self) -> HashMap<String, GroupReadings> {
        let mut all: HashMap<String, GroupReadings> = HashMap::new();
        for Reading { group, outcome, count, .. } in read(&self.families.client_requests) {
            add(&mut all.entry(group).or_default().outcomes, outcome, count);
        }
        for Reading { group, outcome, reason, count } in read(&self.families.requests) {
            // What a load brought and was not stored is counted elsewhere.
            if !reason.is_empty() && !matches!(outcome.as_str(), "hit" | "stale" | "miss" | "revalidated") {
                add(&mut all.entry(group).or_default().reasons, reason, count);
            }
        }
        for Reading { group, reason, count, .. } in read(&self.families.not_stored) {
            let known = all.entry(group).or_default().reasons.entry(reason).or_default();
            *known = count.max(*known);
        }
        all
    }

    /// Returns the requests of which proxies told since the start, by group and outcome. Walks all series, too.
    pub(crate) fn told_by_proxies(&self) -> BTreeMap<(String, String), u64> {
        read(&self.proxy_requests).into_iter().map(|told| ((told.group, told.outcome), told.count)).collect()
    }
}

fn add(to: &mut ByWord, word: String, count: u64) {
    *to.entry(word).or_default() += count;
}

fn read(family: &IntCounterVec) -> Vec<Reading> {
    let of = |metric: &prometheus::proto::Metric| {
        let label = |name: &str| {
            let label = metric.get_label().iter().find(|label| label.name() == name);
            label.map(|label| label.value().to_owned()).unwrap_or_default()
        };
        // The counter holds whole numbers.
        let count = metric.get_counter().get_value() as u64;
        Reading { group: label("group"), outcome: label("outcome"), reason: label("reason"), count }
    };
    let families = family.collect();
    families.iter().flat_map(|family| family.get_metric()).map(of).filter(|reading| reading.count > 0).collect()
}
