//! Which flight of a key a request may join, and the ticket with which a proxy's request comes back for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::time::Instant;

/// From one flight's number to the next one's.
const STEP: u64 = 4;

/// Numbers flights in the order in which they begin. Numbers of a later run of the process are higher. The numbers
/// between two flights are tickets for the first one: see [`Role`].
#[derive(Clone)]
pub(crate) struct FlightNumbers(Arc<AtomicU64>);

impl FlightNumbers {
    /// Counts from the start of this run; `wall`: Unix milliseconds.
    pub(crate) fn from(wall: u64) -> Self {
        Self(Arc::new(AtomicU64::new(wall << 20)))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(STEP, Relaxed)
    }
}

/// How a request takes part in a flight. A ticket is the flight's number plus this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// It began the flight.
    Leader = 0,
    /// It arrived before the flight began.
    InTime = 1,
    /// It arrived later.
    Late = 2,
}

/// Which flights a request may join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct JoinCondition {
    /// Only flights that began no sooner than this.
    pub(crate) began_after: Option<Instant>,
    /// The flight of this ticket in any case: the request was answered with `loading` and comes back. 0: no ticket.
    pub(crate) ticket: u64,
}

impl JoinCondition {
    /// Only flights that begin after the one of this number.
    pub(crate) fn after(number: u64) -> Self {
        Self { began_after: Some(Instant::now()), ticket: number + STEP - 1 }
    }

    /// The request's role in the flight of this number, by its ticket.
    pub(super) fn role(&self, number: u64) -> Role {
        match () {
            () if self.leads(number) => Role::Leader,
            () if self.is_in_time_for(number) => Role::InTime,
            () => Role::Late,
        }
    }

    /// Whether the ticket is that of the leader of the flight of this number.
    pub(crate) fn leads(&self, number: u64) -> bool {
        self.ticket > 0 && self.ticket == number
    }

    /// Whether the ticket says that the request arrived before the flight of this number began.
    pub(crate) fn is_in_time_for(&self, number: u64) -> bool {
        self.ticket > 0 && number + Role::InTime as u64 >= self.ticket
    }

    /// Whether the request may join a flight. `began`: none if it waits for the one before it.
    pub(super) fn admits(&self, number: u64, began: Option<Instant>) -> bool {
        // A flight that still waits begins later than any request that is here.
        self.began_after.is_none_or(|after| began.is_none_or(|began| began >= after)) || self.is_in_time_for(number)
    }

    /// Whether the request comes back for the result of a flight that has completed.
    pub(super) fn claims(&self, number: u64, began: Option<Instant>) -> bool {
        let had_come = match self.began_after {
            Some(after) => began.is_some_and(|began| began >= after),
            None => self.ticket > 0 && number + Role::Late as u64 >= self.ticket,
        };
        had_come || self.is_in_time_for(number)
    }
}
