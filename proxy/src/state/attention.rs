//! The time in which a worker was attentive. It measures the silence of peers and not the worker's own delays.

/// The period in which a worker checks the peers that it waits for, milliseconds.
pub const CHECK_PERIOD: u64 = 10;
/// The most that one check adds. A worker that checks later than this was starved, busy or stopped: what a peer has
/// sent meanwhile may lie unread in front of it.
const MAX_STEP: u64 = 2 * CHECK_PERIOD;

/// A clock that advances with each check, by at most `MAX_STEP`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionClock {
    time: u64,
    checked: u64,
}

impl AttentionClock {
    /// Advances to a check at this time of a monotonic clock.
    pub fn advance(&mut self, now: u64) {
        self.time = self.time.saturating_add(now.saturating_sub(self.checked).min(MAX_STEP));
        self.checked = self.checked.max(now);
    }

    /// Milliseconds of attention so far.
    pub const fn time(self) -> u64 {
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_quick_as_any_clock_while_checks_are_in_time_and_stands_still_between_late_ones() {
        let mut attention = AttentionClock::default();
        (0..=100).for_each(|n| attention.advance(1_000_000 + n * (CHECK_PERIOD + 5)));
        let begun = attention.time();
        assert_eq!(begun, MAX_STEP + 100 * (CHECK_PERIOD + 5));
        // Stopped for 90 ms of each 100, with two checks in the rest.
        (0..10).for_each(|n| [0, 10].into_iter().for_each(|late| attention.advance(2_000_000 + n * 100 + late)));
        assert_eq!(attention.time() - begun, 10 * (MAX_STEP + 10));
        attention.advance(0);
        assert_eq!(attention.time() - begun, 10 * (MAX_STEP + 10), "it never goes back");
    }
}
