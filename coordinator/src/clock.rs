//! The clocks: one that never jumps and goes on while the machine sleeps, for ages and leases; and the wall clock, for
//! Date and Expires only.

use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time since the cache began. Holds the value of [`awake`] at that time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(u64);

/// The clock's first value, milliseconds: entries that are handed over to a process that has just begun may be years
/// old.
const BEGAN: u64 = 10 * 366 * 86_400_000;

impl Clock {
    pub(crate) fn new() -> Self {
        Self(awake())
    }

    /// Milliseconds, with the time in which the machine slept: a response ages as on other machines.
    pub(crate) fn now(&self) -> u64 {
        #[cfg(test)]
        if let Some(now) = simulated::now() {
            return now.saturating_add(BEGAN);
        }
        self.at(awake())
    }

    /// Returns the time of a value of [`awake`].
    pub(crate) fn at(&self, awake: u64) -> u64 {
        #[cfg(test)]
        if simulated::now().is_some() {
            return awake.saturating_add(BEGAN);
        }
        awake.saturating_sub(self.0).saturating_add(BEGAN)
    }
}

/// Milliseconds since the machine started, with the time in which it slept.
pub(crate) fn awake() -> u64 {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

/// Unix milliseconds.
pub(crate) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The time of a simulation, in its thread.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(super) fn now() -> Option<u64> {
        NOW.get()
    }

    /// Sets the time.
    pub(crate) fn set(now: u64) {
        NOW.set(Some(now));
    }
}
