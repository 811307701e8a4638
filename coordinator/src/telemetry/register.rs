//! Creates metrics and registers them, one call for each.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// Upper bounds of the buckets of origins' times, seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Those of requests: most hits take less than a tenth of that.
const REQUEST_SECONDS: [f64; 17] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn register<M: Collector + Clone + 'static>(
    to: &Registry,
    metric: Result<M, prometheus::Error>,
) -> Result<M, prometheus::Error> {
    let metric = metric?;
    to.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counter(to: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register(to, IntCounter::new(name, help))
}

pub(super) fn gauge(to: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(to, IntGauge::new(name, help))
}

pub(super) fn counters(
    to: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(to, IntCounterVec::new(Opts::new(name, help), labels))
}

pub(super) fn gauges(to: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    register(to, IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram of requests.
pub(super) fn request_histograms(
    to: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    register(to, HistogramVec::new(HistogramOpts::new(name, help).buckets(REQUEST_SECONDS.to_vec()), labels))
}

pub(super) fn histograms(
    to: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    register(to, HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels))
}
