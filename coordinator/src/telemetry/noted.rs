//! What the cache notes of a request on its way.

use crate::telemetry::trace::TraceContext;
use meshcache_protocol::{Hash, reason::AnyReason};
use parking_lot::Mutex;
use std::sync::Arc;

/// What the cache did with a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    pub(crate) group: Option<Arc<str>>,
    /// The hash of its key.
    pub(crate) key: Option<Hash>,
    /// In the words of `meshcache_requests_total`.
    pub(crate) outcome: Option<&'static str>,
    pub(crate) reason: Option<AnyReason>,
    /// The load of another request that answered it.
    pub(crate) load: Option<TraceContext>,
}

/// What is noted of a request in progress.
#[derive(Default)]
pub(crate) struct OpenRequest(Mutex<Noted>);

impl OpenRequest {
    pub(super) fn note_key(&self, key: Hash) {
        self.0.lock().key = Some(key);
    }

    pub(super) fn note_outcome(&self, group: &Arc<str>, outcome: &'static str, reason: Option<AnyReason>) {
        let mut noted = self.0.lock();
        (noted.group, noted.outcome, noted.reason) = (Some(group.clone()), Some(outcome), reason);
    }

    pub(super) fn note_load(&self, load: TraceContext) {
        self.0.lock().load = Some(load);
    }

    /// Returns what is noted.
    pub(super) fn take(&self) -> Noted {
        std::mem::take(&mut *self.0.lock())
    }
}
