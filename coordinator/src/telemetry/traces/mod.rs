//! Export of traces by OTLP, as the standard variables `OTEL_*` say.
//!
//! Spans wait in a bounded queue. One task sends them; no request ever waits for it.

mod client;
mod message;
mod queue;
mod sending;
mod settings;
#[cfg(test)]
mod tests;
mod variables;

pub use settings::TraceSettings;

use crate::telemetry::{metrics::Metrics, trace::Tracer};
use sending::Sending;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

/// How long the last spans may take to be sent.
const END: Duration = Duration::from_secs(3);

/// The export of spans, in a task of its own.
pub(crate) struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Begins to export. Returns what traces requests, too. None where that cannot be, which a line says. `instance`:
    /// this process's name.
    pub(crate) fn start(settings: &TraceSettings, instance: &str, metrics: &Metrics) -> Option<(Arc<Tracer>, Self)> {
        let TraceSettings { sampler, propagators, batch, .. } = settings;
        let (queue, spans) = queue::queue(batch.queue, metrics.spans.clone());
        let sending = Sending::new(settings, instance, spans, metrics.spans.clone());
        let sending = sending.inspect_err(|why| tracing::warn!("{why}: no traces are sent")).ok()?;
        let (stop, stopped) = oneshot::channel();
        let tracer = Tracer { propagators: propagators.clone(), sampler: *sampler, sink: Arc::new(queue) };
        Some((Arc::new(tracer), Self { stop, task: tokio::spawn(sending.run(stopped)) }))
    }

    /// Sends what waits, for a short time.
    pub(crate) async fn end(self) {
        drop(self.stop);
        let _ = timeout(END, self.task).await;
    }
}
