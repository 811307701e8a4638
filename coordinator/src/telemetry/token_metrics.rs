//! Metrics of the tokens for one group's origin.

use crate::telemetry::{
    labelled::LabelledCounters,
    register::{counters, gauges},
};
use meshcache_protocol::Reason;
use prometheus::{IntCounterVec, IntGaugeVec, Registry};

/// The metrics of all groups.
pub(super) struct TokenFamilies {
    fetches: IntCounterVec,
    expiry: IntGaugeVec,
}

impl TokenFamilies {
    pub(super) fn new(to: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            fetches: counters(
                to,
                "meshcache_origin_tokens_total",
                "Fetches of a token for the origin, by outcome.",
                &["group", "outcome"],
            )?,
            expiry: gauges(
                to,
                "meshcache_origin_token_expiry_timestamp_seconds",
                "When the token for the origin expires, Unix time; 0: there was none.",
                &["group"],
            )?,
        })
    }
}

/// The metrics of one group. A group whose origin gets no tokens has no series.
pub(crate) struct TokenMetrics {
    group: String,
    fetches: LabelledCounters<1>,
    expiry: IntGaugeVec,
}

impl TokenMetrics {
    pub(super) fn new(group: &str, families: &TokenFamilies) -> Self {
        let fetches = LabelledCounters::new(group, &families.fetches);
        Self { group: group.to_owned(), fetches, expiry: families.expiry.clone() }
    }

    /// Creates the series. `expiry`: of the token that is there.
    pub(crate) fn begin(&self, expiry: Option<i64>) {
        // Created before the first failure, so that an alert sees it rise.
        for outcome in ["granted", "denied", Reason::Connect.label()] {
            self.fetches.create([outcome]);
        }
        self.set_expiry(expiry.unwrap_or(0));
    }

    /// Counts a fetch.
    pub(crate) fn count(&self, outcome: &'static str) {
        self.fetches.inc([outcome]);
    }

    /// Sets when the token expires, Unix seconds.
    pub(crate) fn set_expiry(&self, expiry: i64) {
        self.expiry.with_label_values(&[&self.group]).set(expiry);
    }
}
