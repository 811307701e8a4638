//! One request that waits for a flight.

use crate::{
    cache::flight::{
        join_condition::Role,
        table::{Flight, FlightState, Progress, SharedFlights},
    },
    telemetry::trace::TraceContext,
};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// A request that waits for a flight. It is counted until it is dropped.
pub(crate) struct Waiter<T> {
    /// The flight's number; 0: there was a result without a flight.
    pub(crate) number: u64,
    /// The flight begins when the one before it has completed.
    pub(crate) follows: bool,
    pub(super) role: Role,
    result: watch::Receiver<Progress<T>>,
    state: Arc<FlightState>,
    shared: Arc<SharedFlights<T>>,
}

/// How waiting ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitOutcome<T> {
    /// The flight completed with this.
    Completed(T),
    /// The waiter's own time was up; the flight goes on. The ticket with which to come back for its result.
    TimedOut(u64),
    /// The flight's task ended without a result.
    Aborted,
}

impl<T> Waiter<T> {
    pub(super) fn of(shared: &Arc<SharedFlights<T>>, flight: &Flight<T>) -> Self {
        shared.waiters.fetch_add(1, Relaxed);
        flight.state.waiting.fetch_add(1, Relaxed);
        Self {
            number: flight.number,
            follows: flight.began.is_none(),
            role: if flight.began.is_some() { Role::Late } else { Role::InTime },
            result: flight.result.clone(),
            state: flight.state.clone(),
            shared: shared.clone(),
        }
    }

    /// A waiter whose result is here already.
    pub(super) fn of_result(shared: &Arc<SharedFlights<T>>, number: u64, value: T) -> Self {
        shared.waiters.fetch_add(1, Relaxed);
        Self {
            number,
            follows: false,
            role: Role::Late,
            result: watch::channel(Progress::Completed(value)).1,
            state: Arc::new(FlightState { waiting: 1.into(), ..FlightState::default() }),
            shared: shared.clone(),
        }
    }
}

impl<T> Waiter<T> {
    /// Returns what tells of the span of the flight's load.
    pub(crate) fn load_span(&self) -> impl Fn() -> Option<TraceContext> + use<T> {
        let state = self.state.clone();
        move || state.span.get().copied()
    }
}

impl<T> Waiter<T> {
    /// Returns what makes a ticket with which others come back for the flight's result.
    pub(crate) fn ticket(&self) -> impl Fn() -> u64 + use<T> {
        let (state, ticket) = (self.state.clone(), self.number + self.role as u64);
        move || {
            state.is_awaited.store(true, Relaxed);
            ticket
        }
    }
}

impl<T: Clone> Waiter<T> {
    /// Waits for a result whose body may still be growing, at most until the deadline. None: [`Self::wait`] tells why.
    pub(crate) async fn wait_for_head(&mut self, deadline: Instant) -> Option<T> {
        let early = timeout_at(deadline, self.result.wait_for(|progress| !progress.is_loading())).await;
        early.ok()?.ok()?.early()
    }

    /// Waits for the flight's end until this moment. Returns whether it has ended.
    pub(crate) async fn ends_by(&mut self, moment: Instant) -> bool {
        timeout_at(moment, self.result.wait_for(Progress::is_completed)).await.is_ok()
    }

    /// Waits until the flight has completed, however long that takes. None: it was aborted.
    pub(crate) async fn wait_to_the_end(mut self) -> Option<T> {
        self.result.wait_for(Progress::is_completed).await.ok()?.completed()
    }

    /// Waits until the flight has completed, at most until the deadline.
    pub(crate) async fn wait(mut self, deadline: Instant) -> WaitOutcome<T> {
        match timeout_at(deadline, self.result.wait_for(Progress::is_completed)).await {
            Ok(Ok(value)) => return value.completed().map_or(WaitOutcome::Aborted, WaitOutcome::Completed),
            Ok(Err(_)) => return WaitOutcome::Aborted,
            Err(_) => {}
        }
        self.state.is_awaited.store(true, Relaxed);
        // A flight that completes after this look keeps its result: both hold the lock.
        let _table = self.shared.table.lock();
        match self.result.borrow().completed() {
            Some(value) => WaitOutcome::Completed(value),
            None => WaitOutcome::TimedOut(self.number + self.role as u64),
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        self.shared.waiters.fetch_sub(1, Relaxed);
        self.state.waiting.fetch_sub(1, Relaxed);
    }
}
