//! A stale response in place of a service's failure while no coordinator answers (stale-if-error, RFC 5861 section 4).
//! An owner would do the same.

use crate::{
    http::{cached_headers::CachedHeaders, head::RequestHead},
    request::reply::Reply,
    state::{hot_cache::Variant, hot_state::HotState, listener_config::Side, lookup::PeerLookup, worker::Worker},
};
use meshcache_protocol::{
    Group, Key, Reason, Request,
    cache_status::cache_status,
    freshness::{Stored, reuse_on_error},
    request::Flags,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;

/// A hot response that accompanies a request which passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleFallback {
    stored: Stored,
    headers: CachedHeaders,
    body: Arc<Vec<u8>>,
    arrived: u64,
    last_use: u64,
    /// The number of purges that the worker had carried out. A later one rules the response out.
    purges: u64,
}

impl StaleFallback {
    /// Finds a hot response that group or response allow for this request.
    pub(crate) fn find(
        state: &HotState,
        side: Side,
        group: &Group,
        key: &Key,
        request: &Request<'_>,
        verified: bool,
        now: u64,
    ) -> Option<Box<Self>> {
        // Before the response is found: a purge that comes meanwhile rules it out.
        let purges = state.purge_count();
        if !state.may_serve_hot(now) || request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL)) {
            return None;
        }
        let variant = state.hot.find_stale(side, key, group.digest(), request, now)?;
        let allowed = reuse_on_error(group, request, verified, &variant.stored, now.saturating_sub(variant.arrived));
        allowed.then(|| Box::new(Self::of(&variant, purges)))
    }

    /// Finds one for a request that waited for a lookup. `map`: its own header map, if it had joined.
    pub(crate) fn find_for_waiter(
        worker: &Worker,
        lookup: &PeerLookup,
        map: Option<&[u8]>,
        now: u64,
    ) -> Option<Box<Self>> {
        let of = &lookup.request;
        let head = RequestHead::read(map.unwrap_or(&of.map))?;
        let request = head.request().ok()?;
        Self::find(&worker.state, of.side, &of.group, &of.key, &request, of.verified, now)
    }

    fn of(variant: &Variant, purges: u64) -> Self {
        let Variant { stored, body, arrived, .. } = variant;
        Self {
            stored: stored.clone(),
            headers: variant.head().headers.clone(),
            body: body.clone(),
            arrived: *arrived,
            last_use: variant.last_use(),
            purges,
        }
    }

    /// Returns the reply in place of the service's response. Returns `None` if that is no failure, or if this response
    /// may no longer be given.
    pub fn reply(&mut self, service: u16, worker: &Worker, now: u64) -> Option<Reply<'_>> {
        let installation = &worker.snapshot()?.installation;
        let allowed = worker.may_serve_hot(now) && worker.purge_count() == self.purges && now < self.last_use;
        if !allowed || !is_failure(service) {
            return None;
        }
        let resident = now.saturating_sub(self.arrived);
        let mut verdict = Verdict::new(Outcome::Stale).because(Reason::OriginError);
        (verdict.ttl, verdict.age) = (self.stored.ttl(resident), self.stored.age(resident));
        self.headers = self.headers.stamped(verdict.age / 1000, &cache_status(installation, &verdict, "", None));
        Some(Reply::whole(self.stored.status, &self.headers, &self.body))
    }
}

/// Returns whether RFC 5861 names this status. Envoy's own response when it reaches no service is among them.
fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
