//! When which key of a shard is of no use any more: a heap with one item for each live key, and few that are out of
//! date.

use meshcache_protocol::Hash;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Milliseconds in one tick: deadlines need not be finer, and a tick fits into 4 bytes for 136 years.
const TICK: u64 = 1000;

/// A key's deadline. 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    /// The tick at whose end it is due.
    pub(super) tick: u32,
    /// The group's share of the store.
    pub(super) share: u32,
    // Two halves, because a u128 would align the whole to 16 bytes.
    hash: [u64; 2],
}

impl Due {
    pub(super) fn new(deadline: u64, share: u32, hash: Hash) -> Self {
        let tick = u32::try_from(deadline.div_ceil(TICK)).unwrap_or(u32::MAX);
        Self { tick, share, hash: [hash.high(), hash.low()] }
    }

    pub(super) fn hash(&self) -> Hash {
        let [high, low] = self.hash;
        Hash((u128::from(high) << 64) | u128::from(low))
    }
}

/// The deadlines of one shard.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<Due>>);

impl Deadlines {
    pub(super) fn push(&mut self, due: Due) {
        self.0.push(Reverse(due));
    }

    /// The next one that is due.
    pub(super) fn pop(&mut self, now: u64) -> Option<Due> {
        let Reverse(first) = self.0.peek()?;
        if u64::from(first.tick).saturating_mul(TICK) > now {
            return None;
        }
        self.0.pop().map(|Reverse(due)| due)
    }

    /// Forgets what is out of date once that is more than what is live, so that it never outgrows the keys that are
    /// there.
    pub(super) fn compact(&mut self, live: usize, is_live: impl Fn(&Due) -> bool) {
        if self.0.len() > live.saturating_mul(2).saturating_add(64) {
            self.0.retain(|Reverse(due)| is_live(due));
            self.0.shrink_to(live.saturating_mul(2));
        }
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        crate::store::alloc_size::class(self.0.capacity().saturating_mul(size_of::<Due>()))
    }
}
