//! Hit-for-pass: keys whose responses turned out not to be shared pass for a while instead of waiting in a flight. From
//! time to time a request probes whether that has changed.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol::{
    Hash, Reason, Request,
    freshness::{HitForPass, Selecting, Vary},
    reason::AnyReason,
};
use parking_lot::Mutex;

/// The most keys that are remembered. Requests for a forgotten key wait in a flight once.
const MOST_KEYS: usize = 65_536;
/// The longest time between two probes, milliseconds. The first probe comes at once: the response may have been one
/// request's own fault.
const LONGEST_GAP: u64 = 1000;
/// The time from the first probe to the second, milliseconds. It doubles with each further probe.
const FIRST_GAP: u64 = 50;
/// The least passes between two probes at the longest gap: a key with few requests is not loaded twice each time.
const LEAST_PASSES: u32 = 3;
/// The longest time for which a proxy passes without a question, milliseconds: busy keys must show here.
const LONGEST_PROXY_PASS: u64 = 250;

/// The keys that pass.
pub(crate) struct HitForPassTable(Mutex<LruCache<Hash, HitForPass<PassRecord>>>);

/// Why a key passes, and when it is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PassRecord {
    reason: AnyReason,
    /// When the next request may probe.
    next: u64,
    gap: u64,
    /// The passes since the last probe.
    passed: u32,
    /// The length of a response that flights share with those who take so much as it streams.
    streamed: Option<u64>,
}

/// How a request for a remembered key passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RememberedPass {
    /// The log word and metric label.
    pub(crate) reason: AnyReason,
    /// For how long a proxy passes without a question, milliseconds: a probe may come then.
    pub(crate) remember: u64,
    /// It holds for requests with the same values in these fields; empty: for all.
    pub(crate) vary: String,
    /// A load beside this pass probes whether the response may be shared by now.
    pub(crate) probes: bool,
}

impl Default for HitForPassTable {
    fn default() -> Self {
        Self(Mutex::new(bounded_lru(MOST_KEYS)))
    }
}

impl HitForPassTable {
    /// Remembers for `ms` milliseconds that the response to a request, which varied by these fields, may not be shared.
    /// Returns for how long a proxy passes without a question. If two keys share a hash, the other passes, too.
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
        // A large body is no single request's fault: no probe at once.
        let first = if reason == Reason::TooLarge { LONGEST_GAP } else { 0 };
        let gap = passes.get(request, now).map_or(first, |(before, _)| (before.gap * 2).clamp(FIRST_GAP, LONGEST_GAP));
        passes.remember(
            vary,
            request,
            PassRecord { reason, next: now.saturating_add(gap), gap, passed: 0, streamed: None },
            now.saturating_add(ms),
        );
        gap.min(LONGEST_PROXY_PASS)
    }

    /// Notes that flights share what is remembered for a request with those who take a body of this length as it
    /// streams.
    pub(crate) fn note_streamed(&self, key: Hash, request: &Request<'_>, length: u64, now: u64) {
        if let Some(pass) = self.0.lock().peek_mut(&key).and_then(|passes| passes.get_mut(request, now)) {
            pass.streamed = Some(length);
        }
    }

    /// Records a pass of a remembered key, and returns how it passes. `streams`: the longest body that the requester
    /// takes as it streams. `may_probe`: a load beside it is of use.
    pub(crate) fn take_pass(
        &self,
        key: Hash,
        request: &Request<'_>,
        streams: u64,
        may_probe: bool,
        now: u64,
    ) -> Option<RememberedPass> {
        let mut all = self.0.lock();
        let passes = all.peek_mut(&key)?;
        let Some(pass) = passes.get_mut(request, now) else {
            if passes.is_over(now) {
                all.pop(&key);
            }
            return None;
        };
        if pass.streamed.is_some_and(|length| length <= streams) {
            return None;
        }
        let probes = may_probe && pass.next <= now && (pass.gap < LONGEST_GAP || pass.passed >= LEAST_PASSES);
        // While a probe is in progress, the other requests pass.
        (pass.next, pass.passed) =
            if probes { (now.saturating_add(LONGEST_GAP), 0) } else { (pass.next, pass.passed.saturating_add(1)) };
        // A probe takes its time, too.
        let left = if probes || pass.next <= now { pass.gap } else { pass.next - now };
        let remember = left.min(LONGEST_PROXY_PASS);
        let reason = pass.reason;
        Some(RememberedPass { reason, remember, vary: passes.vary().names(), probes })
    }

    /// Returns why such a request passes, and for how many milliseconds more, without counting it.
    pub(crate) fn remembered(&self, key: Hash, request: &Request<'_>, now: u64) -> Option<(AnyReason, u64)> {
        let all = self.0.lock();
        let (pass, until) = all.peek(&key)?.get(request, now)?;
        Some((pass.reason, until.saturating_sub(now)))
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
        let table = HitForPassTable::default();
        table.remember(KEY, Vary::Nothing, &plain(), Reason::Private, 1000, 50);
        assert_eq!(
            table.take_pass(KEY, &plain(), 0, false, 1020).map(|remembered| remembered.reason),
            Some(Reason::Private.into())
        );
        assert_eq!((table.take_pass(KEY, &plain(), 0, false, 1050), table.0.lock().len()), (None, 0));
        table.remember(KEY, Vary::Nothing, &plain(), Reason::Private, 1000, 50);
        table.forget(KEY, &Selecting::default());
        assert_eq!(table.take_pass(KEY, &plain(), 0, false, 1000), None);
        assert_eq!(table.remember(KEY, Vary::Nothing, &plain(), Reason::Overload, 1000, 0), 0);
        assert_eq!(table.take_pass(KEY, &plain(), 0, false, 1000), None);
    }

    #[test]
    fn what_flights_share_passes_only_for_those_who_do_not_take_it_as_it_streams() {
        let table = HitForPassTable::default();
        table.remember(KEY, Vary::Nothing, &plain(), Reason::TooLarge, 1000, 50);
        table.note_streamed(KEY, &plain(), 100, 1000);
        assert_eq!(table.take_pass(KEY, &plain(), 100, false, 1000), None);
        let passes = table.take_pass(KEY, &plain(), 99, false, 1000).map(|remembered| remembered.reason);
        assert_eq!(passes, Some(Reason::TooLarge.into()));
    }

    #[test]
    fn a_probe_comes_at_once_and_then_ever_more_seldom_but_once_a_second_while_others_pass() {
        let table = HitForPassTable::default();
        let (mut probed, mut now) = (Vec::new(), 0);
        assert_eq!(table.remember(KEY, Vary::Nothing, &plain(), Reason::Private, now, 10_000), 0);
        while probed.len() < 7 {
            if table.take_pass(KEY, &plain(), 0, true, now).unwrap().probes {
                probed.push(now);
                assert!(!table.take_pass(KEY, &plain(), 0, true, now).unwrap().probes, "one at a time");
                table.remember(KEY, Vary::Nothing, &plain(), Reason::Private, now, 10_000);
            }
            now += 1;
        }
        assert_eq!(probed, [0, 50, 150, 350, 750, 1550, 2550]);
    }

    #[test]
    fn a_key_with_few_requests_is_not_probed_each_time() {
        let table = HitForPassTable::default();
        table.remember(KEY, Vary::Nothing, &plain(), Reason::Private, 0, 60_000);
        let mut probed = Vec::new();
        for second in 0..20 {
            if table.take_pass(KEY, &plain(), 0, true, second * 1000).unwrap().probes {
                probed.push(second);
                table.remember(KEY, Vary::Nothing, &plain(), Reason::Private, second * 1000, 60_000);
            }
        }
        assert_eq!(probed, [0, 1, 2, 3, 4, 5, 9, 13, 17]);
    }
}
