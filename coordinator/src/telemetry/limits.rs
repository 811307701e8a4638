//! Limits on the memory and the descriptors of this process. Each time one is reached it is counted, and now and then
//! logged.

use crate::telemetry::rare::Rare;
use prometheus::{IntCounter, IntCounterVec};

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
pub(crate) struct LimitCounters(Vec<(IntCounter, Rare)>);

impl LimitCounters {
    pub(crate) fn new(counters: &IntCounterVec) -> Self {
        Self(
            ProcessLimit::ALL
                .iter()
                .map(|limit| (counters.with_label_values(&[limit.label()]), Rare::default()))
                .collect(),
        )
    }

    /// Counts one. The first in a while is logged.
    pub(crate) fn count(&self, limit: ProcessLimit) {
        let Some((counter, log)) = self.0.get(limit as usize) else { return };
        counter.inc();
        if log.is_due() {
            tracing::warn!(limit = limit.label(), "process limit reached: see meshcache_limits_met_total");
        }
    }
}
