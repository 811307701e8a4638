//! When the keys of a shard become useless: a heap with one item for each live key, and a few obsolete ones.

use crate::store::{alloc_size, table::TableId};
use meshcache_protocol::Hash;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Milliseconds in one tick. Deadlines need not be finer, and a tick fits into 4 bytes for 136 years.
const TICK: u64 = 1000;

/// A key's deadline. 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expiry {
    /// The tick at whose end the key expires.
    pub(super) tick: u32,
    /// The table that the key is in.
    pub(super) table: TableId,
    // Two halves, because a u128 would align the whole to 16 bytes.
    hash: [u64; 2],
}

impl Expiry {
    pub(super) fn new(deadline: u64, table: TableId, hash: Hash) -> Self {
        let tick = u32::try_from(deadline.div_ceil(TICK)).unwrap_or(u32::MAX);
        Self { tick, table, hash: [hash.high(), hash.low()] }
    }

    pub(super) fn hash(&self) -> Hash {
        let [high, low] = self.hash;
        Hash((u128::from(high) << 64) | u128::from(low))
    }
}

/// The deadlines of one shard.
#[derive(Debug, Default)]
pub(super) struct ExpiryQueue(BinaryHeap<Reverse<Expiry>>);

impl ExpiryQueue {
    pub(super) fn push(&mut self, due: Expiry) {
        // What never expires is not awaited.
        if due.tick < u32::MAX {
            self.0.push(Reverse(due));
        }
    }

    /// Takes the next deadline that is over.
    pub(super) fn pop(&mut self, now: u64) -> Option<Expiry> {
        let Reverse(first) = self.0.peek()?;
        if u64::from(first.tick).saturating_mul(TICK) > now {
            return None;
        }
        self.0.pop().map(|Reverse(due)| due)
    }

    /// Drops obsolete items once they are more than the live ones, so that the queue never outgrows its keys.
    pub(super) fn compact(&mut self, live: usize, is_live: impl Fn(&Expiry) -> bool) {
        if self.0.len() > live.saturating_mul(2).saturating_add(64) {
            self.0.retain(|Reverse(due)| is_live(due));
            self.0.shrink_to(live.saturating_mul(2));
        }
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        alloc_size::size_class(self.0.capacity().saturating_mul(size_of::<Expiry>()))
    }
}
