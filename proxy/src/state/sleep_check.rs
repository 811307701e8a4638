//! Detects that the machine slept: the monotonic clock stood still meanwhile, so ages are wrong and purges may be
//! missed.

/// How far the wall clock may get ahead of the monotonic one from one check to the next, milliseconds.
const MAX_LEAD: u64 = 1000;

/// Both clocks at the last check.
#[derive(Clone, Copy, Debug, Default)]
pub struct SleepCheck {
    now: u64,
    wall: u64,
}

impl SleepCheck {
    /// Advances to a check. Returns the milliseconds by which the wall clock got ahead, if these are too many: the
    /// machine slept, or the clock was set.
    pub fn advance(&mut self, now: u64, wall: u64) -> Option<u64> {
        let lead = wall.saturating_sub(self.wall).saturating_sub(now.saturating_sub(self.now));
        let is_first = self.wall == 0;
        (self.now, self.wall) = (now, wall);
        (!is_first && lead > MAX_LEAD).then_some(lead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_gets_ahead_shows_that_the_machine_slept() {
        let mut check = SleepCheck::default();
        assert_eq!(check.advance(1000, 1_700_000_000_000), None, "the first check");
        assert_eq!(check.advance(1250, 1_700_000_001_250), None, "a second ahead");
        assert_eq!(check.advance(1500, 1_700_000_061_500), Some(60_000));
        assert_eq!(check.advance(1750, 1_700_000_001_000), None, "the clock was set back");
    }
}
