//! An origin that does not answer, remembered for a moment that grows: meanwhile what is stale is given without waiting
//! for it, and one load in all tries. What has no stale answer is loaded as ever.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// How long an origin is left alone after its first failure, milliseconds; doubled with each try that fails, up to
/// [`LONGEST`].
const FIRST: u64 = 500;
/// The longest that it is left alone, milliseconds, if it does not ask for more itself.
const LONGEST: u64 = 10_000;
/// The longest that it may ask for (Retry-After), milliseconds.
const LONGEST_ASKED: u64 = 60_000;
/// So many different keys in a row have to fail before all of the origin counts as failing.
const KEYS: usize = 3;
/// Keys of which failures are remembered.
const MOST: usize = 4096;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// No connection could be made: it holds for every key.
    Origin,
    /// A connection, but no good answer: it may be this key's fault. How long the origin asks to be left alone,
    /// milliseconds.
    Key { retry_after: u64 },
}

/// The failures of one group's origin.
pub(crate) struct Outages(Mutex<State>);

struct State {
    all: Outage,
    /// Keys that have failed since the last success, the first few.
    failed: Vec<Hash>,
    keys: LruCache<Hash, Outage>,
}

/// A failure that lasts. At the beginning there is none.
#[derive(Clone, Copy, Default)]
struct Outage {
    span: u64,
    until: u64,
    /// Whether one has tried since the last failure.
    tried: bool,
}

impl Outage {
    /// Whether the origin is left alone. Not for the one that is to try.
    fn holds(&mut self, now: u64) -> bool {
        if self.span == 0 {
            return false;
        }
        if self.until <= now {
            (self.until, self.tried) = (now.saturating_add(self.span), true);
            return false;
        }
        true
    }

    fn fails(&mut self, asked: u64, now: u64, random: u64) {
        // Of many loads under way at once each fails: that is one failure.
        if self.span == 0 || self.tried || self.until <= now {
            self.span = if self.span == 0 { FIRST } else { self.span.saturating_mul(2).min(LONGEST) };
            // From four to six fifths of it: coordinators do not all try at the same moment.
            let jittered = self.span / 5 * 4 + random % (self.span / 5 * 2 + 1);
            (self.until, self.tried) = (now.saturating_add(jittered), false);
        }
        self.until = self.until.max(now.saturating_add(asked.min(LONGEST_ASKED)));
    }
}

impl Default for Outages {
    fn default() -> Self {
        Self(Mutex::new(State { all: Outage::default(), failed: Vec::new(), keys: bounded_lru(MOST) }))
    }
}

impl Outages {
    /// Whether the origin is left alone for this key now. False for the one load that is to try.
    pub(crate) fn holds(&self, key: Hash, now: u64) -> bool {
        let mut state = self.0.lock();
        state.all.holds(now) || state.keys.peek_mut(&key).is_some_and(|outage| outage.holds(now))
    }

    /// A load has failed.
    pub(crate) fn fails(&self, key: Hash, failing: Failing, now: u64, random: u64) {
        let mut state = self.0.lock();
        match failing {
            Failing::Origin => state.all.fails(0, now, random),
            Failing::Key { retry_after } => {
                state.keys.get_or_insert_mut(key, Outage::default).fails(retry_after, now, random);
                if state.failed.len() < KEYS && !state.failed.contains(&key) {
                    state.failed.push(key);
                }
                if state.failed.len() >= KEYS {
                    state.all.fails(retry_after, now, random);
                }
            }
        }
    }

    /// A load has been answered: for this key and for the origin all is well.
    pub(crate) fn succeeds(&self, key: Hash) {
        let mut state = self.0.lock();
        state.all = Outage::default();
        state.failed.clear();
        state.keys.pop(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Hash = Hash(1);
    const B: Hash = Hash(2);

    fn silent() -> Failing {
        Failing::Key { retry_after: 0 }
    }

    #[test]
    fn an_origin_that_cannot_be_reached_is_left_alone_for_every_key_and_tried_by_one() {
        let outages = Outages::default();
        assert!(!outages.holds(A, 0));
        outages.fails(A, Failing::Origin, 0, 100);
        outages.fails(B, Failing::Origin, 10, 100);
        assert!(outages.holds(A, 499) && outages.holds(B, 499));
        assert!(!outages.holds(B, 500) && outages.holds(A, 500), "one tries");
        outages.succeeds(B);
        assert!(!outages.holds(A, 501), "one success ends it");
    }

    #[test]
    fn the_moment_grows_and_is_jittered() {
        let (outages, mut now, mut spans) = (Outages::default(), 0, Vec::new());
        for random in [0, 200, 0, 0, 0, 0, 0] {
            outages.fails(A, silent(), now, random);
            let begun = now;
            while outages.holds(A, now) {
                now += 1;
            }
            spans.push(now - begun);
        }
        assert_eq!(spans, [400, 1000, 1600, 3200, 6400, 8000, 8000]);
    }

    #[test]
    fn a_key_that_fails_is_its_own_fault_until_three_in_a_row_do() {
        let outages = Outages::default();
        for round in 0..10 {
            outages.fails(A, silent(), round * 100, 100);
            assert!(outages.holds(A, round * 100) && !outages.holds(B, round * 100));
            outages.succeeds(B);
        }
        for key in [A, Hash(3), Hash(4)] {
            assert!(!outages.holds(B, 2000));
            outages.fails(key, silent(), 2000, 100);
        }
        assert!(outages.holds(B, 2001));
    }

    #[test]
    fn what_the_origin_asks_for_counts_up_to_a_minute() {
        let outages = Outages::default();
        outages.fails(A, Failing::Key { retry_after: 5000 }, 0, 100);
        assert!(outages.holds(A, 4999) && !outages.holds(A, 5000));
        outages.fails(B, Failing::Key { retry_after: u64::MAX }, 0, 100);
        assert!(outages.holds(B, 59_999) && !outages.holds(B, 60_000));
    }
}
