//! The result of a lookup on its way to the requests that waited for it.
//!
//! The host takes it in batches: Envoy carries out what a callback decided only after it, one inside the other, and its
//! stack is bounded.

use crate::{
    http::{head::RequestHead, peer_response::PeerResponse},
    request::{
        fill::FillCall,
        pass::{Pass, count_pass},
        reply::Reply,
        stale_fallback::StaleFallback,
        step::{Callout, Step},
    },
    state::{
        counters::{Event, Outcome, Reason},
        lookup::PeerLookup,
        pending::{Joinable, Joiner, Waiter},
        worker::Worker,
    },
};
use meshcache_protocol::{
    cache_status::{cache_status, detail, is_forwarded},
    freshness::Selecting,
    wire::{self, Verdict},
};
use std::borrow::Cow;

/// A lookup that is over.
pub struct FanOut {
    lookup: PeerLookup,
    waiting: std::vec::IntoIter<(u32, Waiter)>,
    result: LookupResult,
    /// For the one that fills.
    fill: Option<Box<FillCall>>,
    /// Whether a request that joined has had the response.
    is_shared: bool,
    installation: String,
}

enum LookupResult {
    Pass {
        reason: Reason,
        verdict: Verdict,
    },
    Response(Box<Shareable>),
    /// Each of them looks up for itself.
    LeftBehind,
}

/// A response, and the requests that get it.
struct Shareable {
    response: PeerResponse,
    outcome: Outcome,
    /// The detail in Cache-Status: who had it.
    detail: &'static str,
    /// Selects among the requests that joined. `None`: none of them.
    selecting: Option<Selecting>,
    /// Requests that arrived later may not have it without validation: its load had begun.
    latest: u64,
    /// It is a failure. Another of the requests that wait has to load once more before they get it.
    is_first_failure: bool,
    /// When the last of them arrived.
    last_arrival: u64,
    /// The verdict for those that joined.
    joined: Verdict,
    /// The header maps for the leader and, where there are any, for those that joined.
    maps: [Vec<u8>; 2],
}

impl FanOut {
    /// All requests pass. `verdict`: the owner's, if it gave one.
    pub fn of_pass(
        lookup: PeerLookup,
        waiting: Vec<(u32, Waiter)>,
        reason: Reason,
        verdict: Option<Verdict>,
        installation: String,
    ) -> Self {
        let verdict = verdict
            .filter(|verdict| !verdict.reason.is_empty())
            .unwrap_or_else(|| Verdict::new(wire::Outcome::Pass).because(reason));
        let result = LookupResult::Pass { reason, verdict };
        Self { lookup, waiting: waiting.into_iter(), result, fill: None, is_shared: false, installation }
    }

    /// One request passes and fills.
    pub fn of_fill(lookup: PeerLookup, one: (u32, Waiter), call: FillCall, installation: String) -> Self {
        let verdict = Verdict::new(wire::Outcome::Pass).because(Reason::Fill);
        let result = LookupResult::Pass { reason: Reason::Fill, verdict };
        Self {
            lookup,
            waiting: vec![one].into_iter(),
            result,
            fill: Some(Box::new(call)),
            is_shared: false,
            installation,
        }
    }

    /// The leader gets a response, and so do the requests that joined and are selected.
    pub fn of_response(
        lookup: PeerLookup,
        waiting: Vec<(u32, Waiter)>,
        response: PeerResponse,
        selecting: Option<Selecting>,
        installation: String,
        now: u64,
    ) -> Self {
        let (outcome, detail) = outcome(&response.verdict);
        let joined = Verdict { collapsed: response.verdict.collapsed || detail.is_empty(), ..response.verdict.clone() };
        let map = |verdict: &Verdict| response.stamped(&cache_status(&installation, verdict, detail, None));
        let maps = [
            map(&response.verdict),
            if waiting.iter().any(|(_, waiter)| waiter.map.is_some()) { map(&joined) } else { Vec::new() },
        ];
        let latest = latest_arrival(&lookup, &response.verdict, now);
        let is_first_failure =
            needs_validation(&response.verdict) && response.status >= 400 && response.verdict.load.is_none();
        let last_arrival = waiting.iter().map(|(_, waiter)| waiter.arrived).max().unwrap_or(0);
        let result = LookupResult::Response(Box::new(Shareable {
            response,
            outcome,
            detail,
            selecting,
            latest,
            is_first_failure,
            last_arrival,
            joined,
            maps,
        }));
        Self { lookup, waiting: waiting.into_iter(), result, fill: None, is_shared: false, installation }
    }

    /// The requests that wait for the rest of a long response do so no longer: each looks up for itself. The coordinator
    /// loads once for all.
    pub fn of_left_behind(lookup: PeerLookup, waiting: Vec<(u32, Waiter)>, installation: String) -> Self {
        Self {
            lookup,
            waiting: waiting.into_iter(),
            result: LookupResult::LeftBehind,
            fill: None,
            is_shared: false,
            installation,
        }
    }

    /// Returns whether no request waits any longer.
    pub fn is_over(&self) -> bool {
        self.waiting.len() == 0
    }

    /// Takes the next request that waited. Returns its stream and step.
    pub fn next(&mut self, worker: &mut Worker, now: u64) -> Option<(u32, Step<Reply<'_>>)> {
        let (stream, waiter) = self.waiting.next()?;
        let key = waiter.debug.then(|| self.lookup.request.key.to_string());
        let shareable = match &self.result {
            LookupResult::Pass { reason, verdict } => {
                count_pass(&mut worker.counters, &self.lookup.request.group, *reason);
                let said = cache_status(&self.installation, verdict, "", key.as_deref());
                let no_peer = *reason == Reason::PeersFailed;
                let find = || StaleFallback::find_for_waiter(worker, &self.lookup, waiter.map.as_deref(), now);
                let fallback = no_peer.then(find).flatten();
                return Some((
                    stream,
                    Step::Pass(Pass { reason: *reason, cache_status: Some(said), fallback, fill: self.fill.take() }),
                ));
            }
            LookupResult::LeftBehind => return Some((stream, look_up_alone(self, stream, waiter, worker, now))),
            LookupResult::Response(shareable) => shareable,
        };
        let [first, later] = &shareable.maps;
        let (verdict, map) = match &waiter.map {
            None => (&shareable.response.verdict, first),
            Some(map) if shareable.selecting.as_ref().is_some_and(|selecting| selects(selecting, map)) => {
                if shareable.is_first_failure && self.lookup.is_repeat {
                    return Some((stream, look_up_alone(self, stream, waiter, worker, now)));
                }
                if waiter.arrived > shareable.latest || shareable.is_first_failure {
                    let last = shareable.last_arrival;
                    return Some((stream, look_up_together(self, stream, waiter, last, worker, now)));
                }
                (&shareable.joined, later)
            }
            Some(_) => return Some((stream, look_up_alone(self, stream, waiter, worker, now))),
        };
        let group = self.lookup.request.group.name();
        worker.counters.count_request(group, shareable.outcome);
        if waiter.map.is_some() && matches!(shareable.outcome, Outcome::Miss | Outcome::Revalidated) {
            if !std::mem::replace(&mut self.is_shared, true) {
                worker.counters.count_request(group, Outcome::Herd);
            }
            worker.counters.count_request(group, Outcome::Shared);
        }
        let map = match key {
            None => Cow::Borrowed(&map[..]),
            Some(key) => {
                let said = debug_status(&self.installation, verdict, shareable.detail, &key);
                Cow::Owned(shareable.response.stamped(&said))
            }
        };
        Some((stream, Step::Reply(Reply::of_peer(&shareable.response, map, self.lookup.request.to_head))))
    }
}

/// Returns the outcome to count, and the detail in Cache-Status: who had it.
pub(super) fn outcome(verdict: &Verdict) -> (Outcome, &'static str) {
    match verdict.outcome {
        wire::Outcome::Hit => (Outcome::Hit, "owner"),
        wire::Outcome::Stale => (Outcome::Stale, "owner"),
        wire::Outcome::Revalidated => (Outcome::Revalidated, ""),
        _ => (Outcome::Miss, ""),
    }
}

/// Returns Cache-Status for a debugger.
pub(super) fn debug_status(installation: &str, verdict: &Verdict, who: &'static str, key: &str) -> String {
    let who = if who.is_empty() && !is_forwarded(&verdict.reason) { verdict.reason.as_str() } else { who };
    cache_status(installation, verdict, &detail(who, verdict, &[]), Some(key))
}

/// The latest arrival of a request that may have the response. One that needs validation (RFC 9111 section 4) is for
/// requests that arrived before its load began, and for those of the lookup in any case.
fn latest_arrival(lookup: &PeerLookup, verdict: &Verdict, now: u64) -> u64 {
    if !needs_validation(verdict) {
        return u64::MAX;
    }
    verdict.load.map_or(0, |load| now.saturating_sub(load)).max(lookup.last_arrival)
}

/// Returns whether a response was just loaded and may neither be reused nor given to all requests that wait.
fn needs_validation(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, wire::Outcome::Miss | wire::Outcome::Revalidated) && verdict.ttl <= 0 && !verdict.waiters
}

/// Looks up once more, for all requests that arrived after the load of this response had begun. `last`: when the last
/// of them arrived.
fn look_up_together<'a>(
    over: &FanOut,
    stream: u32,
    waiter: Waiter,
    last: u64,
    worker: &mut Worker,
    now: u64,
) -> Step<Reply<'a>> {
    let of = &over.lookup.request;
    let map_len = waiter.map.as_ref().map_or(0, Vec::len);
    match worker.lookups.find_joinable(of.side, &of.key, &of.group, worker.purge_count(), map_len) {
        Joinable::Yes(id) => {
            let Waiter { map, debug, arrived, .. } = waiter;
            worker.lookups.join(id, Joiner { stream, map: map.unwrap_or_default(), debug, arrived });
            Step::Wait
        }
        Joinable::NotFound => {
            let debug = waiter.debug;
            let lookup = PeerLookup { last_arrival: last, ..repeat(over, stream, waiter, worker, now) };
            open(lookup, debug, &over.installation, worker)
        }
        Joinable::Full => {
            let debug = waiter.debug.then_some(&of.key);
            Step::Pass(Pass::of_group(&mut worker.counters, &of.group, &over.installation, Reason::Full, debug))
        }
    }
}

/// Looks up once more, for a request that joined and that the response was not for.
fn look_up_alone<'a>(over: &FanOut, stream: u32, waiter: Waiter, worker: &mut Worker, now: u64) -> Step<Reply<'a>> {
    let debug = waiter.debug;
    let mut lookup = repeat(over, stream, waiter, worker, now);
    lookup.request.shared = false;
    open(lookup, debug, &over.installation, worker)
}

fn repeat(over: &FanOut, stream: u32, waiter: Waiter, worker: &Worker, now: u64) -> PeerLookup {
    let start = worker.lookup_start(now);
    over.lookup.repeat(stream, waiter.map.unwrap_or_default(), waiter.arrived, start)
}

fn open<'a>(lookup: PeerLookup, debug: bool, installation: &str, worker: &mut Worker) -> Step<Reply<'a>> {
    let (timeout, group) = (lookup.call_timeout(), lookup.request.group.clone());
    let key = debug.then(|| lookup.request.key.clone());
    match worker.lookups.open(lookup, debug) {
        Some(lookup) => {
            worker.counters.count_event(Event::Lookup);
            Step::CallOut(Callout { lookup, timeout })
        }
        None => Step::Pass(Pass::of_group(&mut worker.counters, &group, installation, Reason::Full, key.as_ref())),
    }
}

/// Returns whether a shared response is for this request, too.
fn selects(selecting: &Selecting, map: &[u8]) -> bool {
    RequestHead::read(map).is_some_and(|head| head.request().is_ok_and(|request| selecting.matches(&request)))
}
