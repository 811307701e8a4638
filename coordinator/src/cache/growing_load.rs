//! A load whose body takes its time: those who wait have its head, and read on while the body grows.

use crate::{
    cache::{
        insertion,
        insertion::LoadTarget,
        large,
        leave::Leave,
        load_job::LoadJob,
        load_limit::LoadPermit,
        load_outcome::{Landing, LoadOutcome, LoadedResponse, response_for_waiters, response_since},
        not_shared::{NotSharedReason, OVER_BUDGET, too_large},
        origin_response::{self, GrowingResponse, incomplete, mark_not_shared},
        state::Cache,
    },
    http::{
        body::Cut,
        growing::{Filled, GrowingBody, Overflow, Patience},
    },
    origin::{Failure, IdleTimeoutBody, Origin},
    store::{Entry, PurgeGuard},
};
use bytes::Bytes;
use http::response;
use meshcache_protocol::{
    Reason,
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
        let GrowingResponse { head, vary, parts, stored, began, filling, is_large, continuation } = &response;
        let (served, now) = (&self.job.served, cache.clock.now());
        let entry = Arc::new(parts.clone().entry(served, stored.clone(), Bytes::new()));
        let mut verdict = Verdict::new(Outcome::Miss);
        verdict.fwd_status = entry.status.as_u16();
        let mut loaded = if let (true, Some(continuation)) = (is_large, continuation) {
            large::begin(&cache, &self.job, filling.body(), continuation.clone());
            self.mark_large(&cache, (head, vary), filling.body());
            response_for_waiters(&entry, verdict, Reason::TooLarge, now, *began)
        } else if insertion::is_used_too_little(&cache, served, self.guard.key()) {
            response_for_waiters(&entry, verdict, Reason::MinUses, now, *began)
        } else {
            verdict.stored = !self.guard.is_purged(&entry);
            response_since(&entry, verdict, now, *began)
        };
        loaded.growing = Some(filling.body().clone());
        if !*is_large {
            let head = Duration::from_millis(now.saturating_sub(parts.arrived));
            loaded.leave = Leave::new(head, served.group.config().stream_after.duration());
        }
        Landing::Growing(loaded.clone(), Box::pin(self.finish(cache, response, loaded)))
    }

    async fn finish(self, cache: Arc<Cache>, response: GrowingResponse, loaded: LoadedResponse) -> LoadOutcome {
        let GrowingResponse { head, vary, parts, stored, began, filling, is_large, continuation } = response;
        let served = &self.job.served;
        if is_large {
            let body = large::stream(&self.job, filling);
            // What may not be given again is for those alone who are here.
            let cut = if loaded.verdict.ttl > 0 { large::passed(&body).await } else { None };
            return self.large(&cache, cut, loaded);
        }
        match filling.fill().await {
            Filled::Whole(filling, whole) => {
                let entry = parts.entry(served, stored, whole.clone());
                let outcome = origin_response::store(&cache, served, &self.guard, entry, began);
                // After the store: who has the end of it and asks again finds it there.
                filling.body().complete(whole);
                outcome
            }
            Filled::Cut(cut) => self.judge(|target| incomplete(&cache, target, &cut)),
            Filled::TooLarge(rest) => match continuation {
                Some(continuation) => {
                    let body = rest.body().clone();
                    large::begin(&cache, &self.job, &body, continuation);
                    self.mark_large(&cache, (&head, &vary), &body);
                    tokio::spawn(rest.stream(Some(large::window(&self.job)), large::PATIENCE));
                    self.large(&cache, large::passed(&body).await, loaded)
                }
                None => self.let_go(&cache, rest, (&head, vary), NotStored::TooLarge.into()),
            },
            Filled::OverBudget(rest) => self.let_go(&cache, rest, (&head, vary), OVER_BUDGET),
        }
    }

    /// The outcome of a large body that goes on with those who read it.
    fn large(&self, cache: &Cache, cut: Option<Cut>, loaded: LoadedResponse) -> LoadOutcome {
        match cut {
            Some(cut) => self.judge(|target| incomplete(cache, target, &cut)),
            None => LoadOutcome::Loaded(loaded),
        }
    }

    fn mark_large(&self, cache: &Cache, (head, vary): (&response::Parts, &Vary), body: &GrowingBody) {
        let why = too_large(Some(body.length().unwrap_or(u64::MAX)));
        self.judge(|target| mark_not_shared(cache, target, vary.clone(), why, head));
    }

    /// Lets a body that cannot be kept stream on to those who read it. All others load it themselves.
    fn let_go(
        &self,
        cache: &Cache,
        rest: Overflow<IdleTimeoutBody>,
        (head, vary): (&response::Parts, Vary),
        why: NotSharedReason,
    ) -> LoadOutcome {
        let patience = match &self.job.served.origin {
            // What is not taken of a copy, its proxy has to keep.
            Origin::Proxies { .. } => large::PATIENCE,
            origin => Patience::Idle(origin.timeout()),
        };
        tokio::spawn(rest.stream(None, patience));
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
