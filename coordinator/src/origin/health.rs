//! Outages of an origin in the log: one line at the first failure, one at recovery.

use crate::origin::{
    failure::{Failure, OriginError},
    record::OriginRecord,
};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// The least time between two lines about an origin that comes and goes.
const MIN_BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The log of one group's origin.
pub(super) struct Health {
    group: String,
    origin: String,
    outage: Mutex<LoggedOutage>,
    pub(super) record: OriginRecord,
}

/// Failures without a response between.
#[derive(Default)]
pub(super) struct LoggedOutage {
    since: Option<Instant>,
    failures: u64,
    is_logged: bool,
    /// When the last line was logged.
    last_line: Option<Instant>,
}

impl Health {
    pub(super) fn new(group: &str, origin: &str) -> Self {
        Self {
            group: group.to_owned(),
            origin: origin.to_owned(),
            outage: Mutex::default(),
            record: OriginRecord::default(),
        }
    }

    /// Records a response, by how long its head took.
    pub(super) fn record_response(&self, took: Duration) {
        self.record.record_response(took);
        let over = self.outage.lock().record_response(Instant::now());
        if let Some((lasted, failures)) = over {
            tracing::info!(group = self.group, origin = self.origin, ?lasted, failures, "origin answers again");
        }
    }

    pub(super) fn record_failure(&self, error: &OriginError) {
        // A failure of the client or of this process says nothing about the origin.
        let is_origins = !matches!(error.failure, Failure::IncompleteRequest | Failure::Internal);
        if is_origins {
            self.record.record_failure(error.failure.label());
        }
        if is_origins && self.outage.lock().record_failure(Instant::now()) {
            tracing::warn!(
                group = self.group,
                origin = self.origin,
                reason = error.failure.label(),
                cause = error.cause,
                "origin does not answer"
            );
        }
    }
}

impl LoggedOutage {
    /// Records a failure. Returns whether to log it.
    pub(super) fn record_failure(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        self.failures += 1;
        let is_news = !self.is_logged && self.last_line.is_none_or(|last_line| now >= last_line + MIN_BETWEEN_LINES);
        if is_news {
            (self.is_logged, self.last_line) = (true, Some(now));
        }
        is_news
    }

    /// Records a response. Returns how long the outage lasted and how many requests failed, where that is to be logged.
    pub(super) fn record_response(&mut self, now: Instant) -> Option<(Duration, u64)> {
        let since = self.since.take()?;
        let failures = std::mem::take(&mut self.failures);
        if !std::mem::take(&mut self.is_logged) {
            return None;
        }
        self.last_line = Some(now);
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
        let mut origin = LoggedOutage::default();
        assert_eq!(origin.record_response(at(0)), None, "all is well");
        assert!(
            origin.record_failure(at(0)) && !origin.record_failure(at(1)) && !origin.record_failure(at(100)),
            "once"
        );
        assert_eq!(origin.record_response(at(100)), Some((Duration::from_secs(100), 3)));
        assert_eq!(origin.record_response(at(101)), None);
    }

    #[test]
    fn an_origin_that_comes_and_goes_does_not_fill_the_log() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(tenths * 100);
        let mut origin = LoggedOutage::default();
        let lines: usize = (0..200)
            .map(|n| {
                usize::from(origin.record_failure(at(2 * n)))
                    + usize::from(origin.record_response(at(2 * n + 1)).is_some())
            })
            .sum();
        assert_eq!(lines, 8, "in 40 s: a pair of lines each 10 s");
        assert!(origin.record_failure(at(600)), "a new outage after a while is news");
    }
}
