//! How long requests took, by whether the store answered.

use meshcache_protocol::wire::Outcome;
use prometheus::{Histogram, HistogramVec, core::Metric};
use std::time::Duration;

/// The times of one group's requests, to the head of the response.
pub(crate) struct RequestSeconds {
    /// The store answered.
    pub(crate) hit: Histogram,
    /// It was loaded, or validated.
    pub(crate) miss: Histogram,
    /// All others.
    pass: Histogram,
}

impl RequestSeconds {
    pub(super) fn new(group: &str, family: &HistogramVec) -> Self {
        let [hit, miss, pass] = ["hit", "miss", "pass"].map(|result| family.with_label_values(&[group, result]));
        Self { hit, miss, pass }
    }

    pub(crate) fn record(&self, outcome: Outcome, took: Duration) {
        let of = match outcome {
            Outcome::Hit | Outcome::Stale => &self.hit,
            Outcome::Miss | Outcome::Revalidated => &self.miss,
            Outcome::Loading | Outcome::Pass | Outcome::Error => &self.pass,
        };
        of.observe(took.as_secs_f64());
    }
}

/// Returns how many times a histogram has, and for each of these shares of them the upper bound of its bucket, seconds.
/// What is above the last bound counts as that.
pub(crate) fn bounds<const N: usize>(histogram: &Histogram, shares: [f64; N]) -> (u64, [f64; N]) {
    let metric = histogram.metric();
    let of = metric.get_histogram();
    let buckets: Vec<(f64, u64)> =
        of.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect();
    (of.get_sample_count(), shares.map(|share| bound(&buckets, of.get_sample_count(), share)))
}

/// Returns the upper bound of the bucket below which this share of all lies. `buckets`: cumulative.
pub(crate) fn bound(buckets: &[(f64, u64)], count: u64, share: f64) -> f64 {
    let wanted = share * count as f64;
    let bucket = buckets.iter().find(|(_, cumulative)| count > 0 && *cumulative as f64 >= wanted);
    bucket.or(buckets.last().filter(|_| count > 0)).map_or(0.0, |(bound, _)| *bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_lies_below_its_buckets_bound() {
        let buckets = [(1.0, 50), (2.0, 98), (4.0, 99)];
        assert_eq!([0.5, 0.98, 0.99, 1.0].map(|share| bound(&buckets, 100, share)), [1.0, 2.0, 4.0, 4.0]);
        assert_eq!((bound(&buckets, 0, 0.5), bound(&[], 3, 0.5)), (0.0, 0.0));
    }
}
