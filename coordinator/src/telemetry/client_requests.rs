//! Clients' requests by how they were answered: each counts once, where it came in.

use meshcache_protocol::wire::Outcome;
use prometheus::{IntCounter, IntCounterVec};

/// How a plain client's request ends.
const ANSWERS: [Outcome; 6] =
    [Outcome::Hit, Outcome::Stale, Outcome::Miss, Outcome::Revalidated, Outcome::Pass, Outcome::Error];
/// Its client left before the response's head.
const GONE: &str = "gone";
/// How a proxy's request ends that the cache might have answered.
const TOLD: [&str; 7] = ["hot", "hit", "stale", "miss", "revalidated", "pass", "failed"];

/// The requests of one group's clients.
pub(crate) struct ClientRequests {
    answered: [(Outcome, IntCounter); ANSWERS.len()],
    gone: IntCounter,
    told: [(&'static str, IntCounter); TOLD.len()],
}

impl ClientRequests {
    pub(super) fn new(group: &str, family: &IntCounterVec) -> Self {
        let counter = |from: &str, outcome: &str| family.with_label_values(&[group, from, outcome]);
        Self {
            answered: ANSWERS.map(|outcome| (outcome, counter("client", outcome.label()))),
            gone: counter("client", GONE),
            told: TOLD.map(|outcome| (outcome, counter("proxy", outcome))),
        }
    }

    /// Counts a plain client's request. None: the client left first.
    pub(crate) fn count(&self, outcome: Option<Outcome>) {
        let answered = self.answered.iter().find(|(known, _)| Some(*known) == outcome);
        answered.map_or(&self.gone, |(_, counter)| counter).inc();
    }

    /// Adds requests that a proxy counted. Other outcomes are of requests that no cache answers.
    pub(super) fn add_told(&self, outcome: &str, count: u64) {
        if let Some((_, counter)) = self.told.iter().find(|(known, _)| *known == outcome) {
            counter.inc_by(count);
        }
    }

    /// Returns how many there were.
    pub(super) fn sum(&self) -> u64 {
        let known = self.answered.iter().map(|(_, counter)| counter);
        known.chain([&self.gone]).chain(self.told.iter().map(|(_, counter)| counter)).map(IntCounter::get).sum()
    }
}
