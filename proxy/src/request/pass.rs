//! A request that passes to the service, and what Cache-Status says of it.

use crate::{
    request::{fill::FillCall, stale_fallback::StaleFallback},
    state::counters::{Counters, Reason, outcome_of_pass},
};
use meshcache_protocol::{
    Group, Key,
    cache_status::cache_status,
    reason::Word,
    wire::{Outcome, Verdict},
};

/// A request that passes to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The reason.
    pub reason: Reason,
    /// Its Cache-Status on the response. `None`: the request is not one of the cache, and its response is left alone.
    pub cache_status: Option<String>,
    /// The response that replaces a failure of the service. Only while no coordinator answers: else it is their
    /// decision.
    pub fallback: Option<Box<StaleFallback>>,
    /// The call that takes the owner a copy of the response, where this request fills.
    pub fill: Option<Box<FillCall>>,
}

impl Pass {
    /// A request that is not one of the cache.
    pub(crate) fn unnoticed(reason: Reason) -> Self {
        Self { reason, cache_status: None, fallback: None, fill: None }
    }

    /// A request of a group, which is counted. `debug`: its key, for Cache-Status.
    pub(crate) fn of_group(
        counters: &mut Counters,
        group: &Group,
        installation: &str,
        reason: Reason,
        debug: Option<&Key>,
    ) -> Self {
        count_pass(counters, group, reason);
        Self::with_reason(installation, reason, reason.into(), debug)
    }

    /// A request whose Cache-Status has this detail.
    pub(crate) fn with_reason(installation: &str, reason: Reason, detail: Word, debug: Option<&Key>) -> Self {
        let verdict = Verdict::new(Outcome::Pass).because(detail);
        let said = cache_status(installation, &verdict, "", debug.map(Key::to_string).as_deref());
        Self { reason, cache_status: Some(said), fallback: None, fill: None }
    }
}

/// Counts a pass of a group's request.
pub(crate) fn count_pass(counters: &mut Counters, group: &Group, reason: Reason) {
    counters.count_pass(reason);
    counters.count_request(group.name(), outcome_of_pass(reason));
}
