//! When the keys of a table become useless: a heap with one item for each live key, and a few obsolete ones.

use crate::store::alloc_size;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Milliseconds in one tick. Deadlines need not be finer, and a tick fits into 4 bytes for 136 years.
const TICK: u64 = 1000;

/// A key's deadline. 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expiry {
    /// The tick at whose end the key expires.
    pub(super) tick: u32,
    /// The place of the key.
    pub(super) at: u32,
}

/// Returns the tick of a deadline.
pub(super) fn tick(deadline: u64) -> u32 {
    u32::try_from(deadline.div_ceil(TICK)).unwrap_or(u32::MAX)
}

/// The deadlines of one table.
#[derive(Debug, Default)]
pub(super) struct ExpiryQueue(BinaryHeap<Reverse<Expiry>>);

impl ExpiryQueue {
    pub(super) fn push(&mut self, due: Expiry) {
        // What never expires is not awaited.
        if due.tick < u32::MAX {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(alloc_size::room_for_more(self.0.len(), size_of::<Expiry>()));
            }
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

    /// Drops obsolete items once they are half as many as the live ones, so that the queue never outgrows its keys.
    pub(super) fn compact(&mut self, live: usize, is_live: impl Fn(&Expiry) -> bool) {
        if self.0.len() > live.saturating_add(live / 2).saturating_add(64) {
            self.0.retain(|Reverse(due)| is_live(due));
            self.0.shrink_to(live.saturating_add(live / 2));
        }
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        alloc_size::size_class(self.0.capacity().saturating_mul(size_of::<Expiry>()))
    }
}
