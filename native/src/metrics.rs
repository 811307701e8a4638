//! The filter's metrics in Envoy.

use crate::{
    envoy::{Config, Filter},
    panics,
    recorder::Tasks,
};
use meshcache_protocol::{
    feed::{HERD, SHARED},
    observe::MISMATCH,
};
use meshcache_proxy::state::counters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The panics that Envoy's counter has.
static RECORDED_PANICS: AtomicU64 = AtomicU64::new(0);

/// The metrics of one configuration. Those of all configurations are the same ones in Envoy.
#[derive(Default)]
pub(crate) struct Metrics {
    counters: Vec<Option<usize>>,
    gauges: Vec<Option<usize>>,
    requests: Option<usize>,
    panics: Option<usize>,
}

impl Metrics {
    /// Defines the metrics of a configuration.
    pub(crate) fn define(config: &Config) -> Self {
        Self {
            counters: counters::metric_names().map(|name| config.counter(&name, &[])).collect(),
            gauges: counters::GAUGES.iter().map(|name| config.gauge(name)).collect(),
            requests: config.counter("meshcache_requests_total", &["group", "outcome"]),
            panics: config.counter("meshcache_panics_total", &[]),
        }
    }

    /// Records what has changed. What this Envoy cannot record here stays.
    pub(crate) fn record(&self, config: &Config, tasks: &mut Tasks) {
        if config.records() {
            self.each(
                tasks,
                |metric, labels, by| config.add(metric, labels, by),
                |metric, value| {
                    config.set(metric, value);
                },
            );
        }
    }

    /// Records the rest in a stream.
    pub(crate) fn record_in(&self, filter: &Filter, tasks: &mut Tasks) {
        self.each(
            tasks,
            |metric, labels, by| filter.add(metric, labels, by),
            |metric, value| {
                filter.set(metric, value);
            },
        );
    }

    fn each(&self, tasks: &mut Tasks, add: impl Fn(usize, &[&str], u64), set: impl Fn(usize, u64)) {
        let find = |all: &[Option<usize>], at: usize| all.get(at).copied().flatten();
        for (at, n) in std::mem::take(&mut tasks.counts) {
            find(&self.counters, at).into_iter().for_each(|metric| add(metric, &[], n));
        }
        for (at, value) in std::mem::take(&mut tasks.gauges) {
            find(&self.gauges, at).into_iter().for_each(|metric| set(metric, value));
        }
        for (group, outcomes) in std::mem::take(&mut tasks.groups) {
            // What is counted beside a request is no outcome of one.
            for (outcome, n) in outcomes.iter().filter(|(word, _)| ![MISMATCH, HERD, SHARED].contains(&word.as_str())) {
                self.requests.into_iter().for_each(|metric| add(metric, &[&group, outcome], *n));
            }
        }
        let panics = panics::count();
        let more = panics.saturating_sub(RECORDED_PANICS.fetch_max(panics, Relaxed));
        if more > 0 {
            self.panics.into_iter().for_each(|metric| add(metric, &[], more));
        }
    }
}
