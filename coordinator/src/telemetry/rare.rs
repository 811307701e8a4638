//! A log line that anybody outside may cause: now and then, and not each time.

use crate::clock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The least time between two lines, milliseconds.
const MIN_BETWEEN_LINES: u64 = 10_000;

/// The time of the last line.
#[derive(Debug, Default)]
pub(crate) struct Rare(AtomicU64);

impl Rare {
    /// Whether a line may be written now; the caller writes it.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_each(MIN_BETWEEN_LINES)
    }

    /// The same for another time between two lines, milliseconds.
    pub(crate) fn is_due_each(&self, pause: u64) -> bool {
        let (now, before) = (clock::awake(), self.0.load(Relaxed));
        let is_new = before == 0 || now >= before.saturating_add(pause);
        is_new && self.0.compare_exchange(before, now.max(1), Relaxed, Relaxed).is_ok()
    }
}
