//! The outcome of a load, and for which of its waiters it is.

use crate::{
    cache::{flight::FlightGuard, leave::Leave, response},
    http::{body::Body, growing::GrowingBody},
    origin::Failure,
    store::Entry,
};
use futures_util::future::BoxFuture;
use http::Response;
use meshcache_protocol::{
    Reason,
    reason::AnyReason,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// The result of a flight, for all its waiters.
#[derive(Clone)]
pub(crate) enum LoadOutcome {
    /// A response, for the waiters that it fits.
    Loaded(LoadedResponse),
    /// No response that may be shared: each waiter passes.
    NotShared(NotShared),
    /// No response.
    Failed(Failure),
}

/// A response, and for which waiters it is.
#[derive(Clone)]
pub(crate) struct LoadedResponse {
    pub(crate) entry: Arc<Entry>,
    pub(crate) verdict: Verdict,
    pub(crate) audience: Audience,
    /// When its load began. A response that needs validation before reuse is for requests that came before.
    pub(crate) began: Instant,
    /// Its body, if that is still growing: the entry's own is empty.
    pub(crate) growing: Option<Arc<GrowingBody>>,
    /// The leave that one of those may have who do not take a growing body.
    pub(crate) leave: Option<Arc<Leave>>,
}

/// What a load has come to.
pub(crate) enum Landing {
    /// All is known.
    Done(LoadOutcome),
    /// A response that may be shared and whose body is still growing; and what is left to do, which tells the outcome
    /// for those who take whole bodies alone.
    Growing(LoadedResponse, BoxFuture<'static, LoadOutcome>),
}

impl From<LoadOutcome> for Landing {
    fn from(outcome: LoadOutcome) -> Self {
        Self::Done(outcome)
    }
}

impl Landing {
    /// Gives a flight's waiters what they take, each as soon as it is there.
    pub(crate) async fn complete(self, flight: FlightGuard<LoadOutcome>) {
        let outcome = match self {
            Self::Done(outcome) => outcome,
            Self::Growing(response, rest) => {
                if let Some(body) = &response.growing {
                    body.expect(flight.waiting());
                }
                flight.announce(LoadOutcome::Loaded(response));
                rest.await
            }
        };
        let bytes = outcome.bytes();
        flight.complete(outcome, bytes);
    }
}

/// The waiters that may get a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The leader; the others pass.
    Leader,
    /// The leader; another waiter leads the next load, which shows whether the failure was the first leader's own
    /// fault.
    First,
    /// All that its Vary fits. If it may not be reused, only those that came before its load began.
    All,
    /// All that its Vary fits, whenever they came: two loads have brought this failure.
    Waiters,
}

/// Why a response may not be shared, and for how many milliseconds that is remembered for requests with the same values
/// in the fields of `vary`.
#[derive(Clone)]
pub(crate) struct NotShared {
    pub(crate) reason: AnyReason,
    pub(crate) remember: u64,
    pub(crate) vary: String,
}

impl LoadOutcome {
    /// Its size in memory.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Loaded(response) => response.entry.bytes(),
            Self::NotShared(_) | Self::Failed(_) => 0,
        }
    }
}

/// Returns a stored response for all waiters, with its age and the rest of its freshness.
pub(crate) fn loaded(entry: &Arc<Entry>, verdict: Verdict, now: u64) -> LoadOutcome {
    loaded_since(entry, verdict, now, Instant::now())
}

/// Like [`loaded`], for a load that began earlier.
pub(crate) fn loaded_since(entry: &Arc<Entry>, verdict: Verdict, now: u64, began: Instant) -> LoadOutcome {
    LoadOutcome::Loaded(response_since(entry, verdict, now, began))
}

/// The same as a response.
pub(crate) fn response_since(entry: &Arc<Entry>, mut verdict: Verdict, now: u64, began: Instant) -> LoadedResponse {
    // A response that a purge kept out of the store may be stored nowhere else.
    verdict.shared = verdict.stored || matches!(verdict.outcome, Outcome::Hit | Outcome::Stale);
    let verdict = response::with_age(verdict, entry, now);
    LoadedResponse { entry: entry.clone(), verdict, audience: Audience::All, began, growing: None, leave: None }
}

/// Like [`response_since`], for a response that is shared by those who wait and not stored: not yet (`minUses`), or
/// because it is too large.
pub(crate) fn response_for_waiters(
    entry: &Arc<Entry>,
    verdict: Verdict,
    why: Reason,
    now: u64,
    began: Instant,
) -> LoadedResponse {
    let mut response = response_since(entry, verdict.because(why), now, began);
    let verdict = &mut response.verdict;
    // No hot cache keeps what is not stored; without a lifetime none does anyway.
    (verdict.shared, verdict.waiters) = (verdict.ttl <= 0, verdict.ttl > 0);
    response
}

/// Where a plain client that leads a flight gets a response that may not be shared.
pub(crate) type LeaderReply = Option<oneshot::Sender<Response<Body>>>;
