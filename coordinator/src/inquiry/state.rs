//! What this coordinator tells of itself.

use crate::{
    inquiry::{Inquiry, observed},
    store::usage::Usage,
    telemetry::readings::GroupReadings,
};
use meshcache_admin::{ConfigState, CoordinatorState, GroupState, Saved};
use meshcache_protocol::Group;
use serde_json::Value;

/// Why a group is not in the feed.
pub(crate) const NOT_FOR_PROXIES: &str = "its origin gets credentials, without which a proxy's requests would pass: `origin.proxies: inject` says that Envoy adds them";

impl Inquiry {
    /// Tells of this coordinator.
    pub(super) fn state(&self) -> CoordinatorState {
        let (cache, mut readings, usage) = (&self.cache, self.cache.metrics.readings(), self.cache.usage());
        let groups = cache.groups();
        let (proxy_count, proxies) = self.feed.known_proxies();
        CoordinatorState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_seconds: self.began.elapsed().as_secs(),
            ring: format!("{:016x}", cache.cluster.ring().version()),
            has_lease: cache.consistency.holds_lease(),
            config: ConfigState { digest: groups.digest().to_owned(), ..ConfigState::default() },
            store_bytes: self.store_bytes,
            memory_bytes: resident_bytes(),
            groups: groups
                .iter()
                .map(|group| self.group(group, readings.remove(group.name()).unwrap_or_default(), &usage))
                .collect(),
            proxy_count,
            proxies,
            ..CoordinatorState::default()
        }
    }

    fn group(&self, group: &Group, readings: GroupReadings, usage: &[Usage]) -> GroupState {
        let (config, metrics) = (group.config(), self.cache.metrics.group(group.name()));
        let used = |of: fn(&Usage) -> u64| usage.iter().filter(|usage| usage.group == group.name()).map(of).sum();
        let (requests, saved) = metrics.saved();
        GroupState {
            name: group.name().to_owned(),
            mode: word(&config.mode),
            r#match: serde_json::to_value(&config.r#match).unwrap_or_default(),
            origin: word(&config.origin.url),
            digest: group.digest().to_owned(),
            not_for_proxies: (!config.is_for_proxies()).then(|| NOT_FOR_PROXIES.to_owned()),
            saved: Saved { requests, saved, ..Saved::default() },
            outcomes: readings.outcomes,
            reasons: readings.reasons,
            entries: used(|usage| usage.items),
            bytes: used(|usage| usage.bytes),
            evictions: used(|usage| usage.evictions),
            loading: u64::try_from(metrics.loading.get()).unwrap_or(0),
            waiting: u64::try_from(metrics.waiting.get()).unwrap_or(0),
            observed: observed::of(&self.cache, group.name()),
            ..GroupState::default()
        }
    }
}

/// The word of the configuration for a value.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The memory of this process, bytes; 0: not known.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64)
}
