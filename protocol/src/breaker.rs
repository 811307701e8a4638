//! A peer that does not answer is left alone for a while, then tried with one question at a time. The same in filter
//! and coordinator.

/// How long a peer that failed is left alone, milliseconds; doubled with each trial that fails, up to [`MAX_REST`].
pub const BASE_REST: u64 = 1000;
/// The longest rest, milliseconds: so soon at the latest a peer that is back is asked again.
pub const MAX_REST: u64 = 4000;

/// What is known of a peer's failures. Closed: it is asked. Open: it rests. After the rest it is half open: one
/// question is a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker(Option<Open>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    rest: u64,
    /// When the next question may go out. A trial moves it on, so that the next trial goes out when the first is given
    /// up.
    trial: u64,
    /// Whether a trial went out since the last failure.
    tried: bool,
}

impl Breaker {
    /// Whether the peer may be asked now. A yes of a half open one is for this one question: ask it, or nobody does for
    /// a while.
    pub fn try_acquire(&mut self, now: u64) -> bool {
        match &mut self.0 {
            None => true,
            Some(open) if open.trial <= now => {
                (open.trial, open.tried) = (now.saturating_add(open.rest), true);
                true
            }
            Some(_) => false,
        }
    }

    /// Whether it may be asked, without taking the trial.
    pub fn is_available(&self, now: u64) -> bool {
        self.0.is_none_or(|open| open.trial <= now)
    }

    /// Whether the peer has not answered since it failed.
    pub const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The peer refused, broke off or was silent for too long. Whether that is news.
    pub fn record_failure(&mut self, now: u64) -> bool {
        let rest = match self.0 {
            // Of many questions under way at once each fails: that is one failure.
            Some(open) if !open.tried => return false,
            Some(open) => open.rest.saturating_mul(2).min(MAX_REST),
            None => BASE_REST,
        };
        self.0.replace(Open { rest, trial: now.saturating_add(rest), tried: false }).is_none()
    }

    /// The peer answered. Whether that is news.
    pub fn record_success(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_failed_rests_and_is_tried_with_one_question_at_a_time() {
        let mut breaker = Breaker::default();
        assert!(breaker.try_acquire(0) && !breaker.is_open());
        assert!(breaker.record_failure(0));
        assert!(!breaker.record_failure(10), "what was under way with it is no news");
        assert!(!breaker.try_acquire(999) && !breaker.is_available(999));
        assert!(breaker.is_available(1000) && breaker.try_acquire(1000));
        assert!(!breaker.try_acquire(1000) && !breaker.try_acquire(1999), "one at a time");
        assert!(breaker.try_acquire(2000), "the trial was never heard of again");
        assert!(breaker.record_success() && breaker.try_acquire(2001) && breaker.try_acquire(2001));
        assert!(!breaker.record_success());
    }

    #[test]
    fn the_rest_grows_while_trials_fail_and_is_bounded() {
        let (mut breaker, mut now) = (Breaker::default(), 0);
        breaker.record_failure(now);
        let mut rests = Vec::new();
        for _ in 0..5 {
            let begun = now;
            while !breaker.try_acquire(now) {
                now += 1;
            }
            rests.push(now - begun);
            // The trial is silent for some patience.
            now += 600;
            assert!(!breaker.record_failure(now));
        }
        assert_eq!(rests, [1000, 2000, 4000, 4000, 4000]);
    }
}
