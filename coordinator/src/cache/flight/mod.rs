//! One load for all requests for a key: the first starts it in a task of its own, and all waiters get its result: at its
//! end, or, where they take a body that is still growing, with its head.

mod guard;
mod join_condition;
mod table;
#[cfg(test)]
mod tests;
mod waiter;

pub(crate) use guard::FlightGuard;
pub(crate) use join_condition::{FlightNumbers, JoinCondition};
pub(crate) use table::{FlightLimits, Full};
pub(crate) use waiter::{WaitOutcome, Waiter};

use join_condition::Role;
use meshcache_protocol::Key;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use table::{Flight, FlightState, Progress, SharedFlights, Table};
use tokio::{sync::watch, time::Instant};

/// The flights that are in progress.
pub(crate) struct Flights<T> {
    shared: Arc<SharedFlights<T>>,
}

/// A waiter; and the guard, if the flight begins with it.
type JoinResult<T> = Result<(Waiter<T>, Option<FlightGuard<T>>), Full>;

impl<T: Clone> Flights<T> {
    pub(crate) fn new(limits: FlightLimits, numbers: FlightNumbers) -> Self {
        let table = Mutex::new(Table::new());
        Self { shared: Arc::new(SharedFlights { table, limits, waiters: AtomicUsize::new(0), numbers }) }
    }

    /// Joins the key's flight. If there is none, the caller gets the guard of a new one, and has to run it in a
    /// task of its own. Requests that may not join the current flight share the one that follows it. A request with
    /// the ticket of a completed flight gets its result.
    ///
    /// `stored`: called if there is no flight, while no other can begin. Returns what a flight has stored since the
    /// caller's lookup.
    pub(crate) fn join(
        &self,
        key: &Key,
        condition: JoinCondition,
        stored: impl FnOnce() -> Option<T>,
    ) -> JoinResult<T> {
        let (shared, now) = (&self.shared, Instant::now());
        let mut table = shared.table.lock();
        if shared.waiters.load(Relaxed) >= shared.limits.waiters {
            return Err(Full);
        }
        if let Some(result) = table.result_for(key, condition, now) {
            return Ok((Waiter::of_result(shared, result.number, result.value.clone()), None));
        }
        let follows = match table.flights.get(&key.hash()) {
            Some(flight) if flight.key != *key => return Err(Full),
            Some(flight) => !condition.admits(flight.number, flight.began),
            None => {
                if let Some(stored) = stored() {
                    return Ok((Waiter::of_result(shared, 0, stored), None));
                }
                return begin(shared, &mut table, key, key.clone(), None, condition);
            }
        };
        let at = if follows { following(key) } else { key.clone() };
        match table.flights.get_mut(&at.hash()) {
            Some(flight) if flight.key == at => {
                flight.joined = now;
                let mut waiter = Waiter::of(shared, flight);
                waiter.role = waiter.role.min(condition.role(waiter.number));
                Ok((waiter, None))
            }
            Some(_) => Err(Full),
            None => {
                let previous = table.flights.get(&key.hash()).map(|flight| flight.result.clone());
                begin(shared, &mut table, key, at, previous, condition)
            }
        }
    }

    /// Whether a result is kept for a request that comes back with this condition.
    pub(crate) fn has_result(&self, key: &Key, condition: JoinCondition) -> bool {
        // Most requests come for the first time.
        condition != JoinCondition::default()
            && self.shared.table.lock().result_for(key, condition, Instant::now()).is_some()
    }

    /// Joins the key's flight for another coordinator, if there is one that asks the origin. A flight that asks a
    /// coordinator is not joined: the two might wait for each other.
    pub(crate) fn join_load(&self, key: &Key) -> Option<Waiter<T>> {
        let shared = &self.shared;
        let table = shared.table.lock();
        let flight =
            table.flights.get(&key.hash()).filter(|flight| flight.key == *key && flight.state.loads.load(Relaxed))?;
        (shared.waiters.load(Relaxed) < shared.limits.waiters).then(|| Waiter::of(shared, flight))
    }

    /// Whether a flight for the key is in progress.
    pub(crate) fn is_in_flight(&self, key: &Key) -> bool {
        self.shared.table.lock().flights.get(&key.hash()).is_some_and(|flight| flight.key == *key)
    }

    /// Whether a flight for the key is in progress whose result has a body that is still growing.
    pub(crate) fn is_growing(&self, key: &Key) -> bool {
        let table = self.shared.table.lock();
        let flight = table.flights.get(&key.hash()).filter(|flight| flight.key == *key);
        flight.is_some_and(|flight| flight.result.borrow().is_growing())
    }

    /// Returns how many wait for the key's flight; none: there is no flight.
    pub(crate) fn waiting(&self, key: &Key) -> Option<usize> {
        let table = self.shared.table.lock();
        let flight = table.flights.get(&key.hash()).filter(|flight| flight.key == *key)?;
        Some(flight.state.waiting.load(Relaxed))
    }

    /// Detaches the flights of these keys: later requests start anew. Its waiters get its result.
    pub(crate) fn detach(&self, is_detached: impl Fn(&Key) -> bool) {
        let mut table = self.shared.table.lock();
        table.flights.retain(|_, flight| !is_detached(&flight.key));
        table.drop_results(|result| is_detached(&result.key));
    }

    /// Drops the results that no request came back for in time.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        self.shared.table.lock().drop_results(|result| result.until <= now);
    }

    /// The number of waiters.
    pub(crate) fn waiters(&self) -> usize {
        self.shared.waiters.load(Relaxed)
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        (self.shared.table.lock().flights.len(), self.shared.waiters.load(Relaxed))
    }
}

/// The place in the table of the flight that follows the one in progress. The parts that a purge names stay the same.
fn following(key: &Key) -> Key {
    Key::from_bytes([key.bytes(), b"following"].concat())
}

fn begin<T>(
    shared: &Arc<SharedFlights<T>>,
    table: &mut Table<T>,
    key: &Key,
    at: Key,
    previous: Option<watch::Receiver<Progress<T>>>,
    condition: JoinCondition,
) -> JoinResult<T> {
    if table.flights.len() >= shared.limits.flights {
        return Err(Full);
    }
    let (sender, result) = watch::channel(Progress::Loading);
    let (hash, number, now) = (at.hash(), shared.numbers.next(), Instant::now());
    let state = Arc::new(FlightState { is_awaited: condition.began_after.is_some().into(), ..FlightState::default() });
    let began = previous.is_none().then_some(now);
    let flight = Flight { number, key: at, result, state: state.clone(), began, joined: now };
    let mut waiter = Waiter::of(shared, &flight);
    waiter.role = Role::Leader;
    table.flights.insert(hash, flight);
    let guard =
        FlightGuard { number, at: hash, key: key.clone(), previous, result: sender, state, shared: shared.clone() };
    Ok((waiter, Some(guard)))
}
