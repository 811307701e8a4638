//! What a flight brings, and for whom it is.

use crate::{cache::response, origin::Failure, store::Entry};
use meshcache_protocol::{
    reason::AnyReason,
    wire::{Outcome, Verdict},
};
use std::sync::Arc;
use tokio::time::Instant;

/// What a flight brings to all who wait for it.
#[derive(Clone)]
pub(crate) enum Landed {
    /// An answer, for those whom it fits.
    Given(Given),
    /// Nothing that may be shared: each has to go by itself.
    Apart(Apart),
    /// No answer.
    Failed(Failure),
}

/// An answer, and for whom it is.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) entry: Arc<Entry>,
    pub(crate) verdict: Verdict,
    pub(crate) audience: Audience,
    /// When its load began. What may not be used again without validation is for those who had come before.
    pub(crate) began: Instant,
}

/// To whom of those who wait an answer may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// To the one who led; the others go by themselves.
    Leader,
    /// To the one who led; another of them leads the next load, which shows whether the failure was the leader's own
    /// fault.
    First,
    /// To all whom its Vary fits; if it may not be used again, to those who had come before its load began.
    All,
    /// To all whom its Vary fits, whenever they came: a failure that two loads have brought.
    Waiters,
}

/// Why nothing may be shared, and for how long to remember that, milliseconds, for requests with the same values in the
/// fields of `vary`.
#[derive(Clone)]
pub(crate) struct Apart {
    pub(crate) reason: AnyReason,
    pub(crate) remember: u64,
    pub(crate) vary: String,
}

impl Landed {
    /// What it holds in memory.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Given(given) => given.entry.bytes(),
            Self::Apart(_) | Self::Failed(_) => 0,
        }
    }
}

/// A stored answer for all, with its age and what is left of its freshness.
pub(crate) fn given(entry: &Arc<Entry>, verdict: Verdict, now: u64) -> Landed {
    given_since(entry, verdict, now, Instant::now())
}

/// The same for one whose load began then.
pub(crate) fn given_since(entry: &Arc<Entry>, mut verdict: Verdict, now: u64, began: Instant) -> Landed {
    // What a purge kept out of the store is kept nowhere else.
    verdict.shared = verdict.stored || matches!(verdict.outcome, Outcome::Hit | Outcome::Stale);
    Landed::Given(Given {
        entry: entry.clone(),
        verdict: response::aged(verdict, entry, now),
        audience: Audience::All,
        began,
    })
}
