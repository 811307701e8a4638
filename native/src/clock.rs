//! The clocks.

use meshcache_protocol::Hash;
use meshcache_proxy::feed::Moment;
use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The time at the start of the clock, so that a little before it is not before all time. Milliseconds.
const START: u64 = 1_000_000;

static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns milliseconds of a monotonic clock.
pub(crate) fn now() -> u64 {
    u64::try_from(BASE.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(START)
}

/// Returns Unix milliseconds.
pub(crate) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time, and a random number.
pub(crate) fn moment() -> Moment {
    Moment { now: now(), random: random() }
}

/// Returns a number that differs between processes and calls.
pub(crate) fn random() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Hash::of(&(since.as_nanos() ^ u128::from(std::process::id()) << 64).to_le_bytes()).low()
}
