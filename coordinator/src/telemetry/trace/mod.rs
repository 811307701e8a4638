//! Traces without an exporter: who a request belongs to, what is recorded, and what goes out with a request.
//!
//! Pure but for the current request of a task. `traces/` exports what is recorded (a feature of the program).

mod context;
mod current;
mod propagation;
mod sampler;
mod span;
mod tracer;

pub(crate) use context::TraceContext;
pub(crate) use current::{Current, current_ids, current_trace, note_key, note_load, note_outcome};
pub(crate) use propagation::{Propagator, Propagators};
pub(crate) use sampler::{Root, Sampler};
pub(crate) use span::{OpenSpan, Span, SpanKind, SpanSink, Value};
pub(crate) use tracer::{Trace, Tracer};
