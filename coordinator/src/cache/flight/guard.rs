//! The task's side of a flight.

use crate::{
    cache::flight::table::{Flight, FlightResult, FlightState, Progress, SharedFlights},
    telemetry::trace::TraceContext,
};
use meshcache_protocol::{Hash, Key};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// How long a result is kept for requests with a ticket.
pub(super) const RESULT_KEPT: Duration = Duration::from_secs(5);

/// A flight, for the task that loads. Dropped without completion (a panic), it aborts the flight for all waiters.
pub(crate) struct FlightGuard<T> {
    pub(super) number: u64,
    /// Where the flight stands in the table.
    pub(super) at: Hash,
    pub(super) key: Key,
    /// The flight for the same key that has to complete first.
    pub(super) previous: Option<watch::Receiver<Progress<T>>>,
    pub(super) result: watch::Sender<Progress<T>>,
    pub(super) state: Arc<FlightState>,
    pub(super) shared: Arc<SharedFlights<T>>,
}

impl<T: Clone> FlightGuard<T> {
    /// Returns the flight's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Flags the flight as one that asks the origin only.
    pub(crate) fn mark_loading(&self) {
        self.state.loads.store(true, Relaxed);
    }

    /// Names the span of its load, for those who wait.
    pub(crate) fn set_span(&self, span: TraceContext) {
        let _ = self.state.span.set(span);
    }

    /// Waits until no other flight for the key is in progress, then takes its place in the table. Returns for how long
    /// the last waiter has been waiting, if the flight had to wait.
    pub(crate) async fn wait_for_previous(&mut self) -> Option<Duration> {
        let mut waited = None;
        while let Some(mut previous) = self.previous.take() {
            // An error is an aborted flight: it is over, too.
            let _ = previous.wait_for(Progress::is_completed).await;
            let mut table = self.shared.table.lock();
            match table.flights.get(&self.key.hash()) {
                // A completed flight removes itself a moment later.
                Some(flight) if flight.result.same_channel(&previous) => {}
                Some(flight) if flight.key == self.key => {
                    self.previous = Some(flight.result.clone());
                    continue;
                }
                _ => {}
            }
            if table.numbered(self.at, self.number).is_some()
                && let Some(flight) = table.flights.remove(&self.at)
            {
                self.at = self.key.hash();
                waited = Some(flight.joined.elapsed());
                table.flights.insert(self.at, Flight { key: self.key.clone(), began: Some(Instant::now()), ..flight });
            }
        }
        waited
    }

    /// Returns how many wait for it.
    pub(crate) fn waiting(&self) -> usize {
        // One is the table's.
        self.result.receiver_count().saturating_sub(1)
    }

    /// Gives a result whose body is still growing to all who take one, and to those who join until the flight completes.
    pub(crate) fn announce(&self, value: T) {
        self.result.send_replace(Progress::Growing(value));
    }

    /// Gives the result to all waiters, and keeps it for requests with a ticket; `bytes`: its size. What belongs into
    /// the store has to be there already: later requests look there.
    pub(crate) fn complete(self, value: T, bytes: u64) {
        let mut table = self.shared.table.lock();
        // The result of a detached flight is for its waiters alone.
        let flight = table.numbered(self.at, self.number);
        if let Some(began) = flight.map(|flight| flight.began)
            && self.state.is_awaited.load(Relaxed)
        {
            let result = FlightResult {
                number: self.number,
                key: self.key.clone(),
                began,
                value: value.clone(),
                state: self.state.clone(),
                bytes,
                until: Instant::now() + RESULT_KEPT,
            };
            table.keep(self.key.hash(), result);
        }
        self.result.send_replace(Progress::Completed(value));
        // Under the same lock: who wants the next flight must not find this one.
        if table.numbered(self.at, self.number).is_some() {
            table.flights.remove(&self.at);
        }
    }
}

impl<T> Drop for FlightGuard<T> {
    fn drop(&mut self) {
        let mut table = self.shared.table.lock();
        if table.numbered(self.at, self.number).is_some() {
            table.flights.remove(&self.at);
        }
    }
}
