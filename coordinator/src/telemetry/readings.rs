//! What the counters of all groups say, for people.

use crate::telemetry::metrics::Metrics;
use prometheus::{IntCounterVec, core::Collector};
use std::collections::{BTreeMap, HashMap};

/// Counts by a label.
pub(crate) type ByWord = BTreeMap<String, u64>;

/// The counts of one group.
#[derive(Debug, Default)]
pub(crate) struct GroupReadings {
    /// Requests by outcome, those that proxies told included.
    pub(crate) outcomes: ByWord,
    /// Requests that were not answered from the cache, and responses that were not stored, by reason.
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
        for Reading { group, outcome, reason, count } in read(&self.families.requests) {
            let group = all.entry(group).or_default();
            // What a load brought and was not stored is counted below.
            if !reason.is_empty() && !matches!(outcome.as_str(), "hit" | "stale" | "miss" | "revalidated") {
                add(&mut group.reasons, reason, count);
            }
            add(&mut group.outcomes, outcome, count);
        }
        for Reading { group, outcome, count, .. } in read(&self.proxy_requests) {
            add(&mut all.entry(group).or_default().outcomes, outcome, count);
        }
        for Reading { group, reason, count, .. } in read(&self.families.not_stored) {
            add(&mut all.entry(group).or_default().reasons, reason, count);
        }
        all
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
