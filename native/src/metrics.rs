//! The filter's metrics in Envoy.

use crate::{
    envoy::{Config, Filter},
    recorder::Tasks,
};
use meshcache_proxy::state::counters;

/// The metrics of one configuration. Those of all configurations are the same ones in Envoy.
#[derive(Default)]
pub(crate) struct Metrics {
    counters: Vec<Option<usize>>,
    gauges: Vec<Option<usize>>,
}

impl Metrics {
    /// Defines the metrics of a configuration.
    pub(crate) fn define(config: &Config) -> Self {
        Self {
            counters: counters::metric_names().map(|name| config.counter(&name, &[])).collect(),
            gauges: counters::GAUGES.iter().map(|name| config.gauge(name)).collect(),
        }
    }

    /// Records what has changed. What this Envoy cannot record here stays.
    pub(crate) fn record(&self, config: &Config, tasks: &mut Tasks) {
        tasks.counts.retain(|(at, n)| self.counter(*at).is_some_and(|id| !config.add(id, &[], *n)));
        tasks.gauges.retain(|(at, value)| self.gauge(*at).is_some_and(|id| !config.set(id, *value)));
    }

    /// Records the rest in a stream.
    pub(crate) fn record_in(&self, filter: &Filter, tasks: &mut Tasks) {
        for (at, n) in tasks.counts.drain(..) {
            self.counter(at).into_iter().for_each(|id| filter.add(id, &[], n));
        }
        for (at, value) in tasks.gauges.drain(..) {
            self.gauge(at).into_iter().for_each(|id| filter.set(id, value));
        }
    }

    fn counter(&self, at: usize) -> Option<usize> {
        self.counters.get(at).copied().flatten()
    }

    fn gauge(&self, at: usize) -> Option<usize> {
        self.gauges.get(at).copied().flatten()
    }
}
