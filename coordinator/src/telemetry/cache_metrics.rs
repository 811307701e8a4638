//! The metrics of one group in a part of the store.

use crate::store::usage::Usage;
use prometheus::{IntCounter, IntGauge};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The metrics of one group in a part of the store.
pub(super) struct CacheMetrics {
    pub(super) bytes: IntGauge,
    pub(super) items: IntGauge,
    pub(super) gets: IntCounter,
    pub(super) hits: IntCounter,
    pub(super) evictions: IntCounter,
    pub(super) evictions_nonexpired: IntCounter,
    /// Those that were seen so far.
    pub(super) fresh_reads: AtomicU64,
}

impl CacheMetrics {
    /// Sets the numbers of the store. Returns the reads that only the store has counted, and that are new.
    pub(super) fn set(&self, usage: &Usage) -> u64 {
        let set = |gauge: &IntGauge, n: u64| gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        set(&self.bytes, usage.bytes);
        set(&self.items, usage.items);
        let raise = |counter: &IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        raise(&self.gets, usage.gets);
        raise(&self.hits, usage.hits);
        raise(&self.evictions, usage.evictions);
        raise(&self.evictions_nonexpired, usage.evictions_nonexpired);
        usage.fresh_reads.saturating_sub(self.fresh_reads.fetch_max(usage.fresh_reads, Relaxed))
    }
}
