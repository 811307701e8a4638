//! Backoff from an origin that does not answer. Meanwhile a stale response is served at once, and one load at a time
//! tries the origin. Without a stale response a load goes to the origin at once.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// The backoff after a first failure, milliseconds. It doubles with each failed try, up to [`MAX_MS`].
const FIRST_MS: u64 = 500;
/// The longest backoff, milliseconds, unless the origin asks for more itself.
const MAX_MS: u64 = 10_000;
/// The longest Retry-After of an origin that counts, milliseconds.
const MAX_RETRY_AFTER_MS: u64 = 60_000;
/// Different keys that have to fail in a row before the whole origin counts as failing.
const FAILED_KEYS: usize = 3;
/// Keys whose failures are remembered.
const MAX_KEYS: usize = 4096;

/// The extent of a failure: the whole origin, or one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureScope {
    /// The whole origin: no connection could be made.
    Origin,
    /// A key: there was a connection, but no good response. `retry_after`: the backoff that the origin asks for,
    /// milliseconds.
    Key { retry_after: u64 },
}

/// The failures of one group's origin.
pub(crate) struct OriginBackoff(Mutex<Failures>);

struct Failures {
    all: Backoff,
    /// Keys that have failed since the last success, at most [`FAILED_KEYS`].
    failed: Vec<Hash>,
    keys: LruCache<Hash, Backoff>,
}

/// The state of one key, of the whole origin, or of one of its addresses. At first there is no failure.
#[derive(Clone, Copy, Default)]
pub(super) struct Backoff {
    span: u64,
    until: u64,
    /// Whether a load has tried since the last failure.
    tried: bool,
}

impl Backoff {
    /// Returns when it ends; 0 where it has.
    pub(super) fn rests_until(&self, now: u64) -> u64 {
        if self.span > 0 && self.until > now { self.until } else { 0 }
    }

    /// Returns whether a load may try the origin now, and takes that try.
    pub(super) fn try_load(&mut self, now: u64) -> bool {
        if self.span == 0 {
            return true;
        }
        if self.until <= now {
            (self.until, self.tried) = (now.saturating_add(self.span), true);
            return true;
        }
        false
    }

    pub(super) fn record_failure(&mut self, retry_after: u64, now: u64, random: u64) {
        // Many loads in progress fail together: that is one failure.
        if self.span == 0 || self.tried || self.until <= now {
            self.span = if self.span == 0 { FIRST_MS } else { self.span.saturating_mul(2).min(MAX_MS) };
            // From four to six fifths of it: coordinators do not all try at the same moment.
            let jittered = self.span / 5 * 4 + random % (self.span / 5 * 2 + 1);
            (self.until, self.tried) = (now.saturating_add(jittered), false);
        }
        self.until = self.until.max(now.saturating_add(retry_after.min(MAX_RETRY_AFTER_MS)));
    }
}

impl Default for OriginBackoff {
    fn default() -> Self {
        Self(Mutex::new(Failures { all: Backoff::default(), failed: Vec::new(), keys: bounded_lru(MAX_KEYS) }))
    }
}

impl OriginBackoff {
    /// Returns whether a load of this key may try the origin now. During a backoff one load may at its end, and this
    /// takes its turn.
    pub(crate) fn try_load(&self, key: Hash, now: u64) -> bool {
        let mut state = self.0.lock();
        state.all.try_load(now) && state.keys.peek_mut(&key).is_none_or(|backoff| backoff.try_load(now))
    }

    /// Records that a load has failed.
    pub(crate) fn record_failure(&self, key: Hash, scope: FailureScope, now: u64, random: u64) {
        let mut state = self.0.lock();
        match scope {
            FailureScope::Origin => state.all.record_failure(0, now, random),
            FailureScope::Key { retry_after } => {
                state.keys.get_or_insert_mut(key, Backoff::default).record_failure(retry_after, now, random);
                if state.failed.len() < FAILED_KEYS && !state.failed.contains(&key) {
                    state.failed.push(key);
                }
                if state.failed.len() >= FAILED_KEYS {
                    state.all.record_failure(retry_after, now, random);
                }
            }
        }
    }

    /// Records that a load has been answered: it ends the backoff for its key and for the origin.
    pub(crate) fn record_success(&self, key: Hash) {
        let mut state = self.0.lock();
        state.all = Backoff::default();
        state.failed.clear();
        state.keys.pop(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Hash = Hash(1);
    const B: Hash = Hash(2);

    fn silent() -> FailureScope {
        FailureScope::Key { retry_after: 0 }
    }

    #[test]
    fn an_unreachable_origin_is_tried_by_one_load_of_any_key() {
        let backoff = OriginBackoff::default();
        assert!(backoff.try_load(A, 0));
        backoff.record_failure(A, FailureScope::Origin, 0, 100);
        backoff.record_failure(B, FailureScope::Origin, 10, 100);
        assert!(!backoff.try_load(A, 499) && !backoff.try_load(B, 499));
        assert!(backoff.try_load(B, 500) && !backoff.try_load(A, 500), "one tries");
        backoff.record_success(B);
        assert!(backoff.try_load(A, 501), "one success ends it");
    }

    #[test]
    fn the_backoff_grows_and_is_jittered() {
        let (backoff, mut now, mut spans) = (OriginBackoff::default(), 0, Vec::new());
        for random in [0, 200, 0, 0, 0, 0, 0] {
            backoff.record_failure(A, silent(), now, random);
            let begun = now;
            while !backoff.try_load(A, now) {
                now += 1;
            }
            spans.push(now - begun);
        }
        assert_eq!(spans, [400, 1000, 1600, 3200, 6400, 8000, 8000]);
    }

    #[test]
    fn a_key_that_fails_is_its_own_fault_until_three_in_a_row_do() {
        let backoff = OriginBackoff::default();
        for round in 0..10 {
            backoff.record_failure(A, silent(), round * 100, 100);
            assert!(!backoff.try_load(A, round * 100) && backoff.try_load(B, round * 100));
            backoff.record_success(B);
        }
        for key in [A, Hash(3), Hash(4)] {
            assert!(backoff.try_load(B, 2000));
            backoff.record_failure(key, silent(), 2000, 100);
        }
        assert!(!backoff.try_load(B, 2001));
    }

    #[test]
    fn retry_after_counts_up_to_a_minute() {
        let backoff = OriginBackoff::default();
        backoff.record_failure(A, FailureScope::Key { retry_after: 5000 }, 0, 100);
        assert!(!backoff.try_load(A, 4999) && backoff.try_load(A, 5000));
        backoff.record_failure(B, FailureScope::Key { retry_after: u64::MAX }, 0, 100);
        assert!(!backoff.try_load(B, 59_999) && backoff.try_load(B, 60_000));
    }
}
