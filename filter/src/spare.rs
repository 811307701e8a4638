//! What stands in for the service when no coordinator answers and the service fails, too: a hot answer past its time,
//! where the group or the response allows it (stale-if-error, RFC 5861 section 4). An owner would do the same; only
//! nobody can ask it.

use crate::{hot::Variant, pairs::Block, reply::Reply, worker::Worker};
use meshcache_protocol::{
    Reason,
    cache_status::cache_status,
    freshness::Stored,
    wire::{Outcome, Verdict},
};
use std::rc::Rc;

/// A hot answer on its way beside a request that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spare {
    stored: Stored,
    block: Block,
    body: Rc<Vec<u8>>,
    arrived: u64,
    last: u64,
    /// How many purges the worker had heard of: one that comes meanwhile wins.
    purges: u64,
}

impl Spare {
    /// Takes a hot answer along.
    pub fn of(variant: &Variant, purges: u64) -> Self {
        let Variant { stored, block, body, arrived, .. } = variant;
        Self {
            stored: stored.clone(),
            block: block.clone(),
            body: body.clone(),
            arrived: *arrived,
            last: variant.last(),
            purges,
        }
    }

    /// The reply in place of what the service said. `None`: that was no failure, or this answer may not be given any
    /// more.
    pub fn reply(&mut self, service: u16, worker: &Worker, now: u64) -> Option<Reply<'_>> {
        let installation = &worker.known()?.installation;
        let allowed = worker.trusts(now) && worker.purges() == self.purges && now < self.last;
        if !allowed || !is_failure(service) {
            return None;
        }
        let resident = now.saturating_sub(self.arrived);
        let mut verdict = Verdict::new(Outcome::Stale).because(Reason::OriginError);
        (verdict.ttl, verdict.age) = (self.stored.ttl(resident), self.stored.age(resident));
        self.block.end(verdict.age / 1000, &cache_status(installation, &verdict, "", None));
        Some(Reply::whole(self.stored.status, &self.block, &self.body))
    }
}

/// The failures that RFC 5861 names. What Envoy says when it reaches no service is one of them.
fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
