//! The lookups that accompany requests in groups that only observe: a sample of them.

use crate::state::lookup::PeerLookup;
use std::collections::BTreeMap;

/// One request of this many is sampled.
const RATE: u32 = 100;
/// The least time between two samples of one group in this worker, milliseconds.
const PAUSE: u64 = 1000;
/// The most samples in flight.
const MAX_SAMPLES: usize = 16;
/// The most groups that are counted.
const MAX_GROUPS: usize = 4096;

/// The samples of a worker.
#[derive(Default)]
pub struct Samples {
    /// By group: the requests since its last sample, and when the next one may be taken.
    groups: BTreeMap<String, (u32, u64)>,
    /// To be sent.
    due: Vec<PeerLookup>,
    /// Sent, by the host's token.
    calls: BTreeMap<u32, PeerLookup>,
}

impl Samples {
    /// Counts a request. Returns whether it is to be sampled.
    pub fn count(&mut self, group: &str, now: u64) -> bool {
        if !self.groups.contains_key(group) {
            if self.groups.len() >= MAX_GROUPS {
                return false;
            }
            self.groups.insert(group.to_owned(), (0, now));
        }
        let has_room = self.due.len().saturating_add(self.calls.len()) < MAX_SAMPLES;
        let Some((count, next)) = self.groups.get_mut(group) else { return false };
        *count = count.saturating_add(1);
        let is_sampled = has_room && *count >= RATE && now >= *next;
        if is_sampled {
            (*count, *next) = (0, now.saturating_add(PAUSE));
        }
        is_sampled
    }

    /// Adds a sample to be sent.
    pub fn push(&mut self, lookup: PeerLookup) {
        self.due.push(lookup);
    }

    /// Returns whether nothing is to be sent.
    pub fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    /// Takes a sample to be sent.
    pub fn pop(&mut self) -> Option<PeerLookup> {
        self.due.pop()
    }

    /// Records that a sample was sent under this token.
    pub fn record_call(&mut self, token: u32, lookup: PeerLookup) {
        self.calls.insert(token, lookup);
    }

    /// Takes the sample that came back.
    pub fn take_call(&mut self, token: u32) -> Option<PeerLookup> {
        self.calls.remove(&token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_and_one_a_second_of_each_group() {
        let mut samples = Samples::default();
        let taken = |samples: &mut Samples, group, requests: u64, each: u64| {
            (1..=requests).filter(|n| samples.count(group, n * each)).count()
        };
        assert_eq!(taken(&mut samples, "seldom", 99, 1000), 0);
        assert_eq!(taken(&mut samples, "slow", 1000, 1000), 10);
        assert_eq!(taken(&mut samples, "fast", 4000, 1), 4);
    }
}
