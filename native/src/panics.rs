//! Panics: none leaves a hook, since Envoy would end. After three in a minute the module passes everything.

use crate::{clock, envoy};
use meshcache_proxy::host::Level;
use parking_lot::Mutex;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// So many panics within `WINDOW` are too many.
const MOST: usize = 3;
/// Milliseconds.
const WINDOW: u64 = 60_000;

static PANICS: AtomicU64 = AtomicU64::new(0);
static IS_OFF: AtomicBool = AtomicBool::new(false);
static LATEST: Mutex<Latest> = Mutex::new(Latest { times: [0; MOST] });

/// When the latest panics were, 0: never.
struct Latest {
    times: [u64; MOST],
}

impl Latest {
    /// Notes a panic. Returns whether there were too many.
    fn note(&mut self, now: u64) -> bool {
        self.times.rotate_left(1);
        if let Some(last) = self.times.last_mut() {
            *last = now;
        }
        self.times.first().is_some_and(|first| *first > 0 && now.saturating_sub(*first) < WINDOW)
    }
}

/// Returns whether the module passes everything.
pub(crate) fn is_off() -> bool {
    IS_OFF.load(Relaxed)
}

/// The number of panics so far.
pub(crate) fn count() -> u64 {
    PANICS.load(Relaxed)
}

/// Begins anew: the configuration has changed.
pub(crate) fn forget() {
    LATEST.lock().times = [0; MOST];
    IS_OFF.store(false, Relaxed);
}

/// Runs a hook. `None`: it panicked.
pub(crate) fn guard<T>(hook: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(hook)).map_err(|_| note()).ok()
}

fn note() {
    PANICS.fetch_add(1, Relaxed);
    if LATEST.lock().note(clock::now()) && !IS_OFF.swap(true, Relaxed) {
        envoy::log(
            Level::Critical,
            "three panics in a minute: every request passes until the filter's configuration changes",
        );
    }
}

/// Has panics told in Envoy's log, in one line.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let line = info.to_string().replace('\n', " ");
        envoy::log(Level::Critical, &format!("the filter failed, the request passes: {line}"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_panics_in_a_minute_are_too_many() {
        let mut latest = Latest { times: [0; MOST] };
        let noted = [1_000_000, 1_030_000, 1_060_001, 1_089_999].map(|now| latest.note(now));
        assert_eq!(noted, [false, false, false, true], "the last three are within a minute");
    }
}
