//! Keys whose answers turned out not to be shared, for a while: so that nobody queues for them again. Something is
//! tried all the same.

use crate::bounded_lru::recent;
use lru::LruCache;
use meshcache_protocol::{
    Hash, Reason, Request,
    freshness::{HitForPass, Selecting, Vary},
    reason::AnyReason,
};
use parking_lot::Mutex;

/// How many keys are remembered. Beyond that the oldest are forgotten, and the next one who asks waits once.
const MOST: usize = 65_536;
/// Between two tries, milliseconds, once some have failed. The first comes at once: the answer may have been one
/// request's own fault.
const LONGEST: u64 = 1000;
/// The second try comes after so long; each further one after twice as long as the one before.
const SECOND: u64 = 50;
/// So many requests pass between two tries then: a key that is asked for seldom is not loaded twice each time.
const BETWEEN: u32 = 3;
/// The longest that a proxy need not ask, milliseconds: so that those that are asked for often are seen to be.
const UNASKED: u64 = 250;

/// The keys that are remembered as `pass`.
pub(crate) struct Passes(Mutex<LruCache<Hash, HitForPass<Pass>>>);

/// What is remembered of a request that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    reason: AnyReason,
    /// When the next request may be loaded as usual.
    next: u64,
    gap: u64,
    /// How many have passed since the last one that was.
    passed: u32,
}

/// How a request passes that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passing {
    /// The log word and metric label.
    pub(crate) reason: AnyReason,
    /// For how long whoever asks need not ask again, milliseconds: then something may be tried.
    pub(crate) remember: u64,
    /// For requests with the same values in these fields; empty: for all.
    pub(crate) vary: String,
    /// This one is loaded beside it, to see whether its answer may be shared by now.
    pub(crate) tries: bool,
}

impl Default for Passes {
    fn default() -> Self {
        Self(Mutex::new(recent(MOST)))
    }
}

impl Passes {
    /// Remembers for so many milliseconds that the answer to a request was not shared; it varied by these fields. For
    /// how long whoever asks need not ask again. A hash that two keys share only lets the other pass, too.
    pub(crate) fn remember(
        &self,
        key: Hash,
        vary: Vary,
        request: &Request<'_>,
        reason: impl Into<AnyReason>,
        now: u64,
        ms: u64,
    ) -> u64 {
        if ms == 0 {
            return 0;
        }
        let (reason, mut all) = (reason.into(), self.0.lock());
        let passes = all.get_or_insert_mut(key, HitForPass::default);
        // No request makes an answer large by what it says.
        let first = if reason == Reason::TooLarge { LONGEST } else { 0 };
        let gap = passes.get(request, now).map_or(first, |(before, _)| (before.gap * 2).clamp(SECOND, LONGEST));
        passes.remember(
            vary,
            request,
            Pass { reason, next: now.saturating_add(gap), gap, passed: 0 },
            now.saturating_add(ms),
        );
        gap.min(UNASKED)
    }

    /// How a request passes, if it is remembered. `may_try`: it is of use to load it beside that.
    pub(crate) fn get(&self, key: Hash, request: &Request<'_>, may_try: bool, now: u64) -> Option<Passing> {
        let mut all = self.0.lock();
        let passes = all.peek_mut(&key)?;
        let Some(pass) = passes.get_mut(request, now) else {
            if passes.is_over(now) {
                all.pop(&key);
            }
            return None;
        };
        let tries = may_try && pass.next <= now && (pass.gap < LONGEST || pass.passed >= BETWEEN);
        // While one is under way, the others pass.
        (pass.next, pass.passed) =
            if tries { (now.saturating_add(LONGEST), 0) } else { (pass.next, pass.passed.saturating_add(1)) };
        // A try takes its time, too.
        let left = if tries || pass.next <= now { pass.gap } else { pass.next - now };
        let remember = left.min(UNASKED);
        let reason = pass.reason;
        Some(Passing { reason, remember, vary: passes.vary().names(), tries })
    }

    /// Forgets what is remembered for requests with these selecting fields: something was stored for them.
    pub(crate) fn forget(&self, key: Hash, selecting: &Selecting) {
        let mut all = self.0.lock();
        if let Some(passes) = all.peek_mut(&key) {
            passes.forget(selecting);
            if passes.is_empty() {
                all.pop(&key);
            }
        }
    }

    /// Forgets all of a key.
    pub(crate) fn forget_all(&self, key: Hash) {
        self.0.lock().pop(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Hash = Hash(7);

    fn plain() -> Request<'static> {
        Request::read(b"GET", b"http", b"h", b"/", &[]).unwrap()
    }

    #[test]
    fn a_key_is_remembered_for_a_while_or_until_something_is_stored() {
        let passes = Passes::default();
        passes.remember(KEY, Vary::Nothing, &plain(), Reason::Private, 1000, 50);
        assert_eq!(passes.get(KEY, &plain(), false, 1020).map(|passing| passing.reason), Some(Reason::Private.into()));
        assert_eq!((passes.get(KEY, &plain(), false, 1050), passes.0.lock().len()), (None, 0));
        passes.remember(KEY, Vary::Nothing, &plain(), Reason::Private, 1000, 50);
        passes.forget(KEY, &Selecting::default());
        assert_eq!(passes.get(KEY, &plain(), false, 1000), None);
        assert_eq!(passes.remember(KEY, Vary::Nothing, &plain(), Reason::Overload, 1000, 0), 0);
        assert_eq!(passes.get(KEY, &plain(), false, 1000), None);
    }

    #[test]
    fn one_is_tried_at_once_and_then_ever_more_seldom_but_once_a_second_while_others_pass() {
        let passes = Passes::default();
        let (mut tried, mut now) = (Vec::new(), 0);
        assert_eq!(passes.remember(KEY, Vary::Nothing, &plain(), Reason::Private, now, 10_000), 0);
        while tried.len() < 7 {
            if passes.get(KEY, &plain(), true, now).unwrap().tries {
                tried.push(now);
                assert!(!passes.get(KEY, &plain(), true, now).unwrap().tries, "one at a time");
                passes.remember(KEY, Vary::Nothing, &plain(), Reason::Private, now, 10_000);
            }
            now += 1;
        }
        assert_eq!(tried, [0, 50, 150, 350, 750, 1550, 2550]);
    }

    #[test]
    fn a_key_that_is_asked_for_seldom_is_not_tried_each_time() {
        let passes = Passes::default();
        passes.remember(KEY, Vary::Nothing, &plain(), Reason::Private, 0, 60_000);
        let mut tried = Vec::new();
        for second in 0..20 {
            if passes.get(KEY, &plain(), true, second * 1000).unwrap().tries {
                tried.push(second);
                passes.remember(KEY, Vary::Nothing, &plain(), Reason::Private, second * 1000, 60_000);
            }
        }
        assert_eq!(tried, [0, 1, 2, 3, 4, 5, 9, 13, 17]);
    }
}
