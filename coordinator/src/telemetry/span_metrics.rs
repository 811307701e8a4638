//! What became of recorded spans.

use prometheus::{IntCounter, IntCounterVec};
use std::sync::Arc;

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum SpanOutcome {
    /// The collector has it.
    Sent,
    /// Too many waited.
    QueueFull,
    /// The collector did not take it.
    Refused,
    /// There was no collector for too long.
    NoAnswer,
}

impl SpanOutcome {
    const ALL: [Self; 4] = [Self::Sent, Self::QueueFull, Self::Refused, Self::NoAnswer];

    /// Returns the metric's label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::QueueFull => "queue-full",
            Self::Refused => "refused",
            Self::NoAnswer => "no-answer",
        }
    }
}

/// Counts spans by what became of them.
#[derive(Clone)]
pub(crate) struct SpanCounters(Arc<[IntCounter]>);

impl SpanCounters {
    pub(super) fn new(counters: &IntCounterVec) -> Self {
        Self(SpanOutcome::ALL.iter().map(|outcome| counters.with_label_values(&[outcome.label()])).collect())
    }

    pub(crate) fn add(&self, outcome: SpanOutcome, spans: usize) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.inc_by(spans as u64);
        }
    }
}
