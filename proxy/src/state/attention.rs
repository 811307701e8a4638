//! The time in which a worker was attentive: what is measured by it is another's silence, and not its own lateness.

/// How often a worker looks while it waits for peers, milliseconds.
pub const LOOK: u64 = 10;
/// The most that counts from one look to the next. A worker that looks later than this was not attentive: it was
/// starved, busy or stopped, and what a peer has said meanwhile may lie unread in front of it.
const MOST: u64 = 2 * LOOK;

/// A clock that goes on with each look, by at most [`MOST`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention {
    time: u64,
    looked: u64,
}

impl Attention {
    /// The worker looks, at this time of a clock that never jumps.
    pub fn look(&mut self, now: u64) {
        self.time = self.time.saturating_add(now.saturating_sub(self.looked).min(MOST));
        self.looked = self.looked.max(now);
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
    fn it_is_as_quick_as_any_clock_while_looks_are_in_time_and_stands_still_between_late_ones() {
        let mut attention = Attention::default();
        (0..=100).for_each(|n| attention.look(1_000_000 + n * (LOOK + 5)));
        let begun = attention.time();
        assert_eq!(begun, MOST + 100 * (LOOK + 5));
        // Stopped for 90 ms of each 100, with two looks in the rest.
        (0..10).for_each(|n| [0, 10].into_iter().for_each(|late| attention.look(2_000_000 + n * 100 + late)));
        assert_eq!(attention.time() - begun, 10 * (MOST + 10));
        attention.look(0);
        assert_eq!(attention.time() - begun, 10 * (MOST + 10), "it never goes back");
    }
}
