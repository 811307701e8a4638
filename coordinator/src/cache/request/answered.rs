//! How a request was answered.

use meshcache_protocol::wire::Outcome;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How a request was answered, as far as that is known: it passes, unless somebody says something else.
#[derive(Default)]
pub(crate) struct Answered(AtomicU8);

impl Answered {
    pub(crate) fn set(&self, outcome: Outcome) {
        self.0.store(outcome as u8 + 1, Relaxed);
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let set = usize::from(self.0.load(Relaxed)).checked_sub(1);
        set.and_then(|at| Outcome::ALL.get(at)).copied().unwrap_or(Outcome::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_read_as_it_was_set() {
        let answered = Answered::default();
        assert_eq!(answered.outcome(), Outcome::Pass);
        for outcome in Outcome::ALL {
            answered.set(outcome);
            assert_eq!(answered.outcome(), outcome);
        }
    }
}
