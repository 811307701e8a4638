//! The signals of one connection. Those that it sends itself while it is polled wake no task: it is polled on.

use futures_util::task::AtomicWaker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

/// How often a poll is repeated at once.
const MOST_ROUNDS: usize = 8;

/// The signals of one connection, and the task that they wake.
pub(super) struct OwnSignal {
    state: Arc<SignalState>,
    waker: Waker,
}

#[derive(Default)]
struct SignalState {
    is_polled: AtomicBool,
    has_come: AtomicBool,
    task: AtomicWaker,
}

impl OwnSignal {
    pub(super) fn new() -> Self {
        let state = Arc::new(SignalState::default());
        Self { waker: state.clone().into(), state }
    }

    /// Polls until no signal has come meanwhile, or it is ready. A signal after that wakes the task, while it is
    /// pending.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { state, waker } = self;
        state.task.register(cx.waker());
        for _ in 0..MOST_ROUNDS {
            state.is_polled.store(true, SeqCst);
            // A swap: what came with a signal that is taken back here is seen by the poll.
            state.has_come.swap(false, SeqCst);
            let polled = poll(&mut Context::from_waker(waker));
            state.is_polled.store(false, SeqCst);
            if polled.is_ready() {
                state.task.take();
                return polled;
            }
            // What came before the line above has woken nobody, what comes after it does.
            if !state.has_come.load(SeqCst) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for SignalState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_come.store(true, SeqCst);
        if !self.is_polled.load(SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Polls once, and returns how often the task has been woken by then.
    fn poll(signal: &mut OwnSignal, task: &Arc<Task>, poll: impl FnMut(&mut Context<'_>) -> Poll<()>) -> (bool, usize) {
        let is_ready = signal.poll(&mut Context::from_waker(&task.clone().into()), poll).is_ready();
        (is_ready, task.0.load(SeqCst))
    }

    #[test]
    fn a_signal_while_it_is_polled_polls_it_again_and_wakes_nobody() {
        let (mut signal, task, mut polls) = (OwnSignal::new(), Arc::new(Task::default()), 0);
        let polled = poll(&mut signal, &task, |cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((polled, polls), ((true, 0), 3));
    }

    #[test]
    fn a_later_signal_wakes_the_task_that_waits_and_none_that_is_through() {
        let (mut signal, first, second) = (OwnSignal::new(), Arc::new(Task::default()), Arc::new(Task::default()));
        let mut waker = None;
        let mut wait = |cx: &mut Context<'_>| {
            waker = Some(cx.waker().clone());
            Poll::Pending
        };
        poll(&mut signal, &first, &mut wait);
        poll(&mut signal, &second, &mut wait);
        let waker = waker.unwrap();
        waker.wake_by_ref();
        assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
        assert_eq!(poll(&mut signal, &second, |_| Poll::Ready(())), (true, 1));
        waker.wake();
        assert_eq!(second.0.load(SeqCst), 1, "it has what it waited for");
    }

    #[test]
    fn one_that_signals_without_end_lets_other_tasks_run() {
        let (mut signal, task, mut polls) = (OwnSignal::new(), Arc::new(Task::default()), 0);
        let polled = poll(&mut signal, &task, |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((polled, polls), ((false, 1), MOST_ROUNDS));
    }
}
