//! Limits on the memory and the descriptors of this process. Each time one is reached it is counted, and now and then
//! logged.

use crate::clock;
use prometheus::{IntCounter, IntCounterVec};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The least time between two log lines about the same limit, milliseconds.
const MIN_BETWEEN_LINES: u64 = 10_000;

/// A limit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum ProcessLimit {
    /// The length of the body of a control call.
    BodyLength,
    /// The time that it takes to arrive.
    BodyTime,
    /// The bytes of such bodies in progress.
    Bodies,
    /// Such bodies in progress on one connection.
    BodiesOfConnection,
    /// The memory of groups that observe.
    Observed,
    /// The bytes of the feed's responses.
    FeedAnswers,
    /// The bytes of requests in progress.
    Heads,
    /// Descriptors of connections to origins.
    Descriptors,
}

impl ProcessLimit {
    /// All limits.
    pub(crate) const ALL: [Self; 8] = [
        Self::BodyLength,
        Self::BodyTime,
        Self::Bodies,
        Self::BodiesOfConnection,
        Self::Observed,
        Self::FeedAnswers,
        Self::Heads,
        Self::Descriptors,
    ];

    /// Returns the metric's label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::BodyLength => "body-length",
            Self::BodyTime => "body-time",
            Self::Bodies => "bodies",
            Self::BodiesOfConnection => "bodies-of-connection",
            Self::Observed => "observed",
            Self::FeedAnswers => "feed-answers",
            Self::Heads => "heads",
            Self::Descriptors => "descriptors",
        }
    }
}

/// How often each limit was reached.
pub(crate) struct LimitCounters(Vec<(IntCounter, AtomicU64)>);

impl LimitCounters {
    pub(crate) fn new(counters: &IntCounterVec) -> Self {
        Self(
            ProcessLimit::ALL
                .iter()
                .map(|limit| (counters.with_label_values(&[limit.label()]), AtomicU64::new(0)))
                .collect(),
        )
    }

    /// Counts one. The first in a while is logged.
    pub(crate) fn count(&self, limit: ProcessLimit) {
        let Some((counter, last_line)) = self.0.get(limit as usize) else { return };
        counter.inc();
        let (now, before) = (clock::awake(), last_line.load(Relaxed));
        let is_new = before == 0 || now >= before.saturating_add(MIN_BETWEEN_LINES);
        if is_new && last_line.compare_exchange(before, now.max(1), Relaxed, Relaxed).is_ok() {
            tracing::warn!(limit = limit.label(), "process limit reached: see meshcache_limits_met_total");
        }
    }
}
