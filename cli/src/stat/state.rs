//! What `stat` knows, and what keys change of it.

use crate::{
    failed::NoAnswer,
    stat::tally::{self, Counters, MOST, Rates, Tally},
    terminal::{
        Key,
        screen::{Model, Step},
        text::shown,
    },
};
use meshcache_admin::{GroupState, Latency, Mesh, Saved};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// The state of the screen.
#[derive(Default)]
pub(super) struct State {
    group: Option<String>,
    tally: Tally,
    pub(super) figures: Option<Figures>,
    pub(super) is_paused: bool,
    /// Coordinators that are above the screen.
    pub(super) above: usize,
    pub(super) problem: Option<String>,
}

/// All that is shown, as one line of JSON tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    /// Of this group alone; none: of all.
    pub(super) group: Option<String>,
    /// What was saved since the coordinators started.
    pub(super) saved: Saved,
    /// What was saved, in one sentence.
    pub(super) sentence: String,
    /// Counts since the coordinators started.
    pub(super) counts: Counters,
    /// Their rates, a second each.
    pub(super) rates: BTreeMap<String, Rates>,
    /// How long hits took: no coordinator was slower.
    pub(super) hits: Latency,
    /// How long loads took: no coordinator was slower.
    pub(super) misses: Latency,
    /// Stored responses and their bytes; the stores' limits and the processes' memory.
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) store_bytes: u64,
    pub(super) memory_bytes: u64,
    /// Loads in progress, and requests that wait for a place among them.
    pub(super) loading: u64,
    pub(super) waiting: u64,
    /// Proxies that ask for the feed.
    pub(super) proxies: u64,
    pub(super) coordinators: Vec<One>,
}

/// One coordinator.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct One {
    pub(super) name: String,
    /// Why there is no answer; none: there is.
    pub(super) unreached: Option<String>,
    pub(super) version: String,
    pub(super) up_seconds: u64,
    pub(super) has_lease: bool,
    pub(super) not_ready: Option<String>,
    pub(super) digest: String,
    /// What is wrong with a newer configuration.
    pub(super) refused: Option<String>,
    pub(super) bytes: u64,
    pub(super) store_bytes: u64,
}

impl State {
    pub(super) fn of(group: Option<String>) -> Self {
        Self { group, ..Self::default() }
    }

    /// Returns the group that is wanted, if no coordinator knows it.
    pub(super) fn lacks(&self, mesh: &Mesh) -> Option<String> {
        let group = self.group.as_ref()?;
        let mut states = mesh.coordinators.iter().filter_map(|coordinator| coordinator.state.as_ref());
        (!states.any(|state| tally::of(state, Some(group)).next().is_some())).then(|| group.clone())
    }

    fn figures(&self, mesh: &Mesh) -> Figures {
        let group = self.group.as_deref();
        let states = || mesh.coordinators.iter().filter_map(|coordinator| coordinator.state.as_ref());
        let groups = || states().flat_map(|state| tally::of(state, group));
        let sum = |of: fn(&GroupState) -> u64| groups().map(of).fold(0, u64::saturating_add);
        let counts = self.tally.counts.clone();
        let rates = counts.keys().map(|name| (name.clone(), self.tally.rates(name))).collect();
        let saved: Saved = if group.is_some() { groups().map(|group| group.saved).sum() } else { mesh.saved };
        Figures {
            group: self.group.clone(),
            saved,
            sentence: saved.to_string(),
            counts,
            rates,
            hits: slowest(groups().map(|group| group.hits)),
            misses: slowest(groups().map(|group| group.misses)),
            entries: sum(|group| group.entries),
            bytes: sum(|group| group.bytes),
            loading: sum(|group| group.loading),
            waiting: sum(|group| group.waiting),
            store_bytes: states().map(|state| state.store_bytes).fold(0, u64::saturating_add),
            memory_bytes: states().map(|state| state.memory_bytes).fold(0, u64::saturating_add),
            proxies: states().map(|state| state.proxy_count).fold(0, u64::saturating_add),
            coordinators: mesh.coordinators.iter().take(MOST).map(one).collect(),
        }
    }
}

/// Percentiles of several histograms cannot be put together: the worst of them is true of all.
fn slowest(all: impl Iterator<Item = Latency>) -> Latency {
    all.fold(Latency::default(), |one, other| Latency {
        count: one.count.saturating_add(other.count),
        p50: one.p50.max(other.p50),
        p99: one.p99.max(other.p99),
    })
}

fn one(coordinator: &meshcache_admin::Coordinator) -> One {
    let state = coordinator.state.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.as_deref().map(shown);
    let no_answer = || "no answer".to_owned();
    One {
        name: shown(&coordinator.name),
        unreached: coordinator.state.is_none().then(|| text(&coordinator.unreached).unwrap_or_else(no_answer)),
        version: shown(&state.version),
        up_seconds: state.up_seconds,
        has_lease: state.has_lease,
        not_ready: text(&state.not_ready),
        digest: shown(&state.config.digest),
        refused: text(&state.config.refused),
        bytes: state.groups.iter().map(|group| group.bytes).fold(0, u64::saturating_add),
        store_bytes: state.store_bytes,
    }
}

impl Model for State {
    type Answer = Result<Mesh, NoAnswer>;

    fn press(&mut self, key: Key) -> Step {
        let last = self.figures.as_ref().map_or(0, |figures| figures.coordinators.len().saturating_sub(1));
        match key {
            Key::Interrupt | Key::Char('q') => return Step::Quit,
            Key::Char(' ') => self.is_paused = !self.is_paused,
            Key::Up | Key::Char('k') => self.above = self.above.saturating_sub(1),
            Key::Down | Key::Char('j') => self.above = self.above.saturating_add(1).min(last),
            Key::Home => self.above = 0,
            Key::End => self.above = last,
            _ => {}
        }
        Step::Stay
    }

    fn take(&mut self, answer: Self::Answer, at: Duration) {
        match answer {
            Ok(mesh) => {
                self.tally.take(&mesh, self.group.as_deref(), at);
                (self.figures, self.problem) = (Some(self.figures(&mesh)), None);
            }
            Err(problem) => self.problem = Some(shown(&problem.to_string())),
        }
    }

    fn is_paused(&self) -> bool {
        self.is_paused
    }
}
