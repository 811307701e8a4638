//! The groups, each with what serving it needs: its origin, its part of the store, its load limit, its metrics.

use crate::{
    cache::{load_limit::LoadLimit, not_passed::NotPassedLog, observe::evidence::Evidence},
    origin::{BadOrigin, Origin, OriginBackoff, Origins},
    store::{Quota, Store},
    telemetry::metrics::{GroupMetrics, Metrics},
};
use meshcache_protocol::{Group, Groups};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

/// A group with what serving it needs.
pub(crate) struct ServedGroup {
    pub(crate) group: Arc<Group>,
    pub(crate) metrics: Arc<GroupMetrics>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) origin: Origin,
    pub(crate) load_limit: Arc<LoadLimit>,
    /// Recent failures of its origin.
    pub(crate) backoff: Arc<OriginBackoff>,
    pub(crate) not_passed_log: NotPassedLog,
    /// What was observed of it, under these rules.
    pub(crate) evidence: Arc<Mutex<Evidence>>,
}

impl ServedGroup {
    /// Returns when a plain client has waited long enough for a flight: a load's head has arrived by then or has timed
    /// out. A flight that follows another may take twice as long.
    pub(crate) fn flight_deadline(&self, follows: bool) -> Instant {
        let loads = if follows { 2 } else { 1 };
        Instant::now() + loads * self.origin.timeout() + 3 * self.group.config().patience.duration()
    }
}

/// All groups.
#[derive(Default)]
pub(crate) struct GroupTable {
    pub(crate) groups: Arc<Groups>,
    served: Vec<Arc<ServedGroup>>,
}

impl GroupTable {
    /// Builds the table of new groups. Groups and origins that stay keep their load limits and known failures.
    pub(crate) fn new(
        groups: Arc<Groups>,
        before: &Self,
        store: &Store,
        origins: &Origins,
        metrics: &Metrics,
    ) -> Result<Self, BadOrigin> {
        let origins = origins.of_groups(&groups, metrics)?;
        let limit = |(group, origin): (&Arc<Group>, &Origin)| match origin {
            Origin::Http(_) | Origin::Proxies { .. } => group.config().limits.bytes.of(store.limit()),
            Origin::Getter(getter) => getter.bytes(),
        };
        let limits: Vec<_> = groups.iter().zip(&origins).map(|one| (one.0.name(), limit(one))).collect();
        let quotas = store.quotas(&limits);
        let served = groups.iter().zip(origins).zip(quotas).map(|((group, origin), quota)| {
            let old = before.named(group.name());
            let config = group.config();
            let metrics = metrics.group(group.name());
            let load_limit = old
                .filter(|old| old.group.config().origin.max_loads == config.origin.max_loads)
                .map(|old| old.load_limit.clone())
                .unwrap_or_else(|| {
                    let (loading, waiting) = (metrics.loading.clone(), metrics.waiting.clone());
                    Arc::new(LoadLimit::new(config.origin.max_loads, loading, waiting))
                });
            let backoff = old
                .filter(|old| old.group.config().origin.url == config.origin.url)
                .map(|old| old.backoff.clone())
                .unwrap_or_default();
            let evidence = old
                .filter(|old| old.group.digest() == group.digest())
                .map(|old| old.evidence.clone())
                .unwrap_or_default();
            Arc::new(ServedGroup {
                evidence,
                group: group.clone(),
                metrics,
                quota,
                origin,
                load_limit,
                backoff,
                not_passed_log: NotPassedLog::default(),
            })
        });
        Ok(Self { served: served.collect(), groups: groups.clone() })
    }

    /// Returns the group of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<ServedGroup>> {
        self.served.iter().find(|served| served.group.name() == name)
    }

    /// Returns what serving a group of [`GroupTable::groups`] needs.
    pub(crate) fn served(&self, group: &Arc<Group>) -> Option<&Arc<ServedGroup>> {
        self.served.iter().find(|served| Arc::ptr_eq(&served.group, group))
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::state::Cache;
    use meshcache_protocol::Groups;
    use std::sync::Arc;

    #[test]
    fn a_reload_keeps_the_load_limit_and_the_known_failures_of_what_stays() {
        let cache = Cache::sample("a", 1 << 20);
        let set = |url: &str, max_loads: u32, ttl: &str| {
            let config = serde_json::json!({"version": 1, "groups": [{
                "name": "g", "match": {"hosts": ["h"]}, "origin": {"url": url, "maxLoads": max_loads}, "freshness": {"default": ttl},
            }]});
            cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
            cache.group_table().named("g").unwrap().clone()
        };
        let first = set("http://one", 3, "1m");
        let other_ttl = set("http://one", 3, "2m");
        assert!(!Arc::ptr_eq(&first, &other_ttl));
        assert!(Arc::ptr_eq(&first.load_limit, &other_ttl.load_limit));
        assert!(Arc::ptr_eq(&first.backoff, &other_ttl.backoff));
        let other_limit = set("http://one", 4, "2m");
        assert!(!Arc::ptr_eq(&first.load_limit, &other_limit.load_limit));
        assert!(Arc::ptr_eq(&first.backoff, &other_limit.backoff));
        let other_origin = set("http://two", 4, "2m");
        assert!(Arc::ptr_eq(&other_limit.load_limit, &other_origin.load_limit));
        assert!(!Arc::ptr_eq(&first.backoff, &other_origin.backoff), "they say nothing about another origin");
    }
}
