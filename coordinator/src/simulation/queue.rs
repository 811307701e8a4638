//! The events to come, by millisecond.

use crate::simulation::net::Event;
use std::collections::VecDeque;

/// A row of events for each millisecond from now on, in the order in which they were scheduled.
#[derive(Default)]
pub(super) struct Queue {
    rows: VecDeque<VecDeque<Event>>,
    /// Empty ones, to be used again: they are large.
    spare: Vec<VecDeque<Event>>,
}

impl Queue {
    /// Schedules an event after a number of milliseconds.
    pub(super) fn push(&mut self, millis: u64, run: Event) {
        let at = millis as usize;
        if self.rows.len() <= at {
            let spare = &mut self.spare;
            self.rows.resize_with(at + 1, || spare.pop().unwrap_or_default());
        }
        self.rows[at].push_back(run);
    }

    /// Takes the next event of this millisecond.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.rows.front_mut()?.pop_front()
    }

    /// Goes on to the next millisecond.
    pub(super) fn pass(&mut self) {
        self.spare.extend(self.rows.pop_front());
    }
}
