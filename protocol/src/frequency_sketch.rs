//! Estimates how often keys are asked for, in fixed memory: a count-min sketch that ages (TinyLFU).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

const ROWS: usize = 4;
/// The counters of one row in a block.
const ROW: usize = 16;

/// Four rows of small counters. All are halved after a number of records, so that keys that were popular once make
/// room. The counters of a key are in one block, which is one line of a processor's cache.
///
/// Threads may share it: a record that two of them write at once may count once. A key whose counters are full is read
/// and not written, so that threads which ask for one key do not wait for each other's cache.
pub struct FrequencySketch {
    blocks: Box<[Block]>,
    window: usize,
    records: AtomicUsize,
}

#[repr(align(64))]
struct Block([[AtomicU8; ROW]; ROWS]);

impl FrequencySketch {
    /// Creates a sketch with about `width` counters in each row, which are halved after `window` records.
    pub fn new(width: usize, window: usize) -> Self {
        let block = |_| Block(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU8::new(0))));
        let blocks = (0..width.div_ceil(ROW).max(1)).map(block).collect();
        Self { blocks, window, records: AtomicUsize::new(0) }
    }

    /// Counts a key once more.
    pub fn record(&self, hash: u128) {
        let mut is_full = true;
        for counter in self.counters_of(hash) {
            let count = counter.load(Relaxed);
            if let Some(more) = count.checked_add(1) {
                counter.store(more, Relaxed);
                is_full = false;
            }
        }
        if !is_full && self.records.fetch_add(1, Relaxed).saturating_add(1) == self.window {
            self.records.store(0, Relaxed);
            let all = self.blocks.iter().flat_map(|block| block.0.iter().flatten());
            all.for_each(|counter| counter.store(counter.load(Relaxed) / 2, Relaxed));
        }
    }

    /// Returns how often a key was recorded lately: never too few, seldom too many.
    pub fn estimate(&self, hash: u128) -> u8 {
        self.counters_of(hash).map(|counter| counter.load(Relaxed)).min().unwrap_or(0)
    }

    /// The key's counter in each row of its block. Each row takes other bits of the hash.
    fn counters_of(&self, hash: u128) -> impl Iterator<Item = &AtomicU8> {
        let at = (hash as usize).checked_rem(self.blocks.len()).unwrap_or(0);
        let rows = self.blocks.get(at).map_or(&[][..], |block| &block.0);
        let bits = (hash >> 64) as u64;
        rows.iter().zip([0u32, 16, 32, 48]).filter_map(move |(row, shift)| row.get((bits >> shift) as usize % ROW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    fn hash(n: usize) -> u128 {
        Hash::of(&n.to_le_bytes()).0
    }

    fn sketch() -> FrequencySketch {
        FrequencySketch::new(8192, 81_920)
    }

    #[test]
    fn a_popular_key_stands_out_of_a_scan() {
        let sketch = sketch();
        for n in 0..20_000 {
            sketch.record(hash(n));
            if n % 100 == 0 {
                sketch.record(hash(1_000_000));
            }
        }
        assert!(sketch.estimate(hash(1_000_000)) > sketch.estimate(hash(77)).saturating_mul(4));
    }

    #[test]
    fn what_was_popular_once_is_forgotten() {
        let sketch = sketch();
        (0..200).for_each(|_| sketch.record(hash(1)));
        assert!(sketch.estimate(hash(1)) >= 200);
        (0..400_000).for_each(|n| sketch.record(hash(n % 1000 + 10)));
        assert!(sketch.estimate(hash(1)) < 100, "{}", sketch.estimate(hash(1)));
    }
}
