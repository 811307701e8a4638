//! Whether an origin answers, as the log has it: one line when it fails first, one when it is back.

use crate::origin::failure::{Failure, Missed};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Between two lines about an origin that comes and goes.
const QUIET: Duration = Duration::from_secs(10);

/// One group's origin.
pub(super) struct Health {
    group: String,
    origin: String,
    outage: Mutex<Outage>,
}

/// Failures without an answer between.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    failures: u64,
    is_told: bool,
    /// When something was last said.
    told: Option<Instant>,
}

impl Health {
    pub(super) fn new(group: &str, origin: &str) -> Self {
        Self { group: group.to_owned(), origin: origin.to_owned(), outage: Mutex::default() }
    }

    pub(super) fn answered(&self) {
        let over = self.outage.lock().ends(Instant::now());
        if let Some((lasted, failures)) = over {
            tracing::info!(group = self.group, origin = self.origin, ?lasted, failures, "origin answers again");
        }
    }

    pub(super) fn failed(&self, missed: &Missed) {
        // What the client did, or we did, says nothing of the origin.
        let is_origins = !matches!(missed.failure, Failure::IncompleteRequest | Failure::Internal);
        if is_origins && self.outage.lock().fails(Instant::now()) {
            tracing::warn!(
                group = self.group,
                origin = self.origin,
                reason = missed.failure.label(),
                cause = missed.cause,
                "origin does not answer"
            );
        }
    }
}

impl Outage {
    /// Whether that is to be told.
    fn fails(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        self.failures += 1;
        let is_news = !self.is_told && self.told.is_none_or(|told| now >= told + QUIET);
        if is_news {
            (self.is_told, self.told) = (true, Some(now));
        }
        is_news
    }

    /// How long it lasted and what failed meanwhile, if that is to be told.
    fn ends(&mut self, now: Instant) -> Option<(Duration, u64)> {
        let since = self.since.take()?;
        let failures = std::mem::take(&mut self.failures);
        if !std::mem::take(&mut self.is_told) {
            return None;
        }
        self.told = Some(now);
        Some((now.saturating_duration_since(since), failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_has_a_first_line_and_a_last() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut origin = Outage::default();
        assert_eq!(origin.ends(at(0)), None, "all is well");
        assert!(origin.fails(at(0)) && !origin.fails(at(1)) && !origin.fails(at(100)), "once");
        assert_eq!(origin.ends(at(100)), Some((Duration::from_secs(100), 3)));
        assert_eq!(origin.ends(at(101)), None);
    }

    #[test]
    fn an_origin_that_comes_and_goes_does_not_fill_the_log() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(tenths * 100);
        let mut origin = Outage::default();
        let lines: usize = (0..200)
            .map(|n| usize::from(origin.fails(at(2 * n))) + usize::from(origin.ends(at(2 * n + 1)).is_some()))
            .sum();
        assert_eq!(lines, 8, "in 40 s: a pair of lines each 10 s");
        assert!(origin.fails(at(600)), "a new outage after a while is news");
    }
}
