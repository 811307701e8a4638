//! The contents of the store, and the effect of a purge.

use crate::store::CacheType;

/// The matches of a purge in this store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Entries (variants).
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One group's contents of the store of one type, and their counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The group's name.
    pub group: String,
    /// The type.
    pub cache_type: CacheType,
    /// Bytes, bookkeeping included.
    pub bytes: u64,
    /// Entries (variants).
    pub items: u64,
    /// Lookups.
    pub gets: u64,
    /// Lookups that found something.
    pub hits: u64,
    /// Those among them that counted nowhere else: calls of a library's `get`.
    pub fresh_reads: u64,
    /// Evicted entries.
    pub evictions: u64,
    /// Evicted entries that had not expired.
    pub evictions_nonexpired: u64,
}
