//! The spans that wait to be sent: bounded, and a request never waits for a place.

use crate::telemetry::{
    span_metrics::{SpanCounters, SpanOutcome},
    trace::{Span, SpanSink},
    traces::settings::Batch,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, timeout_at},
};

/// Where spans that have ended go.
pub(super) struct Queue {
    places: Sender<Span>,
    counters: SpanCounters,
}

/// The other end.
pub(super) struct Spans {
    waiting: Receiver<Span>,
    /// Those of the next message.
    gathered: Vec<Span>,
}

/// Returns a queue with so many places.
pub(super) fn queue(places: usize, counters: SpanCounters) -> (Queue, Spans) {
    let (places, spans) = channel(places.max(1));
    (Queue { places, counters }, Spans { waiting: spans, gathered: Vec::new() })
}

impl SpanSink for Queue {
    fn take(&self, span: Span) {
        if self.places.try_send(span).is_err() {
            self.counters.add(SpanOutcome::QueueFull, 1);
        }
    }
}

impl Spans {
    /// Waits for the spans of one message. None: there will be no more. Dropped before its end, it loses none.
    pub(super) async fn next(&mut self, batch: &Batch) -> Option<Vec<Span>> {
        let Self { waiting, gathered } = self;
        if gathered.is_empty() && waiting.recv_many(gathered, batch.most).await == 0 {
            return None;
        }
        let deadline = Instant::now() + batch.delay;
        while gathered.len() < batch.most {
            let most = batch.most - gathered.len();
            match timeout_at(deadline, waiting.recv_many(gathered, most)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Some(std::mem::take(gathered))
    }

    /// Takes no more spans: those that wait are the last.
    pub(super) fn close(&mut self) {
        self.waiting.close();
    }
}
