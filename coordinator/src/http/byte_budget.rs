//! Memory of messages under way: a budget of bytes, and what is reserved of it.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire},
    },
};

/// Bytes of what is under way, as of bodies on their way into the store, of all groups.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    used: AtomicU64,
    most: u64,
}

/// Some of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct ByteReservation {
    of: Arc<ByteBudget>,
    bytes: u64,
}

impl ByteBudget {
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), most })
    }

    /// Those that are under way.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Acquire)
    }

    /// None so far.
    pub(crate) fn take(self: &Arc<Self>) -> ByteReservation {
        ByteReservation { of: self.clone(), bytes: 0 }
    }
}

impl ByteReservation {
    /// Takes so many in all, if there are as many. It never gives any back before its end.
    pub(crate) fn grow(&mut self, to: u64) -> bool {
        let more = to.saturating_sub(self.bytes);
        if self.of.used.fetch_add(more, AcqRel).saturating_add(more) > self.of.most {
            self.of.used.fetch_sub(more, AcqRel);
            return false;
        }
        self.bytes = self.bytes.saturating_add(more);
        true
    }
}

impl Drop for ByteReservation {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back() {
        let bytes = ByteBudget::new(100);
        let (mut a, mut b) = (bytes.take(), bytes.take());
        assert!(a.grow(60) && a.grow(50) && b.grow(40));
        assert!(!b.grow(41) && bytes.used() == 100);
        drop(a);
        assert!(b.grow(100) && bytes.used() == 100);
        drop(b);
        assert_eq!(bytes.used(), 0);
    }
}
