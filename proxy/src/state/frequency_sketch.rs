//! Estimates how often keys are asked for, in fixed memory: a count-min sketch that ages (TinyLFU).

const ROWS: usize = 4;
const WIDTH: usize = 8192;

/// Four rows of small counters. All are halved after a number of records, so that keys that were popular once make
/// room.
pub struct FrequencySketch {
    counters: Vec<u8>,
    records: usize,
}

impl Default for FrequencySketch {
    fn default() -> Self {
        Self { counters: vec![0; ROWS.saturating_mul(WIDTH)], records: 0 }
    }
}

impl FrequencySketch {
    /// Counts a key once more.
    pub fn record(&mut self, hash: u128) {
        for at in counters_of(hash) {
            if let Some(counter) = self.counters.get_mut(at) {
                *counter = counter.saturating_add(1);
            }
        }
        self.records = self.records.saturating_add(1);
        if self.records >= WIDTH.saturating_mul(10) {
            self.records = 0;
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
        }
    }

    /// Returns how often a key was recorded lately: never too few, seldom too many.
    pub fn estimate(&self, hash: u128) -> u8 {
        counters_of(hash).filter_map(|at| self.counters.get(at).copied()).min().unwrap_or(0)
    }
}

/// The key's counter in each row. Each row takes other bits of the hash.
fn counters_of(hash: u128) -> impl Iterator<Item = usize> {
    (0..ROWS).map(move |row| {
        let bits = (hash >> (row as u32).wrapping_mul(32)) as usize;
        row.saturating_mul(WIDTH).saturating_add(bits % WIDTH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::Hash;

    fn hash(n: usize) -> u128 {
        Hash::of(&n.to_le_bytes()).0
    }

    #[test]
    fn a_popular_key_stands_out_of_a_scan() {
        let mut sketch = FrequencySketch::default();
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
        let mut sketch = FrequencySketch::default();
        (0..200).for_each(|_| sketch.record(hash(1)));
        assert!(sketch.estimate(hash(1)) >= 200);
        (0..400_000).for_each(|n| sketch.record(hash(n % 1000 + 10)));
        assert!(sketch.estimate(hash(1)) < 100, "{}", sketch.estimate(hash(1)));
    }
}
