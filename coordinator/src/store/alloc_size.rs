//! The real size of allocations: jemalloc's size classes, so that the store's limit holds for the process.

/// Returns the bytes that an allocation of `bytes` occupies: multiples of 16 up to 128, then four classes for each
/// doubling.
pub(crate) const fn size_class(bytes: usize) -> u64 {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => (bytes as u64).next_multiple_of(16),
        _ => {
            let bytes = bytes as u64;
            let spacing = (1 << (u64::BITS - 1 - (bytes - 1).leading_zeros())) / 4;
            bytes.next_multiple_of(spacing)
        }
    }
}

/// The bytes that `Bytes` allocates beside its buffer once it is shared.
pub(crate) const SHARED: u64 = 32;

/// Returns by how many items a full vector grows: an eighth, where it would double by itself, and what its allocation has
/// room for besides.
pub(crate) const fn room_for_more(len: usize, each: usize) -> usize {
    let least = len.saturating_add(len / 8).saturating_add(8).saturating_mul(each);
    (size_class(least) as usize / each).saturating_sub(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_jemalloc() {
        for (bytes, expected) in [
            (0, 0),
            (1, 8),
            (9, 16),
            (128, 128),
            (129, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1024, 1024),
            (1025, 1280),
            (14_337, 16_384),
            (16_385, 20_480),
            ((8 << 20) + 1, 10 << 20),
        ] {
            assert_eq!(size_class(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn a_vector_grows_by_an_eighth_at_least_and_fills_its_allocation() {
        for (len, each) in [(0, 40), (8, 8), (1000, 40), (100_000, 8)] {
            let grown = len + room_for_more(len, each);
            assert!(grown >= len + len / 8 + 8 && grown <= len * 3 / 2 + 16, "{len}: {grown}");
            assert!(size_class((grown + 1) * each) > size_class(grown * each), "{len}: {grown}");
        }
    }
}
