//! One group's quota of the store: its limit, its bytes and its counters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One group's quota.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Its index in every shard.
    pub(super) id: u32,
    /// The group's name.
    pub(crate) name: String,
    limit: AtomicU64,
    pub(super) used: AtomicU64,
    pub(super) items: AtomicU64,
    pub(super) gets: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) evictions_nonexpired: AtomicU64,
}

impl Quota {
    pub(super) fn new(id: u32, name: &str, limit: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            id,
            name: name.to_owned(),
            limit: AtomicU64::new(limit),
            used: zero(),
            items: zero(),
            gets: zero(),
            hits: zero(),
            evictions: zero(),
            evictions_nonexpired: zero(),
        }
    }

    /// Returns the bytes that the group may take.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }
}
