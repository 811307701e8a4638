//! Counters with labels that are not known in advance.

use prometheus::{IntCounter, IntCounterVec};
use std::sync::OnceLock;

/// Counters by labels that are known only when they are first used. Reading takes no lock: a slot is set once and
/// stays.
pub(super) struct LabelledCounters<const N: usize> {
    group: String,
    family: IntCounterVec,
    slots: [OnceLock<([&'static str; N], IntCounter)>; 48],
}

impl<const N: usize> LabelledCounters<N> {
    pub(super) fn new(group: &str, family: &IntCounterVec) -> Self {
        Self { group: group.to_owned(), family: family.clone(), slots: [const { OnceLock::new() }; 48] }
    }

    /// Creates a counter before it counts.
    pub(super) fn create(&self, words: [&'static str; N]) {
        self.counter(words);
    }

    pub(super) fn inc(&self, words: [&'static str; N]) {
        for slot in &self.slots {
            let (own, counter) = slot.get_or_init(|| (words, self.counter(words)));
            if *own == words {
                return counter.inc();
            }
        }
        self.counter(words).inc();
    }

    fn counter(&self, words: [&'static str; N]) -> IntCounter {
        let mut labels = vec![self.group.as_str()];
        labels.extend(words);
        self.family.with_label_values(&labels)
    }
}
