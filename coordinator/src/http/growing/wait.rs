//! The filler's wait for readers: whom it waits for, and whether that counts against them.

use std::{task::Waker, time::Duration};
use tokio::time::Instant;

/// After what time without a move of any reader the rest wait for those who hold them up.
pub(super) const QUIET: Duration = Duration::from_millis(100);

/// What the filler waits for.
pub(super) struct Wait {
    /// Readers before this offset hold it up.
    pub(super) until: u64,
    /// How many do.
    pub(super) behind: usize,
    /// How many readers there are, and how many of them have all that came.
    pub(super) readers: usize,
    pub(super) starving: usize,
    pub(super) counts: Counts,
    pub(super) began: Instant,
    /// A reader has moved since then.
    pub(super) is_lively: bool,
    pub(super) is_over: bool,
    pub(super) waker: Option<Waker>,
}

/// Whether the time of a wait counts against those who hold the others up. Where all are about as slow as each other, or
/// as this process, nobody does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counts {
    /// Nobody waits for more.
    No,
    /// Some wait: while no reader at all moves.
    WhenQuiet,
    /// At least half of them wait.
    Always,
}

impl Counts {
    pub(super) fn of(starving: usize, readers: usize) -> Self {
        match starving {
            0 => Self::No,
            _ if starving * 2 < readers => Self::WhenQuiet,
            _ => Self::Always,
        }
    }
}

impl Wait {
    pub(super) fn new(until: u64, behind: usize, (starving, readers): (usize, usize), began: Instant) -> Self {
        let counts = Counts::of(starving, readers);
        Self { until, behind, readers, starving, counts, began, is_lively: false, is_over: false, waker: None }
    }

    pub(super) fn finish(&mut self) {
        self.is_over = true;
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    /// A reader has come.
    pub(super) fn note_seat(&mut self, at: u64) {
        self.readers = self.readers.saturating_add(1);
        if at < self.until {
            self.behind = self.behind.saturating_add(1);
        }
    }

    /// A reader has moved. Returns for how long the others have waited for it.
    pub(super) fn note_move(&mut self, from: u64, to: u64) -> Duration {
        let waited = if from < self.until { self.waited(Instant::now()) } else { Duration::ZERO };
        self.is_lively = true;
        if from < self.until && to >= self.until {
            self.behind = self.behind.saturating_sub(1);
            if self.behind == 0 {
                self.finish();
            }
            return waited;
        }
        Duration::ZERO
    }

    /// Returns for how long the others have waited.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let counts = match self.counts {
            Counts::No => false,
            Counts::WhenQuiet => !self.is_lively && now - self.began >= QUIET,
            Counts::Always => true,
        };
        if counts { now - self.began } else { Duration::ZERO }
    }
}
