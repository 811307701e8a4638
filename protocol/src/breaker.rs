//! The circuit breaker of a peer, in proxies and coordinators.

/// How long a breaker stays open after a failure, milliseconds; doubled with each failed trial, up to [`MAX_REST`].
pub const BASE_REST: u64 = 1000;
/// The longest time that a breaker stays open, milliseconds: a peer that is back is asked again within it.
pub const MAX_REST: u64 = 4000;

/// A circuit breaker. Closed: the peer is asked. Open: it is not. After a rest it is half open: one question at a time
/// is a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker(Option<Open>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    rest: u64,
    /// When the next trial may start. A trial moves it on by `rest`, so that another one follows where the first gets
    /// no answer.
    trial: u64,
    /// Whether a trial started since the last failure.
    tried: bool,
}

impl Breaker {
    /// Acquires permission to send a question now. A half-open breaker gives it once and closes the way for others
    /// until the rest is over: the caller has to send.
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

    /// Whether [`Breaker::try_acquire`] would succeed.
    pub fn is_available(&self, now: u64) -> bool {
        self.0.is_none_or(|open| open.trial <= now)
    }

    /// Whether the peer has not responded since its last failure.
    pub const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Records that the peer refused, broke off or did not respond in time. Returns whether the breaker was closed.
    pub fn record_failure(&mut self, now: u64) -> bool {
        let rest = match self.0 {
            // Questions that were in progress together fail together: one failure.
            Some(open) if !open.tried => return false,
            Some(open) => open.rest.saturating_mul(2).min(MAX_REST),
            None => BASE_REST,
        };
        self.0.replace(Open { rest, trial: now.saturating_add(rest), tried: false }).is_none()
    }

    /// Records that the peer responded. Returns whether the breaker was open.
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
        assert!(!breaker.record_failure(10), "a question that was under way with it");
        assert!(!breaker.try_acquire(999) && !breaker.is_available(999));
        assert!(breaker.is_available(1000) && breaker.try_acquire(1000));
        assert!(!breaker.try_acquire(1000) && !breaker.try_acquire(1999), "one at a time");
        assert!(breaker.try_acquire(2000), "the trial got no answer");
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
