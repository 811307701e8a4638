//! What is to happen, millisecond by millisecond.

use crate::simulation::net::Run;
use std::collections::VecDeque;

/// A row of things to do for each millisecond from now on; what was decided first is done first.
#[derive(Default)]
pub(super) struct Queue {
    rows: VecDeque<VecDeque<Run>>,
    /// Empty ones, to be used again: they are large.
    spare: Vec<VecDeque<Run>>,
}

impl Queue {
    /// Something happens after so many milliseconds.
    pub(super) fn push(&mut self, millis: u64, run: Run) {
        let at = millis as usize;
        if self.rows.len() <= at {
            let spare = &mut self.spare;
            self.rows.resize_with(at + 1, || spare.pop().unwrap_or_default());
        }
        self.rows[at].push_back(run);
    }

    /// What happens next in this millisecond.
    pub(super) fn next(&mut self) -> Option<Run> {
        self.rows.front_mut()?.pop_front()
    }

    /// A millisecond goes by.
    pub(super) fn pass(&mut self) {
        self.spare.extend(self.rows.pop_front());
    }
}
