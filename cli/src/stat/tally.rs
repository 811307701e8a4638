//! Counters of all coordinators as rates. A coordinator that starts anew, comes or goes makes no rate of its past.

use crate::terminal::text::{shown, shown_within};
use meshcache_admin::{CoordinatorState, GroupState, Mesh};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The most samples: a minute, asked for twice a second.
const SAMPLES: usize = 128;
/// The most counters of one coordinator.
const COUNTERS: usize = 64;
/// Outcomes that are told even if there were none.
pub(super) const OUTCOMES: [&str; 4] = ["hot", "hit", "miss", "pass"];
/// The longest word of an outcome, characters.
const WORD: usize = 40;
/// The most coordinators that are kept, whatever a server says.
pub(super) const MOST: usize = 200;

/// What is counted, by name.
pub(super) type Counters = BTreeMap<String, f64>;

/// Counters over time.
#[derive(Default)]
pub(super) struct Tally {
    /// The last counters of each coordinator, and for how long it had been up.
    seen: BTreeMap<String, (u64, Counters)>,
    /// What the coordinators that answered have counted since they started.
    pub(super) counts: Counters,
    /// What has been counted since the first answer, when it came.
    samples: VecDeque<(Duration, Counters)>,
}

/// Rates of one counter, a second each; none: there is only one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rates {
    pub(super) now: Option<f64>,
    pub(super) ten_seconds: Option<f64>,
    pub(super) minute: Option<f64>,
}

impl Tally {
    /// Takes an answer.
    pub(super) fn take(&mut self, mesh: &Mesh, group: Option<&str>, at: Duration) {
        let mut sum = self.samples.back().map(|(_, sum)| sum.clone()).unwrap_or_default();
        let mut seen = BTreeMap::new();
        self.counts = OUTCOMES.iter().map(|outcome| ((*outcome).to_owned(), 0.0)).collect();
        for coordinator in mesh.coordinators.iter().take(MOST) {
            let name = shown(&coordinator.name);
            let before = self.seen.remove(&name);
            let Some(state) = &coordinator.state else {
                // What it counts while it gives no answer is counted when it does.
                seen.extend(before.map(|before| (name, before)));
                continue;
            };
            let counters = counters(state, group);
            for (counter, value) in &counters {
                *self.counts.entry(counter.clone()).or_default() += value;
            }
            if let Some((up, before)) = before {
                let is_same = up <= state.up_seconds;
                for (counter, value) in &counters {
                    let before = if is_same { before.get(counter).copied().unwrap_or_default() } else { 0.0 };
                    *sum.entry(counter.clone()).or_default() += value - before;
                }
            }
            seen.insert(name, (state.up_seconds, counters));
        }
        self.seen = seen;
        self.samples.push_back((at, sum));
        let is_old = |sample: &(Duration, Counters)| at.saturating_sub(sample.0) > Duration::from_secs(61);
        while self.samples.len() > SAMPLES || self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
    }

    /// The rates of a counter.
    pub(super) fn rates(&self, counter: &str) -> Rates {
        let over = |seconds| self.over(counter, Duration::from_secs(seconds));
        Rates { now: over(0), ten_seconds: over(10), minute: over(60) }
    }

    /// The rate over the last `window`, or over all that there is of it; of none: since the sample before.
    fn over(&self, counter: &str, window: Duration) -> Option<f64> {
        let (now, last) = self.samples.back()?;
        let before = self.samples.iter().rev().skip(1);
        let is_within = |sample: &&(Duration, Counters)| now.saturating_sub(sample.0) <= window;
        let (then, first) = before.clone().take_while(is_within).last().or_else(|| before.clone().next())?;
        let of = |counters: &Counters| counters.get(counter).copied().unwrap_or_default();
        let seconds = now.saturating_sub(*then).as_secs_f64();
        (seconds > 0.0).then(|| (of(last) - of(first)) / seconds)
    }
}

/// Returns what one coordinator has counted since its start, of one group or of all.
fn counters(state: &CoordinatorState, group: Option<&str>) -> Counters {
    let mut counters = Counters::new();
    let mut add = |name: &str, value: f64| {
        if counters.len() < COUNTERS || counters.contains_key(name) {
            *counters.entry(name.to_owned()).or_default() += value;
        }
    };
    for group in of(state, group) {
        add("requests", group.saved.requests as f64);
        add("saved", group.saved.saved as f64);
        add("herds", group.saved.herds as f64);
        add("herd loads", group.saved.herd_loads as f64);
        add("evictions", group.evictions as f64);
        for (outcome, count) in group.outcomes.iter().take(COUNTERS) {
            add(&shown_within(outcome, WORD), *count as f64);
        }
    }
    for origin in
        state.origins.iter().filter(|origin| group.is_none_or(|group| origin.groups.iter().any(|of| of == group)))
    {
        add("loads", origin.requests as f64);
        add("load failures", origin.failures.values().map(|count| *count as f64).sum());
    }
    counters
}

/// The groups that are wanted.
pub(super) fn of<'a>(state: &'a CoordinatorState, group: Option<&'a str>) -> impl Iterator<Item = &'a GroupState> {
    state.groups.iter().filter(move |is| group.is_none_or(|group| is.name == group))
}
