//! The values of Envoy's gauges: the sum over the workers that are there.
//!
//! In Envoy a gauge outlives the VM that counted it, and counting below zero makes a huge number. So each worker
//! publishes what it holds, and sets the gauges to the sum. What a replaced VM held leaves the sum when its entry is
//! too old.

use crate::state::shared_data::SharedData;

/// The number of gauges.
pub const COUNT: usize = 2;
/// The name in the shared data. The workers of all coordinators' clusters set the same gauges.
const NAME: &str = "meshcache.held";
/// The age at which a worker's entry no longer counts, milliseconds.
const EXPIRY: u64 = 2000;
/// The attempts while other workers write at the same time. A worker that gives up publishes at its next tick.
const ATTEMPTS: usize = 8;

/// The values of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WorkerGauges {
    worker: u64,
    /// When it was published.
    at: u64,
    values: [u64; COUNT],
}

/// The bytes of one [`WorkerGauges`].
const WIDTH: usize = 8 * (2 + COUNT);

impl WorkerGauges {
    fn write(&self) -> impl Iterator<Item = u8> {
        [self.worker, self.at].into_iter().chain(self.values).flat_map(u64::to_le_bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map_while(|number| Some(u64::from_le_bytes(number.try_into().ok()?)));
        Some(Self { worker: numbers.next()?, at: numbers.next()?, values: [numbers.next()?, numbers.next()?] })
    }
}

/// Publishes what a worker holds. Returns the sum over all workers.
pub fn publish(shared: &mut dyn SharedData, worker: u64, values: [u64; COUNT], now: u64) -> [u64; COUNT] {
    let own = WorkerGauges { worker, at: now, values };
    let mut all = vec![own];
    for _ in 0..ATTEMPTS {
        let (bytes, number) = shared.get(NAME).unwrap_or_default();
        let others = bytes.chunks_exact(WIDTH).filter_map(WorkerGauges::read);
        all = others
            .filter(|other| other.worker != worker && other.at.saturating_add(EXPIRY) > now)
            .chain([own])
            .collect();
        if shared.set(NAME, &all.iter().flat_map(WorkerGauges::write).collect::<Vec<u8>>(), number) {
            break;
        }
    }
    all.iter().fold([0; COUNT], |sum, one| std::array::from_fn(|i| plus(&sum, &one.values, i)))
}

fn plus(one: &[u64; COUNT], other: &[u64; COUNT], i: usize) -> u64 {
    let at = |values: &[u64; COUNT]| values.get(i).copied().unwrap_or_default();
    at(one).saturating_add(at(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::shared_data::InProcessData;

    #[test]
    fn the_sum_is_over_the_workers_that_are_there() {
        let shared = &mut InProcessData::default();
        assert_eq!(publish(shared, 1, [100, 1], 1000), [100, 1]);
        assert_eq!(publish(shared, 2, [30, 3], 1100), [130, 4]);
        assert_eq!(publish(shared, 1, [50, 0], 1250), [80, 3], "its entry from before is replaced");
        assert_eq!(publish(shared, 2, [u64::MAX, 3], 1300), [u64::MAX, 3]);
    }

    #[test]
    fn what_a_replaced_vm_held_leaves_the_sum() {
        let shared = &mut InProcessData::default();
        publish(shared, 1, [832_670, 40], 1000);
        assert_eq!(publish(shared, 2, [0, 0], 1000 + EXPIRY - 1), [832_670, 40]);
        assert_eq!(publish(shared, 2, [832_670, 40], 1000 + EXPIRY), [832_670, 40]);
    }

    #[test]
    fn bytes_that_cannot_be_read_are_ignored() {
        let shared = &mut InProcessData::default();
        shared.set(NAME, b"nonsense of another length", 0);
        assert_eq!(publish(shared, 1, [1, 2], 5), [1, 2]);
        assert_eq!(publish(shared, 2, [1, 2], 5), [2, 4]);
    }
}
