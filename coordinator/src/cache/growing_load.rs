//! A load whose body takes its time: those who wait have its head, and read on while the body grows.

use crate::{
    cache::{
        insertion,
        insertion::LoadTarget,
        leave::Leave,
        load_job::LoadJob,
        load_limit::LoadPermit,
        load_outcome::{Landing, LoadOutcome, response_before_min_uses, response_since},
        origin_response::{self, GrowingResponse, NotSharedReason, OVER_BUDGET, incomplete, mark_not_shared},
        state::Cache,
    },
    http::growing::{Filled, Overflow},
    origin::{Failure, IdleTimeoutBody},
    store::{Entry, PurgeGuard},
};
use bytes::Bytes;
use http::response;
use meshcache_protocol::{
    freshness::{NotStored, Vary},
    wire::{Outcome, Verdict},
};
use std::{sync::Arc, time::Duration};

/// A load that goes on, with all that it holds until its end.
pub(crate) struct Load {
    pub(crate) job: Arc<LoadJob>,
    pub(crate) guard: PurgeGuard,
    pub(crate) stale: Option<Arc<Entry>>,
    pub(crate) _permit: LoadPermit,
}

impl Load {
    /// Returns what those who wait get now, and what is left to do.
    pub(crate) fn land(self, cache: Arc<Cache>, response: GrowingResponse) -> Landing {
        let GrowingResponse { parts, stored, began, filling, .. } = &response;
        let (served, now) = (&self.job.served, cache.clock.now());
        let entry = Arc::new(parts.clone().entry(served, stored.clone(), Bytes::new()));
        let mut verdict = Verdict::new(Outcome::Miss);
        verdict.fwd_status = entry.status.as_u16();
        let mut loaded = if insertion::is_used_too_little(&cache, served, self.guard.key()) {
            response_before_min_uses(&entry, verdict, now, *began)
        } else {
            verdict.stored = !self.guard.is_purged(&entry);
            response_since(&entry, verdict, now, *began)
        };
        loaded.growing = Some(filling.body().clone());
        let head = Duration::from_millis(now.saturating_sub(parts.arrived));
        loaded.leave = Leave::new(head, served.group.config().stream_after.duration());
        Landing::Growing(loaded, Box::pin(self.finish(cache, response)))
    }

    async fn finish(self, cache: Arc<Cache>, response: GrowingResponse) -> LoadOutcome {
        let GrowingResponse { head, vary, parts, stored, began, filling } = response;
        let served = &self.job.served;
        match filling.fill().await {
            Filled::Whole(filling, whole) => {
                let entry = parts.entry(served, stored, whole.clone());
                let outcome = origin_response::store(&cache, served, &self.guard, entry, began);
                // After the store: who has the end of it and asks again finds it there.
                filling.body().complete(whole);
                outcome
            }
            Filled::Cut(cut) => self.judge(|target| incomplete(&cache, target, &cut)),
            Filled::TooLarge(rest) => self.let_go(&cache, rest, (&head, vary), NotStored::TooLarge.into()),
            Filled::OverBudget(rest) => self.let_go(&cache, rest, (&head, vary), OVER_BUDGET),
        }
    }

    /// Lets a body that cannot be kept stream on to those who read it. All others load it themselves.
    fn let_go(
        &self,
        cache: &Cache,
        rest: Overflow<IdleTimeoutBody>,
        (head, vary): (&response::Parts, Vary),
        why: NotSharedReason,
    ) -> LoadOutcome {
        tokio::spawn(rest.stream(self.job.served.origin.timeout()));
        self.judge(|target| mark_not_shared(cache, target, vary, why, head))
    }

    /// Judges its end as that of a load for its request.
    fn judge(&self, judge: impl FnOnce(&LoadTarget<'_>) -> LoadOutcome) -> LoadOutcome {
        let LoadJob { served, head, verified, .. } = &*self.job;
        let fields = head.fields();
        let Ok(request) = head.request(&fields) else { return LoadOutcome::Failed(Failure::Internal) };
        judge(&LoadTarget {
            served,
            request: request.whole(),
            verified: *verified,
            load: &self.guard,
            stale: self.stale.as_ref(),
        })
    }
}
