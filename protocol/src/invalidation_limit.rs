//! How often a key is invalidated: at most once a period, and the last invalidation of a period is not lost.

/// The period, milliseconds.
pub const PERIOD: u64 = 1000;

/// The limit of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct InvalidationLimit {
    /// When the next invalidation may be carried out.
    next: u64,
    /// When the key was seen to change last.
    changed: u64,
}

/// When an invalidation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Now.
    Now,
    /// After this many milliseconds.
    In(u64),
    /// Together with one that is scheduled already.
    Merged,
}

impl InvalidationLimit {
    /// Schedules an invalidation.
    pub fn schedule(&mut self, now: u64) -> Schedule {
        self.changed = now;
        let wait = self.next.saturating_sub(now);
        if wait > PERIOD {
            return Schedule::Merged;
        }
        self.next = self.next.max(now).saturating_add(PERIOD);
        if wait == 0 { Schedule::Now } else { Schedule::In(wait) }
    }

    /// Schedules an invalidation only if it may be carried out now. Returns whether it may.
    pub fn try_schedule_now(&mut self, now: u64) -> bool {
        self.next <= now && self.schedule(now) == Schedule::Now
    }

    /// Records a change that is not invalidated from here.
    pub fn record_change(&mut self, now: u64) {
        (self.next, self.changed) = (self.next.max(now), now);
    }

    /// Records a change that another worker invalidates now.
    pub fn record_invalidation(&mut self, now: u64) {
        (self.next, self.changed) = (self.next.max(now.saturating_add(PERIOD)), now);
    }

    /// Returns how long ago the key changed, as long as an invalidation that takes `delivery` milliseconds may still be
    /// on its way.
    pub fn since_change(&self, now: u64, delivery: u64) -> Option<u64> {
        (now < self.next.saturating_add(delivery)).then(|| now.saturating_sub(self.changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_invalidated_once_a_period_and_the_last_one_counts() {
        let mut limit = InvalidationLimit::default();
        assert_eq!(limit.schedule(5000), Schedule::Now);
        assert_eq!((limit.schedule(5300), limit.schedule(5400)), (Schedule::In(700), Schedule::Merged));
        assert_eq!(limit.schedule(6100), Schedule::In(900), "the one of 6000 was carried out");
        assert!(!limit.try_schedule_now(6200) && limit.try_schedule_now(9000) && !limit.try_schedule_now(9999));
        assert_eq!(limit.schedule(10_000), Schedule::Now);
    }

    #[test]
    fn a_change_is_known_until_its_invalidation_must_have_arrived() {
        let mut limit = InvalidationLimit::default();
        let schedules = [0, 300, 400].map(|now| limit.schedule(now));
        assert_eq!(schedules, [Schedule::Now, Schedule::In(700), Schedule::Merged]);
        assert_eq!([450, 2999, 3000].map(|now| limit.since_change(now, 1000)), [Some(50), Some(2599), None]);
        limit.record_change(5000);
        assert_eq!([5999, 6000].map(|now| limit.since_change(now, 1000)), [Some(999), None]);
        limit.record_invalidation(7000);
        assert_eq!([8999, 9000].map(|now| limit.since_change(now, 1000)), [Some(1999), None]);
        assert_eq!(limit.schedule(7500), Schedule::In(500));
    }
}
