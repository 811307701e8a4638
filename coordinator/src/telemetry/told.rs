//! The requests of which proxies told.

use crate::telemetry::metrics::Metrics;
use prometheus::core::Collector;
use std::collections::BTreeMap;

impl Metrics {
    /// Returns the requests of which proxies told since the start, by group and outcome. Walks all series: for people,
    /// not for requests.
    pub(crate) fn told_by_proxies(&self) -> BTreeMap<(String, String), u64> {
        let families = self.proxy_requests.collect();
        let series = families.iter().flat_map(|family| family.get_metric()).map(|metric| {
            let label = |name: &str| {
                let label = metric.get_label().iter().find(|label| label.name() == name);
                label.map(|label| label.value().to_owned()).unwrap_or_default()
            };
            // A counter holds whole numbers.
            ((label("group"), label("outcome")), metric.get_counter().get_value() as u64)
        });
        series.collect()
    }
}
