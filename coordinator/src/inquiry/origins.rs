//! What this coordinator tells of the origins that it loads from.

use crate::{
    cache::state::Cache,
    clock,
    origin::{BOUNDS, Origin},
    telemetry::request_seconds::bound,
};
use meshcache_admin::{Latency, OriginState};
use std::collections::BTreeMap;

/// Tells of all origins, by scheme and authority. There are as many as the groups have.
pub(super) fn all(cache: &Cache) -> Vec<OriginState> {
    let (table, now) = (cache.group_table(), clock::awake());
    let mut all: BTreeMap<String, (OriginState, [u64; BOUNDS.len()])> = BTreeMap::new();
    for group in table.groups.iter() {
        let Some(Origin::Http(origin)) = table.named(group.name()).map(|served| &served.origin) else { continue };
        let (url, counts) = (&group.config().origin.url, origin.record().read());
        let name = format!("{}://{}", url.scheme(), url.authority());
        let (state, took) = all.entry(name.clone()).or_default();
        state.origin = name;
        state.groups.push(group.name().to_owned());
        state.requests += counts.requests;
        for (reason, count) in &counts.failures {
            *state.failures.entry((*reason).to_owned()).or_default() += count;
        }
        let ago = counts.failed_at.map(|at| now.saturating_sub(at));
        state.failed_ago = state.failed_ago.into_iter().chain(ago).min();
        took.iter_mut().zip(counts.recent(now)).for_each(|(sum, count)| *sum += count);
    }
    let told = |(state, took)| OriginState { took: latency(took), ..state };
    all.into_values().map(told).collect()
}

fn latency(took: [u64; BOUNDS.len()]) -> Latency {
    let cumulative = BOUNDS.iter().zip(took).scan(0, |sum: &mut u64, (bound, count)| {
        *sum += count;
        Some((f64::from(*bound), *sum))
    });
    let (buckets, count) = (cumulative.collect::<Vec<_>>(), took.iter().sum());
    Latency { count, p50: bound(&buckets, count, 0.5), p99: bound(&buckets, count, 0.99) }
}
