//! The leave of a load whose body takes its time: one request in the whole mesh passes to the service, and its client has
//! the first byte. The load goes on for all others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// One load's leave, for all flights that wait for the load.
pub(crate) struct Leave {
    due: Instant,
    is_given: AtomicBool,
}

impl Leave {
    /// The leave of a load, from so long after its head on. `head`: how long ago that came. None: the time never comes.
    pub(crate) fn new(head: Duration, after: Duration) -> Option<Arc<Self>> {
        let due = Instant::now().checked_add(after.saturating_sub(head))?;
        Some(Arc::new(Self { due, is_given: AtomicBool::new(false) }))
    }

    /// Returns from when on it may be given.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Takes it. Returns whether it was still there.
    pub(crate) fn take(&self) -> bool {
        !self.is_given.swap(true, Relaxed)
    }
}
