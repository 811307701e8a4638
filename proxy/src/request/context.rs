//! What a request has of its proxy before it needs a worker.

use crate::state::{counters::Counters, hot_state::HotState};
use std::sync::MutexGuard;

/// The proxy's state, at one moment in one thread.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What all threads share.
    pub state: &'a HotState,
    /// The thread's number, from 0.
    pub thread: usize,
    /// Milliseconds of a monotonic clock.
    pub now: u64,
}

impl<'a> Context<'a> {
    /// The thread's counters.
    pub(crate) fn counters(&self) -> MutexGuard<'a, Counters> {
        self.state.counters(self.thread)
    }
}
