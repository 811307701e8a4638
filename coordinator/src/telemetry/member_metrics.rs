//! The metrics of members that find each other by gossip.

use crate::telemetry::register::{counters, gauges};
use prometheus::{IntCounterVec, IntGaugeVec, Registry};

/// Members by state, and their changes.
pub struct MemberMetrics {
    members: IntGaugeVec,
    changes: IntCounterVec,
}

impl MemberMetrics {
    pub(super) fn new(to: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            members: gauges(to, "meshcache_members", "Coordinators that gossip knows, by state.", &["state"])?,
            changes: counters(to, "meshcache_member_changes_total", "Changes of the members, by change.", &["change"])?,
        })
    }

    /// Begins with these labels at 0.
    pub fn begin<'a>(&self, states: impl Iterator<Item = &'a str>, changes: impl Iterator<Item = &'a str>) {
        states.for_each(|state| self.set(state, 0));
        changes.for_each(|change| self.changes.with_label_values(&[change]).reset());
    }

    /// Sets the number of members in a state.
    pub fn set(&self, state: &str, count: usize) {
        self.members.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a change.
    pub fn count_change(&self, change: &str) {
        self.changes.with_label_values(&[change]).inc();
    }
}
