//! The flights in progress, and the results of those that have just completed.

use crate::{
    bounded_lru::bounded_lru,
    cache::flight::join_condition::{FlightNumbers, JoinCondition},
    telemetry::trace::TraceContext,
};
use lru::LruCache;
use meshcache_protocol::{Hash, Key};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize},
    },
};
use tokio::{sync::watch, time::Instant};

/// The most results that are kept, and the most bytes of their bodies.
pub(super) const MOST_RESULTS: (usize, u64) = (4096, 32 << 20);

/// Limits of what may be in progress at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightLimits {
    pub(crate) flights: usize,
    pub(crate) waiters: usize,
}

/// No further flight or waiter is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The state that all waiters and guards share.
pub(super) struct SharedFlights<T> {
    pub(super) table: Mutex<Table<T>>,
    pub(super) limits: FlightLimits,
    pub(super) waiters: AtomicUsize,
    pub(super) numbers: FlightNumbers,
}

pub(super) struct Table<T> {
    pub(super) flights: HashMap<Hash, Flight<T>>,
    /// Results for requests that are on their way back.
    pub(super) results: LruCache<Hash, FlightResult<T>>,
    pub(super) result_bytes: u64,
}

pub(super) struct Flight<T> {
    pub(super) number: u64,
    pub(super) key: Key,
    pub(super) result: watch::Receiver<Progress<T>>,
    pub(super) state: Arc<FlightState>,
    /// None: it waits for the flight before it.
    pub(super) began: Option<Instant>,
    /// When the last waiter joined.
    pub(super) joined: Instant,
}

/// How far a flight has come.
pub(super) enum Progress<T> {
    /// Nothing is known yet.
    Loading,
    /// Those who take a body that is still growing have their result.
    Growing(T),
    /// All have it.
    Completed(T),
}

impl<T: Clone> Progress<T> {
    pub(super) fn is_loading(&self) -> bool {
        matches!(self, Self::Loading)
    }

    pub(super) fn is_growing(&self) -> bool {
        matches!(self, Self::Growing(_))
    }

    pub(super) fn is_completed(&self) -> bool {
        matches!(self, Self::Completed(_))
    }

    /// Returns what those get who take a growing body.
    pub(super) fn early(&self) -> Option<T> {
        match self {
            Self::Loading => None,
            Self::Growing(value) | Self::Completed(value) => Some(value.clone()),
        }
    }

    /// Returns what all get.
    pub(super) fn completed(&self) -> Option<T> {
        if self.is_completed() { self.early() } else { None }
    }
}

/// One flight, as its guard, its waiters and the table see it.
#[derive(Default)]
pub(super) struct FlightState {
    /// It asks the origin, and no other coordinator any more.
    pub(super) loads: AtomicBool,
    /// A request may come for the result after completion: it has a ticket, or it wakes later from the flight before.
    pub(super) is_awaited: AtomicBool,
    /// How many wait for it.
    pub(super) waiting: AtomicUsize,
    /// The span of its load, if that is recorded.
    pub(super) span: OnceLock<TraceContext>,
}

pub(super) struct FlightResult<T> {
    pub(super) number: u64,
    pub(super) key: Key,
    pub(super) began: Option<Instant>,
    pub(super) value: T,
    pub(super) bytes: u64,
    pub(super) until: Instant,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { flights: HashMap::new(), results: bounded_lru(MOST_RESULTS.0), result_bytes: 0 }
    }

    /// Returns the flight of this number, if it still stands here.
    pub(super) fn numbered(&self, at: Hash, number: u64) -> Option<&Flight<T>> {
        self.flights.get(&at).filter(|flight| flight.number == number)
    }

    /// Returns the kept result that a request comes back for.
    pub(super) fn result_for(&self, key: &Key, condition: JoinCondition, now: Instant) -> Option<&FlightResult<T>> {
        self.results
            .peek(&key.hash())
            .filter(|result| result.key == *key && result.until > now && condition.claims(result.number, result.began))
    }

    /// Keeps a result. The oldest ones make room for it.
    pub(super) fn keep(&mut self, at: Hash, result: FlightResult<T>) {
        self.result_bytes = self.result_bytes.saturating_add(result.bytes);
        if let Some((_, old)) = self.results.push(at, result) {
            self.result_bytes = self.result_bytes.saturating_sub(old.bytes);
        }
        while self.result_bytes > MOST_RESULTS.1
            && let Some((_, old)) = self.results.pop_lru()
        {
            self.result_bytes = self.result_bytes.saturating_sub(old.bytes);
        }
    }

    /// Drops the results for which this holds.
    pub(super) fn drop_results(&mut self, is_dropped: impl Fn(&FlightResult<T>) -> bool) {
        let dropped: Vec<Hash> =
            self.results.iter().filter(|(_, result)| is_dropped(result)).map(|(at, _)| *at).collect();
        for at in dropped {
            if let Some(old) = self.results.pop(&at) {
                self.result_bytes = self.result_bytes.saturating_sub(old.bytes);
            }
        }
    }
}
