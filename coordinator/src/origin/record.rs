//! What became of the requests to one group's origin, for people.

use crate::clock;
use parking_lot::Mutex;
use std::{collections::BTreeMap, time::Duration};

/// Upper bounds of the buckets, milliseconds. What takes longer counts as the last one.
pub(crate) const BOUNDS: [u32; 16] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 300_000];
/// How long times are kept in one of the two histograms, milliseconds.
const SPAN: u64 = 30_000;

/// The requests to one group's origin.
#[derive(Default)]
pub(crate) struct OriginRecord(Mutex<Counts>);

/// What is known of requests to an origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that were answered or failed.
    pub(crate) requests: u64,
    /// Those that brought no response, by reason.
    pub(crate) failures: BTreeMap<&'static str, u64>,
    /// When the last of these was, by [`clock::awake`].
    pub(crate) failed_at: Option<u64>,
    /// How long response heads took, in the last half minute or whole one.
    took: [Times; 2],
}

/// Times that were recorded in one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    span: u64,
    buckets: [u64; BOUNDS.len()],
}

impl OriginRecord {
    pub(super) fn record_response(&self, took: Duration) {
        self.0.lock().record_response(took, clock::awake());
    }

    pub(super) fn record_failure(&self, reason: &'static str) {
        self.0.lock().record_failure(reason, clock::awake());
    }

    /// Returns what is known now.
    pub(crate) fn read(&self) -> Counts {
        self.0.lock().clone()
    }
}

impl Counts {
    fn record_response(&mut self, took: Duration, now: u64) {
        self.requests += 1;
        let span = now / SPAN;
        let [times, before] = &mut self.took;
        if times.span != span {
            *before = *times;
            *times = Times { span, ..Times::default() };
        }
        let bucket = BOUNDS.iter().zip(&mut times.buckets).find(|(bound, _)| took.as_millis() <= u128::from(**bound));
        match bucket {
            Some((_, count)) => *count += 1,
            None => times.buckets.last_mut().into_iter().for_each(|count| *count += 1),
        }
    }

    fn record_failure(&mut self, reason: &'static str, now: u64) {
        self.requests += 1;
        *self.failures.entry(reason).or_default() += 1;
        self.failed_at = Some(now);
    }

    /// Returns the times of the last half minute or whole one by the buckets of [`BOUNDS`].
    pub(crate) fn recent(&self, now: u64) -> [u64; BOUNDS.len()] {
        let recent = self.took.iter().filter(|times| times.span + 1 >= now / SPAN);
        recent.fold([0; BOUNDS.len()], |mut sum, times| {
            sum.iter_mut().zip(times.buckets).for_each(|(sum, count)| *sum += count);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_the_last_minute_at_most() {
        let mut counts = Counts::default();
        let at = |seconds: u64| 1_000 * SPAN + seconds * 1000;
        counts.record_response(Duration::from_millis(3), at(0));
        counts.record_response(Duration::from_secs(3600), at(29));
        let recent = |counts: &Counts, seconds| counts.recent(at(seconds)).iter().sum::<u64>();
        assert_eq!((recent(&counts, 29), recent(&counts, 59), recent(&counts, 60)), (2, 2, 0));
        assert_eq!((counts.recent(at(29))[2], counts.recent(at(29))[BOUNDS.len() - 1]), (1, 1));
        counts.record_response(Duration::ZERO, at(31));
        assert_eq!((recent(&counts, 59), recent(&counts, 60), recent(&counts, 90)), (3, 1, 0));
    }

    #[test]
    fn failures_are_counted_by_reason_with_the_time_of_the_last() {
        let mut counts = Counts::default();
        counts.record_response(Duration::ZERO, 5);
        for (reason, now) in [("connect", 7), ("timeout", 8), ("connect", 9)] {
            counts.record_failure(reason, now);
        }
        assert_eq!((counts.requests, counts.failed_at), (4, Some(9)));
        assert_eq!(counts.failures, [("connect", 2), ("timeout", 1)].into());
    }
}
