//! Limits on the memory and the descriptors of one process: whoever meets one gets a clear answer, is counted, and is
//! now and then a line in the log.

use crate::clock;
use prometheus::{IntCounter, IntCounterVec};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Between two lines in the log about the same limit, milliseconds.
const QUIET: u64 = 10_000;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Limit {
    /// How long the body of a control call is.
    BodyLength,
    /// How long it takes to come.
    BodyTime,
    /// How many bytes of such bodies are read at once.
    Bodies,
    /// How many of them are read at once on one connection.
    BodiesOfConnection,
    /// How much is remembered of groups that observe.
    Observed,
    /// What the feed's answers take.
    FeedAnswers,
    /// What requests under way take.
    Heads,
    /// How many descriptors connections to origins have.
    Descriptors,
}

impl Limit {
    /// Every one.
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

    /// The metric's label.
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

/// How often each was met.
pub(crate) struct Met(Vec<(IntCounter, AtomicU64)>);

impl Met {
    pub(crate) fn new(counters: &IntCounterVec) -> Self {
        Self(Limit::ALL.iter().map(|limit| (counters.with_label_values(&[limit.label()]), AtomicU64::new(0))).collect())
    }

    /// Counts one. The first in a while is said.
    pub(crate) fn note(&self, limit: Limit) {
        let Some((counter, said)) = self.0.get(limit as usize) else { return };
        counter.inc();
        let (now, before) = (clock::awake(), said.load(Relaxed));
        let is_new = before == 0 || now >= before.saturating_add(QUIET);
        if is_new && said.compare_exchange(before, now.max(1), Relaxed, Relaxed).is_ok() {
            tracing::warn!(
                limit = limit.label(),
                "a limit of this process is met: meshcache_limits_met_total counts it"
            );
        }
    }
}
