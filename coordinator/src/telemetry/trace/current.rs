//! The trace and the record of the request that a task works for.
//!
//! An extension of each request would cost each an allocation; a task that works for none pays for a look at a
//! thread's variable.

use crate::telemetry::{
    noted::OpenRequest,
    trace::{Trace, TraceContext},
};
use meshcache_protocol::{Hash, reason::AnyReason};
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Current;
}

/// What a task works for.
#[derive(Clone, Default)]
pub(crate) struct Current {
    pub(crate) trace: Trace,
    /// None for a load: it works for many.
    pub(crate) request: Option<Arc<OpenRequest>>,
}

impl Current {
    /// Makes this the current one while `work` is polled.
    pub(crate) fn scope<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        CURRENT.scope(self, work)
    }
}

/// Returns the trace of the current request or load.
pub(crate) fn current_trace() -> Trace {
    CURRENT.try_with(|current| current.trace.clone()).unwrap_or_default()
}

/// Returns the ids of the current span, for a log line.
pub(crate) fn current_ids() -> Option<TraceContext> {
    CURRENT.try_with(|current| current.trace.ids()).ok().flatten()
}

/// Records the key that the current request asks for.
pub(crate) fn note_key(key: Hash) {
    with_request(|request| request.note_key(key));
}

/// Records how the current request is answered, in the words of the metrics.
pub(crate) fn note_outcome(group: &Arc<str>, outcome: &'static str, reason: Option<AnyReason>) {
    with_request(|request| request.note_outcome(group, outcome, reason));
}

/// Records that the current request is answered by a load that another one began.
pub(crate) fn note_load(load: TraceContext) {
    with_request(|request| request.note_load(load));
}

fn with_request(note: impl FnOnce(&OpenRequest)) {
    // An error is a task that works for no request.
    let _ = CURRENT.try_with(|current| current.request.as_deref().map(note));
}
