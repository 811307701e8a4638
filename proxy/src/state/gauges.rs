//! What Envoy's gauges are set to: the sum over the workers that are there.
//!
//! Envoy lets a gauge live on when the VM that counted it is replaced, and one that is counted below zero is a huge
//! number. So nobody counts: each worker writes down what it holds, and sets the gauges to the sum. What a VM that is
//! gone held is in it no longer.

use crate::state::shared_data::Shared;

/// How many gauges there are.
pub const COUNT: usize = 2;
/// The name in the shared memory. One for all coordinators' clusters: their workers set the same gauges.
const NAME: &str = "meshcache.held";
/// A worker that has not said for so long what it holds is gone, milliseconds.
const GONE: u64 = 2000;
/// How often it is tried when other workers write at the same time. Who gives up says it at its next tick.
const TRIES: usize = 8;

/// What one worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    worker: u64,
    /// When it said so.
    at: u64,
    values: [u64; COUNT],
}

/// Bytes of one [`Held`].
const WIDTH: usize = 8 * (2 + COUNT);

impl Held {
    fn write(&self) -> impl Iterator<Item = u8> {
        [self.worker, self.at].into_iter().chain(self.values).flat_map(u64::to_le_bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map_while(|number| Some(u64::from_le_bytes(number.try_into().ok()?)));
        Some(Self { worker: numbers.next()?, at: numbers.next()?, values: [numbers.next()?, numbers.next()?] })
    }
}

/// Writes down what a worker holds: the sum over all that are there.
pub fn sum(shared: &mut dyn Shared, worker: u64, values: [u64; COUNT], now: u64) -> [u64; COUNT] {
    let own = Held { worker, at: now, values };
    let mut all = vec![own];
    for _ in 0..TRIES {
        let (bytes, number) = shared.get(NAME).unwrap_or_default();
        let others = bytes.chunks_exact(WIDTH).filter_map(Held::read);
        all = others.filter(|held| held.worker != worker && held.at.saturating_add(GONE) > now).chain([own]).collect();
        if shared.set(NAME, &all.iter().flat_map(Held::write).collect::<Vec<u8>>(), number) {
            break;
        }
    }
    all.iter().fold([0; COUNT], |sum, held| std::array::from_fn(|i| plus(&sum, &held.values, i)))
}

fn plus(one: &[u64; COUNT], other: &[u64; COUNT], i: usize) -> u64 {
    let at = |values: &[u64; COUNT]| values.get(i).copied().unwrap_or_default();
    at(one).saturating_add(at(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::shared_data::Memory;

    #[test]
    fn it_is_the_sum_of_those_that_are_there() {
        let shared = &mut Memory::default();
        assert_eq!(sum(shared, 1, [100, 1], 1000), [100, 1]);
        assert_eq!(sum(shared, 2, [30, 3], 1100), [130, 4]);
        assert_eq!(sum(shared, 1, [50, 0], 1250), [80, 3], "what it said before counts no longer");
        assert_eq!(sum(shared, 2, [u64::MAX, 3], 1300), [u64::MAX, 3]);
    }

    #[test]
    fn what_a_replaced_vm_held_is_in_it_no_longer() {
        let shared = &mut Memory::default();
        sum(shared, 1, [832_670, 40], 1000);
        assert_eq!(sum(shared, 2, [0, 0], 1000 + GONE - 1), [832_670, 40]);
        assert_eq!(sum(shared, 2, [832_670, 40], 1000 + GONE), [832_670, 40]);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let shared = &mut Memory::default();
        shared.set(NAME, b"nonsense of another length", 0);
        assert_eq!(sum(shared, 1, [1, 2], 5), [1, 2]);
        assert_eq!(sum(shared, 2, [1, 2], 5), [2, 4]);
    }
}
