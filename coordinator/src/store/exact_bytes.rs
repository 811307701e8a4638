//! Bytes in as little memory as the allocator gives: where it saves some, the counter of their references stands in the
//! same allocation.

use crate::store::alloc_size::{SHARED, size_class};
use bytes::Bytes;

/// The counter that `Bytes` keeps before its owner.
const OWNED: usize = size_of::<usize>();
/// The largest allocation with both.
const LARGEST: usize = 1024;

/// An owner that has its bytes in itself.
struct Inline<const N: usize>([u8; N]);

impl<const N: usize> AsRef<[u8]> for Inline<N> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the bytes that [`exact`] takes for so many.
pub(super) const fn exact_size(len: usize) -> u64 {
    if is_inline(len) { size_class(len + OWNED) } else { size_of_vec(len) }
}

/// Returns the bytes that a buffer of exactly this size takes once it is shared.
pub(super) const fn size_of_vec(len: usize) -> u64 {
    if len == 0 { 0 } else { size_class(len) + SHARED }
}

const fn is_inline(len: usize) -> bool {
    len > 0 && len + OWNED <= LARGEST && size_class(len + OWNED) <= size_of_vec(len)
}

/// Copies bytes.
pub(super) fn exact(bytes: &[u8]) -> Bytes {
    macro_rules! inline {
        ($($class:literal)*) => {
            match bytes.len().saturating_add(OWNED) {
                $(..=$class => fill::<{ $class - OWNED }>(bytes),)*
                _ => bytes.to_vec().into_boxed_slice().into(),
            }
        };
    }
    if !is_inline(bytes.len()) {
        return bytes.to_vec().into_boxed_slice().into();
    }
    inline!(32 48 64 80 96 112 128 160 192 224 256 320 384 448 512 640 768 896 1024)
}

fn fill<const N: usize>(bytes: &[u8]) -> Bytes {
    let mut inline = Inline([0; N]);
    if let Some(to) = inline.0.get_mut(..bytes.len()) {
        to.copy_from_slice(bytes);
    }
    let mut all = Bytes::from_owner(inline);
    all.truncate(bytes.len());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_whatever_their_length() {
        for len in 0..1500 {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            assert_eq!(exact(&bytes), bytes, "{len}");
            assert!(exact_size(len) <= size_of_vec(len));
        }
    }
}
