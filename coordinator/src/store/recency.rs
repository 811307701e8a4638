//! How keys were used, by which they are evicted and handed over.

use crate::store::table::TableId;
use meshcache_protocol::Hash;

/// How recently and how often a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recency {
    /// Whether it was used more than once.
    pub(crate) warm: bool,
    /// When it was last used, by this store's clock.
    pub(crate) touched: u64,
}

/// The rank of a key. The order is that of use, the least used first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) warm: bool,
    pub(super) touched: u64,
    pub(super) table: TableId,
    /// Its place in the table: the high half of the key's hash.
    pub(super) place: u64,
}

/// A key with its rank, the least used first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RankedKey {
    pub(super) rank: Rank,
    /// The key's hash.
    pub(crate) hash: Hash,
}

impl Rank {
    /// Returns whether it was used less than a key that was `used` so.
    pub(super) fn is_used_less(&self, used: Recency) -> bool {
        (self.warm, self.touched) < (used.warm, used.touched)
    }
}
