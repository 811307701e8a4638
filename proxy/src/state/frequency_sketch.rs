//! How often keys are asked for, approximately and in fixed memory: a count-min sketch that forgets (TinyLFU).

const ROWS: usize = 4;
const WIDTH: usize = 8192;

/// Four rows of small counters. All are halved after so many questions, so that what was popular once makes room.
pub struct Sketch {
    counters: Vec<u8>,
    asked: usize,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { counters: vec![0; ROWS.saturating_mul(WIDTH)], asked: 0 }
    }
}

impl Sketch {
    /// Counts a key once more.
    pub fn touch(&mut self, hash: u128) {
        for at in places(hash) {
            if let Some(counter) = self.counters.get_mut(at) {
                *counter = counter.saturating_add(1);
            }
        }
        self.asked = self.asked.saturating_add(1);
        if self.asked >= WIDTH.saturating_mul(10) {
            self.asked = 0;
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
        }
    }

    /// How often a key was asked for lately: never less than it was, seldom more.
    pub fn often(&self, hash: u128) -> u8 {
        places(hash).filter_map(|at| self.counters.get(at).copied()).min().unwrap_or(0)
    }
}

/// One counter in each row: each row takes other bits of the hash.
fn places(hash: u128) -> impl Iterator<Item = usize> {
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
        let mut sketch = Sketch::default();
        for n in 0..20_000 {
            sketch.touch(hash(n));
            if n % 100 == 0 {
                sketch.touch(hash(1_000_000));
            }
        }
        assert!(sketch.often(hash(1_000_000)) > sketch.often(hash(77)).saturating_mul(4));
    }

    #[test]
    fn what_was_popular_once_is_forgotten() {
        let mut sketch = Sketch::default();
        (0..200).for_each(|_| sketch.touch(hash(1)));
        assert!(sketch.often(hash(1)) >= 200);
        (0..400_000).for_each(|n| sketch.touch(hash(n % 1000 + 10)));
        assert!(sketch.often(hash(1)) < 100, "{}", sketch.often(hash(1)));
    }
}
