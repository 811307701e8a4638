//! The way to a stream that waits: its mailbox, and the scheduler that wakes it on its own worker.

use crate::{envoy::Scheduler, reply::OwnedReply};
use meshcache_proxy::stream::StreamState;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How long an answer is held that is not whole, milliseconds.
const MOST_HELD: u64 = 2;

/// Something that a stream has to do, on its worker.
pub(crate) enum Task {
    /// It sends a callout.
    Call(OutgoingCall),
    /// It replies with the answer that is on its way, though its body is not whole.
    Stream,
    /// It waits no longer.
    Settle(StreamState, Option<OwnedReply>),
}

/// A callout to be sent.
pub(crate) struct OutgoingCall {
    pub(crate) token: u32,
    /// Its header map.
    pub(crate) map: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: u64,
}

/// A stream that waits, or has waited.
pub(crate) struct Slot {
    pub(crate) stream: u32,
    /// Since when the head of an answer is held. 0: none.
    held_since: AtomicU64,
    mailbox: Mutex<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    tasks: VecDeque<Task>,
    /// `None` until the stream's hook has made one, which then looks into the mailbox itself.
    scheduler: Option<Scheduler>,
    is_closed: bool,
}

impl Slot {
    pub(crate) fn new(stream: u32) -> Self {
        Self { stream, held_since: AtomicU64::new(0), mailbox: Mutex::default() }
    }

    pub(crate) fn open(&self, scheduler: Option<Scheduler>) {
        self.mailbox.lock().scheduler = scheduler;
    }

    /// Notes that the head of an answer is held.
    pub(crate) fn note_head(&self, now: u64) {
        self.held_since.store(now, Relaxed);
    }

    /// Returns whether a head has been held for too long. Once for each.
    pub(crate) fn take_late(&self, now: u64) -> bool {
        let since = self.held_since.load(Relaxed);
        let is_late = since > 0 && since.saturating_add(MOST_HELD) <= now;
        is_late && self.held_since.swap(0, Relaxed) > 0
    }

    /// Hands a task over. Returns it if the stream is over. `wakes`: not in the stream's own hook.
    ///
    /// Waking only adds to a queue of the stream's worker. It happens under the mailbox's lock, so that a stream that
    /// ends, and after it its worker, waits for it.
    pub(crate) fn push(&self, task: Task, wakes: bool) -> Result<(), Task> {
        let mut mailbox = self.mailbox.lock();
        if mailbox.is_closed {
            return Err(task);
        }
        mailbox.tasks.push_back(task);
        if let Some(scheduler) = mailbox.scheduler.as_ref().filter(|_| wakes) {
            scheduler.commit(0);
        }
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<Task> {
        self.mailbox.lock().tasks.pop_front()
    }

    /// Ends it. Returns the tasks that are left.
    pub(crate) fn close(&self) -> VecDeque<Task> {
        let mut mailbox = self.mailbox.lock();
        mailbox.is_closed = true;
        mailbox.scheduler = None;
        std::mem::take(&mut mailbox.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_a_stream_that_is_over_comes_back() {
        let slot = Slot::new(1);
        assert!(slot.push(Task::Settle(StreamState::Unnoticed, None), false).is_ok());
        assert!(slot.push(Task::Settle(StreamState::Waits, None), true).is_ok());
        assert!(matches!(slot.pop(), Some(Task::Settle(StreamState::Unnoticed, None))), "in order");
        assert_eq!(slot.close().len(), 1);
        assert!(slot.push(Task::Settle(StreamState::Waits, None), true).is_err() && slot.pop().is_none());
    }
}
