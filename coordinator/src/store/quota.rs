//! One group's quota of the store: its limit, its bytes and its counters.

use crate::store::{
    heads::Heads,
    table::{CacheType, SHARDS, TableId},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The part of a quota, and of the store, that hot copies may take: one of so many, as in groupcache.
pub(super) const HOT_FRACTION: u64 = 8;

/// The part of a quota, percent, for keys that were used twice. A scan does not evict them.
const PROTECTED_PERCENT: u64 = 80;

/// One group's quota.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Its number: the place of its tables in every shard.
    pub(super) id: u32,
    /// The group's name.
    pub(crate) name: String,
    limit: AtomicU64,
    main: Counters,
    hot: Counters,
    /// What the heads of its entries have in common.
    pub(super) heads: Mutex<Heads>,
}

/// The bytes of a table in all shards, and what became of its entries.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) used: AtomicU64,
    pub(super) items: AtomicU64,
    pub(super) gets: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) evictions_nonexpired: AtomicU64,
}

impl Quota {
    pub(super) fn new(id: u32, name: &str, limit: u64) -> Self {
        let (main, hot, heads) = Default::default();
        Self { id, name: name.to_owned(), limit: AtomicU64::new(limit), main, hot, heads }
    }

    /// Returns the bytes that the group may take, hot copies included.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Returns the bytes that one type of entries may take.
    pub(super) fn limit_of(&self, cache_type: CacheType) -> u64 {
        match cache_type {
            CacheType::Main => self.limit(),
            CacheType::Hot => self.limit() / HOT_FRACTION,
        }
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns the bytes that it takes, hot copies included.
    pub(super) fn used(&self) -> u64 {
        self.main.used.load(Relaxed) + self.hot.used.load(Relaxed)
    }

    pub(super) fn table(&self, cache_type: CacheType) -> TableId {
        TableId::of(self.id, cache_type)
    }

    pub(super) fn counters(&self, cache_type: CacheType) -> &Counters {
        match cache_type {
            CacheType::Main => &self.main,
            CacheType::Hot => &self.hot,
        }
    }
}

/// Returns the counters of a table.
pub(super) fn counters(quotas: &[Arc<Quota>], table: TableId) -> Option<&Counters> {
    quotas.get(table.quota() as usize).map(|quota| quota.counters(table.cache_type()))
}

/// Returns the bytes of a quota that each shard protects.
pub(super) fn protected_room(quota: &Quota, cache_type: CacheType) -> u64 {
    quota.limit_of(cache_type) / 100 * PROTECTED_PERCENT / SHARDS as u64
}
