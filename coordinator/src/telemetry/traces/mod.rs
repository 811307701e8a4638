//! Export of traces by OTLP, as the standard variables `OTEL_*` say.
//!
//! Spans wait in a bounded queue. One task sends them; no request ever waits for it.

mod client;
mod exporter;
mod message;
mod queue;
mod settings;
mod variables;

pub(crate) use exporter::Exporter;
pub use settings::TraceSettings;

use crate::telemetry::{metrics::Metrics, trace::Tracer};
use std::sync::Arc;

/// Begins to export. Returns what traces requests, and the task that sends their spans. `instance`: this process's name.
pub(crate) fn start(
    settings: &TraceSettings,
    instance: &str,
    metrics: &Metrics,
) -> Result<(Arc<Tracer>, Exporter), String> {
    let (queue, spans) = queue::queue(settings.batch.queue, metrics.spans.clone());
    let exporter = Exporter::new(settings, instance, spans, metrics.spans.clone())?;
    let TraceSettings { sampler, propagators, .. } = settings;
    let tracer = Tracer { propagators: propagators.clone(), sampler: *sampler, sink: Arc::new(queue) };
    Ok((Arc::new(tracer), exporter))
}
