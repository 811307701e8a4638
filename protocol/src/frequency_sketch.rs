//! Estimates how often keys are asked for, in fixed memory: a count-min sketch that ages (TinyLFU).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

const ROWS: usize = 4;

/// Four rows of small counters. All are halved after a number of records, so that keys that were popular once make
/// room.
///
/// Threads may share it: a record that two of them write at once may count once.
pub struct FrequencySketch {
    counters: Box<[AtomicU8]>,
    width: usize,
    window: usize,
    records: AtomicUsize,
}

impl FrequencySketch {
    /// Creates a sketch with `width` counters in each row, which are halved after `window` records.
    pub fn new(width: usize, window: usize) -> Self {
        let counters = (0..ROWS.saturating_mul(width)).map(|_| AtomicU8::new(0)).collect();
        Self { counters, width, window, records: AtomicUsize::new(0) }
    }

    /// Counts a key once more.
    pub fn record(&self, hash: u128) {
        for counter in self.counters_of(hash) {
            counter.store(counter.load(Relaxed).saturating_add(1), Relaxed);
        }
        if self.records.fetch_add(1, Relaxed).saturating_add(1) == self.window {
            self.records.store(0, Relaxed);
            self.counters.iter().for_each(|counter| counter.store(counter.load(Relaxed) / 2, Relaxed));
        }
    }

    /// Returns how often a key was recorded lately: never too few, seldom too many.
    pub fn estimate(&self, hash: u128) -> u8 {
        self.counters_of(hash).map(|counter| counter.load(Relaxed)).min().unwrap_or(0)
    }

    /// The key's counter in each row. Each row takes other bits of the hash.
    fn counters_of(&self, hash: u128) -> impl Iterator<Item = &AtomicU8> {
        (0..ROWS).filter_map(move |row| {
            let bits = (hash >> (row as u32).wrapping_mul(32)) as usize;
            self.counters.get(row.saturating_mul(self.width).saturating_add(bits.checked_rem(self.width)?))
        })
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
