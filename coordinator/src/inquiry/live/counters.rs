//! Rates of what is counted anyway: loads from origins, and requests of which proxies tell. Read when somebody asks, and
//! compared with what was read up to 10 s before: no request pays for it.

use crate::{cache::state::Cache, inquiry::live::wanted::Wanted};
use meshcache_admin::{TopBy, TopRow};
use std::collections::{BTreeMap, VecDeque};

/// The time that rates are of, seconds.
const WINDOW: f64 = 10.0;
/// The time between two samples that are kept, seconds.
const GAP: f64 = 1.0;

/// What coordinators do not see themselves: answered, or passed, by a proxy that asked nobody. What a proxy asked for is
/// counted where it asked.
const ALONE: [&str; 3] = ["hot", "uncached", "failed"];

/// Counters as they are at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    /// Requests that proxies told of, by group and outcome.
    pub(super) told: BTreeMap<(String, String), u64>,
    /// Loads by group, with its origin: how many, and the seconds until their heads came.
    pub(super) loads: BTreeMap<(String, String), (u64, f64)>,
}

impl Counters {
    /// Reads those that a table shows.
    pub(super) fn read(cache: &Cache, by: TopBy) -> Self {
        let told = || {
            let told = cache.metrics.told_by_proxies();
            told.into_iter().filter(|((_, outcome), _)| ALONE.contains(&outcome.as_str())).collect()
        };
        let loads = || {
            let groups = cache.groups();
            let one = |group: &std::sync::Arc<meshcache_protocol::Group>| {
                let seconds = &cache.metrics.group(group.name()).origin_seconds;
                let place = (group.name().to_owned(), group.config().origin.url.to_string());
                (place, (seconds.get_sample_count(), seconds.get_sample_sum()))
            };
            groups.iter().map(one).collect()
        };
        match by {
            TopBy::Keys => Self::default(),
            TopBy::Groups | TopBy::Reasons => Self { told: told(), ..Self::default() },
            TopBy::Origins => Self { loads: loads(), ..Self::default() },
        }
    }
}

/// What was read in the last seconds.
#[derive(Default)]
pub(super) struct Samples(VecDeque<(f64, Counters)>);

impl Samples {
    /// Keeps a sample, where it is not too soon after another: the last one is always the present.
    pub(super) fn take(&mut self, by: TopBy, counters: &Counters, now: f64) {
        if by == TopBy::Keys {
            return;
        }
        let is_soon = |samples: &VecDeque<(f64, Counters)>| {
            let before = samples.len().checked_sub(2).and_then(|at| samples.get(at));
            before.is_some_and(|(at, _)| now - at < GAP)
        };
        if is_soon(&self.0) {
            self.0.pop_back();
        }
        self.0.push_back((now, counters.clone()));
        while self.0.get(1).is_some_and(|(at, _)| now - at >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// Returns the rows that they make.
    pub(super) fn rows(&self, by: TopBy, wanted: &Wanted) -> Vec<TopRow> {
        let (Some((began, before)), Some((now, after))) = (self.0.front(), self.0.back()) else { return Vec::new() };
        let seconds = now - began;
        if seconds <= 0.0 {
            return Vec::new();
        }
        let mut rows: BTreeMap<String, TopRow> = BTreeMap::new();
        let mut add = |name: String, group: &str, count: f64, is_hit: bool, took: f64, told: bool| {
            if count > 0.0 {
                let row = rows.entry(name.clone()).or_insert_with(|| TopRow {
                    name,
                    group: Some(group.to_owned()),
                    told,
                    ..TopRow::default()
                });
                // Sums for now.
                row.rate += count;
                row.hits += if is_hit { count } else { 0.0 };
                row.took += took;
                if row.group.as_deref() != Some(group) {
                    row.group = None;
                }
            }
        };
        for ((group, outcome), count) in
            after.told.iter().filter(|((group, outcome), _)| wanted.has_told(group, outcome))
        {
            let is_hit = outcome == "hot";
            let name = match by {
                TopBy::Reasons if is_hit => continue,
                TopBy::Reasons => format!("{group} {outcome}"),
                _ => group.clone(),
            };
            let old = before.told.get(&(group.clone(), outcome.clone())).copied().unwrap_or(0);
            add(name, group, count.saturating_sub(old) as f64, is_hit, 0.0, true);
        }
        for (place, (count, sum)) in after.loads.iter().filter(|((group, _), _)| wanted.has_group(group)) {
            let (group, origin) = place;
            let (old, old_sum) = before.loads.get(place).copied().unwrap_or((0, 0.0));
            add(origin.clone(), group, count.saturating_sub(old) as f64, false, (sum - old_sum) * 1000.0, false);
        }
        let rate = |row: TopRow| TopRow {
            rate: row.rate / seconds,
            hits: row.hits / row.rate,
            took: row.took / row.rate,
            ..row
        };
        rows.into_values().map(rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inquiry::live::wanted::tests::read;

    fn rows(by: TopBy, filter: serde_json::Value, samples: &[(f64, Counters)]) -> Vec<TopRow> {
        let mut kept = Samples::default();
        samples.iter().for_each(|(now, counters)| kept.take(by, counters, *now));
        assert!(kept.0.len() <= 13, "{}", kept.0.len());
        kept.rows(by, &read(filter).unwrap())
    }

    fn told(counts: &[(&str, u64)]) -> Counters {
        let told = counts.iter().map(|(outcome, count)| (("g".to_owned(), (*outcome).to_owned()), *count)).collect();
        Counters { told, ..Counters::default() }
    }

    #[test]
    fn what_proxies_told_is_a_rate_of_the_last_seconds_and_marked() {
        let all = |by, filter| {
            let many = (0_u32..1000).map(|n| {
                let n = u64::from(n);
                (n as f64 / 10.0, told(&[("hot", 1_000_000 + n * 9), ("uncached", n)]))
            });
            rows(by, filter, &many.collect::<Vec<_>>())
        };
        let groups = all(TopBy::Groups, serde_json::json!({}));
        assert_eq!((groups.len(), groups[0].name.as_str(), groups[0].told), (1, "g", true));
        assert!((groups[0].rate - 100.0).abs() < 0.1 && (groups[0].hits - 0.9).abs() < 0.01, "{groups:?}");
        let reasons = all(TopBy::Reasons, serde_json::json!({}));
        assert_eq!((reasons.len(), reasons[0].name.as_str()), (1, "g uncached"));
        assert!((all(TopBy::Groups, serde_json::json!({"outcome": "hot"}))[0].rate - 90.0).abs() < 0.1);
        assert!(all(TopBy::Groups, serde_json::json!({"path": "/a"})).is_empty(), "no proxy tells paths");
        assert!(rows(TopBy::Groups, serde_json::json!({}), &[(0.0, told(&[("hot", 5)]))]).is_empty(), "not since when");
    }

    #[test]
    fn an_origins_time_is_the_mean_of_its_loads_of_the_last_seconds() {
        let loads = |count, sum| {
            let place = ("g".to_owned(), "http://o".to_owned());
            Counters { loads: [(place, (count, sum))].into(), ..Counters::default() }
        };
        let rows = rows(TopBy::Origins, serde_json::json!({}), &[(0.0, loads(100, 900.0)), (2.0, loads(104, 901.0))]);
        assert_eq!((rows[0].name.as_str(), rows[0].rate, rows[0].took), ("http://o", 2.0, 250.0));
    }
}
