//! Which flights somebody may join and wait for, and what is said to who is to come back.

use crate::cache::flight::{Flight, Kept};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::time::Instant;

/// From one flight's number to the next one's.
const STEP: u64 = 4;

/// Numbers flights in the order in which they are begun, and further from one run of the process to the next. Those
/// that follow a number are for those who wait for the flight: see [`Waits`].
#[derive(Clone)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    /// From here on; `wall`: Unix milliseconds.
    pub(crate) fn from(wall: u64) -> Self {
        Self(Arc::new(AtomicU64::new(wall << 20)))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(STEP, Relaxed)
    }
}

/// How somebody waits for a flight; what is added to its number when it is told to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    /// It has begun it.
    Leads = 0,
    /// It had come when it began.
    InTime = 1,
    /// It came later.
    Late = 2,
}

/// Which flights somebody may join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Only those that began no sooner than this.
    pub(crate) newer: Option<Instant>,
    /// But also those that are told by this number, which it was given when it was to come back. 0: none.
    pub(crate) told: u64,
}

impl Wants {
    /// Those that are begun after the one of this number.
    pub(crate) fn after(number: u64) -> Self {
        Self { newer: Some(Instant::now()), told: number + STEP - 1 }
    }

    /// How it waits for the flight of this number, by what it was told.
    pub(super) fn waits(&self, number: u64) -> Waits {
        match () {
            () if self.leads(number) => Waits::Leads,
            () if self.is_in_time_for(number) => Waits::InTime,
            () => Waits::Late,
        }
    }

    /// Whether it is told that it leads the flight of this number.
    pub(crate) fn leads(&self, number: u64) -> bool {
        self.told > 0 && self.told == number
    }

    /// Whether it is told that it had come when the flight of this number began.
    pub(crate) fn is_in_time_for(&self, number: u64) -> bool {
        self.told > 0 && number + Waits::InTime as u64 >= self.told
    }

    pub(super) fn admits<T>(&self, flight: &Flight<T>) -> bool {
        // One that waits for the one before it begins later than any who ask.
        self.newer.is_none_or(|newer| flight.began.is_none_or(|began| began >= newer))
            || self.is_in_time_for(flight.number)
    }

    /// Whether it is to come back for what has landed.
    pub(super) fn awaits<T>(&self, kept: &Kept<T>) -> bool {
        let had_come = match self.newer {
            Some(newer) => kept.began.is_some_and(|began| began >= newer),
            None => self.told > 0 && kept.number + Waits::Late as u64 >= self.told,
        };
        had_come || self.is_in_time_for(kept.number)
    }
}
