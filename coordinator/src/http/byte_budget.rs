//! Memory of messages in progress: a budget of bytes, and reservations of it.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire},
    },
};

/// A limit on the bytes of messages in progress, such as bodies on their way into the store.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    used: AtomicU64,
    limit: u64,
}

/// Bytes of a budget. They are given back on drop.
#[derive(Debug)]
pub(crate) struct ByteReservation {
    budget: Arc<ByteBudget>,
    bytes: u64,
}

impl ByteBudget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), limit })
    }

    /// Returns how many bytes are reserved.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Acquire)
    }

    /// Returns a reservation of no bytes yet.
    pub(crate) fn reserve(self: &Arc<Self>) -> ByteReservation {
        ByteReservation { budget: self.clone(), bytes: 0 }
    }
}

impl ByteReservation {
    /// Grows the reservation to this many bytes; false where the budget does not have them. It never shrinks.
    pub(crate) fn grow(&mut self, to: u64) -> bool {
        let more = to.saturating_sub(self.bytes);
        if self.budget.used.fetch_add(more, AcqRel).saturating_add(more) > self.budget.limit {
            self.budget.used.fetch_sub(more, AcqRel);
            return false;
        }
        self.bytes = self.bytes.saturating_add(more);
        true
    }
}

impl Drop for ByteReservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back() {
        let bytes = ByteBudget::new(100);
        let (mut a, mut b) = (bytes.reserve(), bytes.reserve());
        assert!(a.grow(60) && a.grow(50) && b.grow(40));
        assert!(!b.grow(41) && bytes.used() == 100);
        drop(a);
        assert!(b.grow(100) && bytes.used() == 100);
        drop(b);
        assert_eq!(bytes.used(), 0);
    }
}
