//! Why a response is for its requester alone.

use meshcache_protocol::{Reason, freshness::NotStored};

/// Why a response is for its requester alone, and for how many milliseconds the key is marked so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSharedReason {
    pub(crate) reason: Reason,
    pub(crate) remember: u64,
    /// The length of one that flights share with those who take so much as it streams.
    pub(crate) streamed: Option<u64>,
}

/// The reason of a response that is too large for the store. `length`: of one that flights share.
pub(crate) fn too_large(length: Option<u64>) -> NotSharedReason {
    NotSharedReason { streamed: length, ..NotStored::TooLarge.into() }
}

/// No memory was left for the body, which says nothing about the next time.
pub(crate) const OVER_BUDGET: NotSharedReason =
    NotSharedReason { reason: Reason::Overload, remember: 0, streamed: None };

impl From<NotStored> for NotSharedReason {
    fn from(not: NotStored) -> Self {
        Self { reason: not.reason(), remember: not.remember(), streamed: None }
    }
}
