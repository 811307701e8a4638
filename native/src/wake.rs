//! The way to a stream that waits: its mailbox, and the scheduler that wakes it on its own worker.

use crate::{envoy::Scheduler, reply::OwnedReply};
use meshcache_proxy::stream::StreamState;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Something that a stream has to do, on its worker.
pub(crate) enum Task {
    /// It sends a callout.
    Call(OutgoingCall),
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
        Self { stream, mailbox: Mutex::default() }
    }

    pub(crate) fn open(&self, scheduler: Option<Scheduler>) {
        self.mailbox.lock().scheduler = scheduler;
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
