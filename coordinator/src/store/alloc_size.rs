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

/// Returns the bytes of a hash table (hashbrown) that has held this many slots: a power of two of buckets, at most
/// seven eighths full.
pub(crate) const fn table_size(held: usize, slot: usize) -> u64 {
    if held == 0 {
        return 0;
    }
    let buckets = if held < 4 { 4 } else { (held * 8).div_ceil(7).next_power_of_two() };
    size_class(buckets * (slot + 1) + 16)
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
    fn a_table_is_never_more_than_seven_eighths_full() {
        for held in [1, 3, 4, 7, 8, 14, 15, 28, 29, 100_000] {
            assert!(table_size(held, 16) >= held as u64 * 8 / 7 * 17, "{held}");
        }
    }
}
