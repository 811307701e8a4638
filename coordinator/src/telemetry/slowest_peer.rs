//! The longest response time of another coordinator, begun anew every five minutes: one slow answer is not shown for
//! good.

use parking_lot::Mutex;
use prometheus::IntGauge;
use std::time::Duration;

/// How long a time is shown at most, milliseconds.
const PERIOD: u64 = 300_000;

/// The longest response time of a period, and its gauge.
pub(super) struct SlowestPeer {
    gauge: IntGauge,
    slowest: Mutex<Slowest>,
}

/// The longest time in milliseconds, and the period that it is of.
#[derive(Default)]
struct Slowest {
    period: u64,
    ms: u64,
}

impl SlowestPeer {
    pub(super) fn new(gauge: IntGauge) -> Self {
        Self { gauge, slowest: Mutex::default() }
    }

    /// Records a response time. `now`: milliseconds.
    pub(super) fn record(&self, took: Duration, now: u64) {
        self.raise(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), now);
    }

    /// Forgets the times of an earlier period, just before the gauge is read.
    pub(super) fn refresh(&self, now: u64) {
        self.raise(0, now);
    }

    fn raise(&self, ms: u64, now: u64) {
        let mut slowest = self.slowest.lock();
        let period = now / PERIOD;
        let before = if slowest.period == period { slowest.ms } else { 0 };
        *slowest = Slowest { period, ms: before.max(ms) };
        self.gauge.set(i64::try_from(slowest.ms).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_five_minutes_is_shown_and_then_it_begins_anew() {
        let gauge = IntGauge::new("g", "h").unwrap();
        let peer = SlowestPeer::new(gauge.clone());
        for (ms, now, shown) in [(20, 0, 20), (10, 1000, 20), (30, 299_999, 30), (5, 300_000, 5)] {
            peer.record(Duration::from_millis(ms), now);
            assert_eq!(gauge.get(), shown, "{now}");
        }
        peer.refresh(599_999);
        assert_eq!(gauge.get(), 5);
        peer.refresh(600_000);
        assert_eq!(gauge.get(), 0, "though nobody was asked");
    }
}
