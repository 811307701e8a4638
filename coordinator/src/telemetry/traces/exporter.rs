//! Sends spans to a collector, message by message, and says once when that fails and once when it works again.

use crate::telemetry::{
    span_metrics::{SpanCounters, SpanOutcome},
    trace::Span,
    traces::{
        client::{Client, NotTaken},
        message::{message, resource},
        queue::Spans,
        settings::{Batch, TraceSettings},
    },
};
use bytes::Bytes;
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceResponse, resource::v1::Resource};
use prost::Message;
use std::time::Duration;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// Between two attempts of the same message: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// The task that sends spans.
pub(crate) struct Exporter {
    client: Client,
    resource: Resource,
    spans: Spans,
    batch: Batch,
    counters: SpanCounters,
    /// The last message was not taken, and a line has said so.
    is_failing: bool,
}

impl Exporter {
    pub(super) fn new(
        settings: &TraceSettings,
        instance: &str,
        spans: Spans,
        counters: SpanCounters,
    ) -> Result<Self, String> {
        Ok(Self {
            client: Client::new(settings)?,
            resource: resource(&settings.resource, instance),
            spans,
            batch: settings.batch,
            counters,
            is_failing: false,
        })
    }

    /// Sends spans until `stop`, and then those that wait. Whoever stops it waits for that as long as it likes.
    pub(crate) async fn run(mut self, stop: oneshot::Receiver<()>) {
        let mut stop = Some(stop);
        loop {
            let stopped = async {
                match &mut stop {
                    // An error: nobody is left who could stop it.
                    Some(stop) => drop(stop.await),
                    None => std::future::pending().await,
                }
            };
            let spans = tokio::select! {
                biased;
                () = stopped => None,
                spans = self.spans.next(&self.batch) => Some(spans),
            };
            match spans {
                None => {
                    stop = None;
                    self.spans.close();
                }
                Some(None) => return,
                Some(Some(spans)) => self.export(spans).await,
            }
        }
    }

    async fn export(&mut self, spans: Vec<Span>) {
        let (count, began) = (spans.len(), Instant::now());
        let message = message(&self.resource, spans).encode_to_vec();
        let mut pause = PAUSES.0;
        let outcome = loop {
            match self.client.send(&message).await {
                Ok(answer) => {
                    self.taken(count, &answer);
                    return;
                }
                Err(NotTaken::Never(why)) => {
                    self.say(&why);
                    break SpanOutcome::Refused;
                }
                Err(NotTaken::Later(why, after)) => {
                    self.say(&why);
                    let wait = pause.max(after.unwrap_or_default());
                    if began.elapsed() + wait > self.batch.timeout {
                        break SpanOutcome::NoAnswer;
                    }
                    sleep(wait).await;
                    pause = (2 * pause).min(PAUSES.1);
                }
            }
        };
        self.counters.add(outcome, count);
    }

    fn taken(&mut self, count: usize, answer: &Bytes) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("the collector takes traces again");
        }
        // What is no such message says nothing of refused spans.
        let partial = ExportTraceServiceResponse::decode(answer.clone()).ok().and_then(|answer| answer.partial_success);
        let refused = partial.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0)).min(count);
        self.counters.add(SpanOutcome::Refused, refused);
        self.counters.add(SpanOutcome::Sent, count - refused);
    }

    fn say(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(reason, "the collector does not take traces: see meshcache_spans_total");
        }
    }
}
