//! The memory of a body whose length is known: one allocation, of which what is there is read while more is written. Whole,
//! it is the store's without a copy.

use append_only_bytes::{AppendOnlyBytes, BytesSlice};
use bytes::Bytes;

/// The memory, and its only writer.
pub(super) struct Memory(AppendOnlyBytes);

struct Part(BytesSlice);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Memory {
    /// Takes the memory. The system gives pages for it as they are written.
    pub(super) fn new(capacity: usize) -> Self {
        Self(AppendOnlyBytes::with_capacity(capacity))
    }

    /// Appends what has come. False: there is no room for it.
    pub(super) fn append(&mut self, data: &[u8]) -> bool {
        let fits = data.len() <= self.0.capacity().saturating_sub(self.0.len());
        if fits {
            self.0.push_slice(data);
        }
        fits
    }

    /// Returns all that is there.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes::from_owner(Part(self.0.slice(..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_while_more_is_written_and_nothing_is_copied() {
        let mut memory = Memory::new(6);
        assert!(memory.bytes().is_empty() && memory.append(b"abc"));
        let first = memory.bytes();
        assert!(memory.append(b"d") && !memory.append(b"efg") && memory.append(b"ef"));
        let whole = memory.bytes();
        drop(memory);
        assert_eq!((&*first, &*whole, first.as_ptr()), (&b"abc"[..], &b"abcdef"[..], whole.as_ptr()));
    }

    #[test]
    fn a_body_without_bytes_takes_none() {
        let mut memory = Memory::new(0);
        assert!(memory.append(b"") && !memory.append(b"x") && memory.bytes().is_empty());
    }
}
