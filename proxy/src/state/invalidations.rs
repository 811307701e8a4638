//! The keys that unsafe requests have invalidated, until coordinators and the proxy's other workers know.

use crate::state::shared_data::SharedData;
use lru::LruCache;
use meshcache_protocol::{
    Hash,
    invalidation_limit::{InvalidationLimit, Schedule},
};
use std::{collections::VecDeque, num::NonZeroUsize};

/// The most keys with a limit, and the most calls that wait.
const MAX_KEYS: usize = 1024;
/// The most bytes of the targets of calls that wait. Some are as long as a head may be.
const MAX_BYTES: usize = 1 << 20;
/// The most keys that other workers can still read.
pub const MAX_SHARED: usize = 256;
/// The timeout of a call, milliseconds.
pub const CALL_TIMEOUT: u64 = 1000;
/// Stands among the hashes for all keys, where a target is in more keys than one.
const ALL: u128 = u128::MAX;

/// A target that an unsafe request has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidatedTarget {
    /// The hash of its key.
    pub hash: Hash,
    /// Its group.
    pub group: String,
    /// The proxy's namespace.
    pub namespace: Option<String>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Its authority.
    pub authority: String,
    /// Its path and query.
    pub target: String,
    /// The fields of the request that are in the key: those that may reroute.
    pub fields: Vec<(String, String)>,
    /// The target is in more keys than one.
    pub is_in_more_keys: bool,
    /// It is announced later than it changed. What was stored since then came from what the owner had before.
    pub is_late: bool,
}

impl InvalidatedTarget {
    fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
        fields.saturating_add(self.target.len()).saturating_add(self.authority.len())
    }
}

/// The changes that other workers have shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedChanges {
    /// Any key may have changed.
    All,
    /// The keys of these hashes have changed.
    Keys(Vec<Hash>),
}

/// The invalidations of one worker.
pub struct Invalidations {
    limits: LruCache<Hash, InvalidationLimit>,
    /// The calls that wait, and when each is due. In that order as far as it matters.
    waiting: VecDeque<(u64, InvalidatedTarget)>,
    /// The bytes of their targets.
    bytes: usize,
    /// The hashes that the other workers have yet to read.
    unshared: Vec<u128>,
    /// The number of shared hashes that this worker has read. `None`: it has not read any yet.
    read: Option<u64>,
}

impl Default for Invalidations {
    fn default() -> Self {
        let limits = LruCache::new(NonZeroUsize::new(MAX_KEYS).unwrap_or(NonZeroUsize::MIN));
        Self { limits, waiting: VecDeque::new(), bytes: 0, unshared: Vec::new(), read: None }
    }
}

impl Invalidations {
    /// Schedules the calls for a target: now, at the end of the key's period, or together with those that wait for
    /// that.
    pub fn schedule(&mut self, mut target: InvalidatedTarget, now: u64) {
        let bytes = self.bytes.saturating_add(target.bytes());
        let is_full = self.waiting.len() >= MAX_KEYS || bytes > MAX_BYTES;
        let limit = self.limit(target.hash);
        if is_full {
            return limit.record_change(now);
        }
        let wait = match limit.schedule(now) {
            Schedule::Now => 0,
            Schedule::In(wait) => wait,
            Schedule::Merged => return,
        };
        target.is_late = wait > 0;
        self.bytes = bytes;
        self.waiting.push_back((now.saturating_add(wait), target));
    }

    /// Takes the targets whose calls are due.
    pub fn take_due(&mut self, now: u64) -> Vec<InvalidatedTarget> {
        let (due, waiting): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = waiting;
        self.bytes = self.waiting.iter().map(|(_, target)| target.bytes()).sum();
        due.into_iter().map(|(_, target)| target).collect()
    }

    /// Returns how long ago a key was seen to change, as long as its owner may not know yet. In that time none of its
    /// responses are hot.
    pub fn since_change(&self, key: Hash, now: u64) -> Option<u64> {
        self.limits.peek(&key)?.since_change(now, CALL_TIMEOUT)
    }

    /// Notes a changed target for the other workers.
    pub fn share(&mut self, target: &InvalidatedTarget) {
        self.unshared.push(if target.is_in_more_keys { ALL } else { target.hash.0 });
    }

    /// Returns whether there is nothing to send or to share.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unshared.is_empty()
    }

    /// Exchanges changes with the other workers: writes this worker's to the shared data and returns theirs.
    pub fn exchange(&mut self, shared: &mut dyn SharedData, name: &str, now: u64) -> SharedChanges {
        let (value, number) = shared.get(name).unwrap_or_default();
        let (mut count, mut hashes) = read(&value);
        let before = self.read.replace(count).unwrap_or(count);
        let news = usize::try_from(count.saturating_sub(before)).unwrap_or(usize::MAX);
        let missed = news > hashes.len();
        let news: Vec<u128> = hashes.iter().rev().take(news).copied().collect();
        if !self.unshared.is_empty() {
            count = count.saturating_add(u64::try_from(self.unshared.len()).unwrap_or(0));
            hashes.extend(&self.unshared);
            let excess = hashes.len().saturating_sub(MAX_SHARED);
            hashes.drain(..excess);
            // If another worker was faster, this one tries again next time.
            if shared.set(name, &write(count, &hashes), number) {
                self.unshared.clear();
                self.read = Some(count);
            }
        }
        if missed || news.contains(&ALL) {
            return SharedChanges::All;
        }
        let keys: Vec<Hash> = news.into_iter().map(Hash).collect();
        keys.iter().for_each(|key| self.limit(*key).record_invalidation(now));
        SharedChanges::Keys(keys)
    }

    fn limit(&mut self, key: Hash) -> &mut InvalidationLimit {
        self.limits.get_or_insert_mut(key, InvalidationLimit::default)
    }
}

fn read(value: &[u8]) -> (u64, Vec<u128>) {
    let Some((count, rest)) = value.split_first_chunk::<8>() else { return (0, Vec::new()) };
    (u64::from_le_bytes(*count), rest.as_chunks::<16>().0.iter().map(|hash| u128::from_le_bytes(*hash)).collect())
}

fn write(count: u64, hashes: &[u128]) -> Vec<u8> {
    let mut value = count.to_le_bytes().to_vec();
    hashes.iter().for_each(|hash| value.extend_from_slice(&hash.to_le_bytes()));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_wait_are_bounded_in_bytes_however_long_their_targets_are() {
        let target = |n: usize| InvalidatedTarget {
            hash: Hash(n as u128),
            group: "g".into(),
            namespace: None,
            scheme: "http",
            authority: "h".into(),
            target: "x".repeat(50_000),
            fields: Vec::new(),
            is_in_more_keys: false,
            is_late: false,
        };
        let mut all = Invalidations::default();
        (0..MAX_KEYS).for_each(|n| all.schedule(target(n), 0));
        assert!(all.bytes <= MAX_BYTES && all.waiting.len() == MAX_BYTES / 50_001, "{}", all.waiting.len());
        assert!(all.since_change(Hash(MAX_KEYS as u128 - 1), 1).is_some(), "it is known here all the same");
        assert_eq!((all.take_due(0).len(), all.bytes), (MAX_BYTES / 50_001, 0));
    }
}
