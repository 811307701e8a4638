//! A response of a peer, or its failure, and what it means for the lookup.
//!
//! Long: each way in which a peer may answer, or not, has its step here.

use crate::{
    http::{
        head::RequestHead,
        peer_response::{PeerFailure, PeerHead, PeerResponse},
    },
    request::{
        fan_out::{self, FanOut},
        fill::FillCall,
        step::Callout,
    },
    state::{
        counters::{Event, Reason},
        hot_cache::Variant,
        lookup::{LookupRequest, PeerLookup},
        peers::ChosenPeer,
        pending::{Joiner, PendingCall, Waiter},
        worker::Worker,
    },
};
use meshcache_protocol::{
    Response,
    cache_status::cache_status,
    freshness::{Selecting, Vary},
    wire::{GrantId, Outcome, Verdict},
};
use std::sync::Arc;

/// The next step of a lookup.
pub enum LookupStep {
    /// It is sent again.
    CallOut(Callout),
    /// One of the requests that waited passes by the owner's leave. The lookup is sent again for the others, if there are
    /// any.
    Leave(Box<FanOut>, Option<Callout>),
    /// It is over, for all requests that waited.
    Finish(Box<FanOut>),
    /// Nothing, or there is no such lookup.
    Nothing,
}

impl From<Option<Callout>> for LookupStep {
    fn from(callout: Option<Callout>) -> Self {
        callout.map_or(Self::Nothing, Self::CallOut)
    }
}

/// The head of a reply whose body follows as it comes.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamedHead {
    /// The status code.
    pub status: u16,
    /// The header map.
    pub map: Vec<u8>,
    /// A copy of the whole response may be of use: for the hot cache, or for others that wait.
    pub may_share: bool,
}

/// The progress of lookups, at one moment in one worker.
pub struct Lookups<'w> {
    /// The worker.
    pub worker: &'w mut Worker,
    /// Milliseconds of a monotonic clock.
    pub now: u64,
}

impl Lookups<'_> {
    /// Takes the result of a call.
    pub fn receive(&mut self, call: &PendingCall, response: Result<PeerResponse, PeerFailure>) -> LookupStep {
        let (id, peer) = (call.lookup, &call.peer);
        let response = match response {
            Ok(response) => response,
            // The failure has been counted.
            Err(_) if call.is_given_up => return LookupStep::Nothing,
            Err(failure) => return self.fail(id, peer, failure),
        };
        self.worker.note_peer_answer(&peer.address);
        let Some(lookup) = self.worker.lookups.get_mut(id) else { return LookupStep::Nothing };
        if !call.is_given_up {
            lookup.open_calls = lookup.open_calls.saturating_sub(1);
        }
        match response.verdict.outcome {
            Outcome::Loading => self.wait_for_load(id, peer, &response.verdict),
            Outcome::Error => self.pass(id, Reason::OwnerError, None),
            Outcome::Pass => {
                // Hot responses stay: the pass is for requests that they are not for.
                self.record_pass(id, &response.verdict);
                self.pass(id, Reason::Owner, Some(response.verdict))
            }
            Outcome::Hit | Outcome::Stale | Outcome::Miss | Outcome::Revalidated => self.respond(id, response),
        }
    }

    /// Gives up a call whose peer has been silent for longer than it may while the worker was attentive. The peer may
    /// still answer.
    pub fn give_up(&mut self, call: &PendingCall) -> LookupStep {
        self.fail(call.lookup, &call.peer, PeerFailure::Peer)
    }

    /// Asks the next peer as well, after the silence that the group allows. The first response wins.
    pub fn hedge(&mut self, id: u32) -> LookupStep {
        match self.take_next_peer(id) {
            Some(next) => {
                self.worker.counters.count_event(Event::Hedge);
                self.send(id, next, None).into()
            }
            None => LookupStep::Nothing,
        }
    }

    /// Takes the head of a response whose body is on its way. The leader gets both as they come. `None`: it does not wait
    /// for this response, or there is none for a client.
    pub fn begin_stream(&mut self, token: u32, head: &PeerHead) -> Option<StreamedHead> {
        if !head.verdict.outcome.has_response() {
            return None;
        }
        let installation = self.installation();
        let (id, waiter) = self.worker.lookups.detach_leader(token, self.now)?;
        let lookup = self.worker.lookups.get(id)?;
        let (peer, group) = (lookup.peer.address.clone(), lookup.request.group.clone());
        let mut verdict = head.verdict.clone();
        verdict.collapsed = lookup.collapsed.unwrap_or(verdict.collapsed);
        let (outcome, who) = fan_out::outcome(&verdict);
        let said = match waiter.debug.then(|| lookup.request.key.to_string()) {
            Some(key) => fan_out::debug_status(&installation, &verdict, who, &key),
            None => cache_status(&installation, &verdict, who, None),
        };
        self.worker.note_peer_answer(&peer);
        self.worker.counters.count_request(group.name(), outcome);
        let may_share = verdict.shared || verdict.waiters;
        Some(StreamedHead { status: head.status, map: head.stamped(&said), may_share })
    }

    /// Turns a lookup to the key's next peer, whose first one was lost in the middle of a response. Returns its number.
    pub fn go_on(&mut self, token: u32) -> Option<u32> {
        let (id, peer) = self.worker.lookups.call(token).map(|call| (call.lookup, call.peer.clone()))?;
        let snapshot = self.worker.snapshot()?.clone();
        let lookup = self.worker.lookups.get_mut(id)?;
        let next = self.worker.peers.choose_after(&snapshot.ring, lookup.request.key.hash(), &peer, self.now)?;
        (lookup.peer, lookup.sent, lookup.flight) = (next, self.now, 0);
        self.worker.counters.count_event(Event::Lookup);
        Some(id)
    }

    /// Takes the end of a response that its leader got as it came, and of which there is no copy. Others that wait look up
    /// for themselves. `is_whole`: it was not cut off.
    pub fn end_stream(&mut self, call: &PendingCall, is_whole: bool) -> LookupStep {
        if !is_whole {
            self.worker.counters.count_event(Event::PeerFailure);
            self.worker.note_peer_reset(&call.peer.address, self.now);
        }
        let installation = self.installation();
        match self.worker.lookups.close(call.lookup) {
            Some((lookup, waiting)) if !waiting.is_empty() => {
                LookupStep::Finish(Box::new(FanOut::of_left_behind(lookup, waiting, installation)))
            }
            _ => LookupStep::Nothing,
        }
    }

    /// Lets those look up for themselves that have waited long enough for the rest of a response. Its leader goes on.
    pub fn leave_behind(&mut self) -> Vec<FanOut> {
        let installation = self.installation();
        let start = self.worker.lookup_start(self.now);
        let mut fan_outs = Vec::new();
        for (id, waiting) in self.worker.lookups.take_left_behind(self.now) {
            if let Some(lookup) = self.worker.lookups.get(id).filter(|_| !waiting.is_empty()) {
                let of = &lookup.request;
                let lookup = lookup.repeat(of.leader, of.map.clone(), lookup.last_arrival, start);
                fan_outs.push(FanOut::of_left_behind(lookup, waiting, installation.clone()));
            }
        }
        fan_outs
    }

    /// Looks up once more, for those that still wait for a lookup whose own request is gone, and its call with it.
    pub fn succeed(&mut self, id: u32) -> Option<Callout> {
        let (lookup, waiting) = self.worker.lookups.close(id)?;
        let mut waiting = waiting.into_iter();
        let (leader, heir) = waiting.next()?;
        let start = self.worker.lookup_start(self.now);
        let map = heir.map.unwrap_or_else(|| lookup.request.map.clone());
        let next = PeerLookup { is_repeat: lookup.is_repeat, ..lookup.repeat(leader, map, heir.arrived, start) };
        let timeout = next.call_timeout();
        let id = self.worker.lookups.open(next, heir.debug)?;
        for (stream, Waiter { map, debug, arrived, .. }) in waiting {
            self.worker.lookups.join(id, Joiner { stream, map: map.unwrap_or_default(), debug, arrived });
        }
        self.worker.counters.count_event(Event::Lookup);
        Some(Callout { lookup: id, timeout })
    }

    /// Asks the key's next peer once after a failure; then all requests pass.
    fn fail(&mut self, id: u32, peer: &ChosenPeer, failure: PeerFailure) -> LookupStep {
        self.worker.counters.count_event(Event::PeerFailure);
        match failure {
            PeerFailure::Peer => self.worker.note_peer_failure(&peer.address, self.now),
            PeerFailure::Stream => self.worker.note_peer_reset(&peer.address, self.now),
        }
        let Some(lookup) = self.worker.lookups.get_mut(id) else { return LookupStep::Nothing };
        lookup.open_calls = lookup.open_calls.saturating_sub(1);
        if lookup.open_calls > 0 {
            // The other peer may still answer.
            return LookupStep::Nothing;
        }
        match self.take_next_peer(id) {
            Some(next) => self.send(id, next, None).into(),
            None => self.pass(id, Reason::PeersFailed, None),
        }
    }

    /// The peer to ask after the current one. There is one, and no third.
    fn take_next_peer(&mut self, id: u32) -> Option<ChosenPeer> {
        let snapshot = self.worker.snapshot()?.clone();
        let lookup = self.worker.lookups.get_mut(id).filter(|lookup| lookup.peers_asked == 1)?;
        lookup.peers_asked = 2;
        let (key, peer) = (lookup.request.key.hash(), lookup.peer.clone());
        self.worker.peers.choose_after(&snapshot.ring, key, &peer, self.now)
    }

    /// Asks the peer again while it is loading, as long as the origin may take and a request waits. One of these passes
    /// first, where the peer gives leave to that.
    fn wait_for_load(&mut self, id: u32, peer: &ChosenPeer, verdict: &Verdict) -> LookupStep {
        let Some(lookup) = self.worker.lookups.get_mut(id) else { return LookupStep::Nothing };
        lookup.collapsed.get_or_insert(verdict.collapsed);
        let is_in_time = self.now < lookup.deadline();
        if !(is_in_time && self.worker.lookups.is_awaited(id)) {
            return self.pass(id, Reason::TooSlow, None);
        }
        let passing = match verdict.fill {
            Some(grant) => self.pass_to_fill(id, grant),
            None if verdict.leave => self.pass_by_leave(id),
            None => None,
        };
        let again = if self.worker.lookups.is_awaited(id) {
            self.send(id, peer.clone(), Some(verdict.flight))
        } else {
            self.worker.lookups.close(id);
            None
        };
        match (passing, again) {
            (Some(passing), again) => LookupStep::Leave(Box::new(passing), again),
            (None, again) => again.into(),
        }
    }

    /// Lets the first of the requests that wait pass.
    fn pass_by_leave(&mut self, id: u32) -> Option<FanOut> {
        let first = self.worker.lookups.take_first(id)?;
        let lookup = self.worker.lookups.get(id)?;
        let of_it = lookup.repeat(first.0, Vec::new(), first.1.arrived, self.worker.lookup_start(self.now));
        Some(FanOut::of_pass(of_it, vec![first], Reason::Leave, None, self.installation()))
    }

    /// Lets the lookup's own request pass and fill, if it still waits. Asked again for the others, the lookup is no longer
    /// one that can fill: it is not their request.
    fn pass_to_fill(&mut self, id: u32, grant: GrantId) -> Option<FanOut> {
        let installation = self.installation();
        let lookup = self.worker.lookups.get_mut(id).filter(|lookup| lookup.fills)?;
        lookup.fills = false;
        let call = FillCall::of(lookup, grant, installation.clone())?;
        let first = self.worker.lookups.take_own(id)?;
        let lookup = self.worker.lookups.get(id)?;
        let of_it = lookup.repeat(first.0, Vec::new(), first.1.arrived, self.worker.lookup_start(self.now));
        Some(FanOut::of_fill(of_it, first, call, installation))
    }

    /// Sends the lookup to a peer. `flight`: the one that this peer is loading in.
    fn send(&mut self, id: u32, peer: ChosenPeer, flight: Option<u64>) -> Option<Callout> {
        let attention = self.worker.attention.time();
        let lookup = self.worker.lookups.get_mut(id)?;
        (lookup.sent, lookup.sent_attention, lookup.peer) = (self.now, attention, peer);
        (lookup.is_loading, lookup.flight) = (flight.is_some(), flight.unwrap_or(0));
        lookup.open_calls = lookup.open_calls.saturating_add(1);
        let timeout = lookup.call_timeout();
        self.worker.counters.count_event(Event::Lookup);
        Some(Callout { lookup: id, timeout })
    }

    /// Lets all requests that wait pass.
    fn pass(&mut self, id: u32, reason: Reason, verdict: Option<Verdict>) -> LookupStep {
        let installation = self.installation();
        let Some((lookup, waiting)) = self.worker.lookups.close(id) else { return LookupStep::Nothing };
        LookupStep::Finish(Box::new(FanOut::of_pass(lookup, waiting, reason, verdict, installation)))
    }

    /// Remembers an owner's pass.
    fn record_pass(&mut self, id: u32, verdict: &Verdict) {
        let Some(lookup) = self.worker.lookups.get(id) else { return };
        let of = &lookup.request;
        if !self.has_same_rules(of) {
            return;
        }
        let Some(head) = RequestHead::read(&of.map) else { return };
        let Ok(request) = head.request() else { return };
        self.worker.state.hit_for_pass.record(&of.key, of.scope, &request, verdict, self.now);
    }

    /// Gives a response to the leader and to the requests that joined and may have it, and stores it in the hot cache.
    fn respond(&mut self, id: u32, mut response: PeerResponse) -> LookupStep {
        let installation = self.installation();
        let Some((lookup, waiting)) = self.worker.lookups.close(id) else { return LookupStep::Nothing };
        response.verdict.collapsed = lookup.collapsed.unwrap_or(response.verdict.collapsed);
        let verdict = &response.verdict;
        let state = &self.worker.state;
        // Else no request has joined, there is no hot cache, and no pass to forget.
        let may_matter = state.hot.largest() > 0
            || !state.hit_for_pass.is_empty()
            || waiting.iter().any(|(_, waiter)| waiter.map.is_some());
        let is_for_others = may_matter && (verdict.shared || verdict.waiters);
        let selecting = is_for_others.then(|| selecting(&lookup, &response)).flatten();
        if let Some(selecting) = selecting.as_ref().filter(|_| verdict.shared) {
            self.worker.state.hit_for_pass.forget(&lookup.request.key, lookup.request.scope, selecting);
            self.store(&lookup, &response, selecting.clone());
        }
        let fan_out = FanOut::of_response(lookup, waiting, response, selecting, installation, self.now);
        LookupStep::Finish(Box::new(fan_out))
    }

    /// Stores a response in the hot cache, never for longer than it is fresh.
    fn store(&mut self, lookup: &PeerLookup, response: &PeerResponse, selecting: Selecting) {
        let (of, verdict) = (&lookup.request, &response.verdict);
        let is_complete = !of.to_head && !matches!(response.status, 206 | 304 | 416);
        let is_unchanged = self.worker.invalidations.since_change(of.key.hash(), self.now).is_none();
        let Ok(ttl) = u64::try_from(verdict.ttl) else { return };
        let until = self.now.saturating_add(ttl.min(of.group.config().hot.ttl.as_millis()));
        if !(self.has_same_rules(of) && is_complete && is_unchanged) || until <= self.now {
            return;
        }
        let stored = verdict.to_stored(response.status);
        let rules: Arc<str> = of.group.digest().into();
        let (headers, body) = (response.headers.clone(), response.body.clone());
        let variant = Variant::new(rules, stored, selecting, headers, body, self.now, until);
        // A purge during the lookup rules the response out.
        let state = &self.worker.state;
        let is_unpurged = || lookup.purges == state.purge_count();
        if state.hot.insert(of.side, &of.key, variant, self.now, is_unpurged) {
            self.worker.counters.count_event(Event::HotStored);
        }
    }

    /// Returns whether the rules are those under which a request was looked up.
    fn has_same_rules(&self, of: &LookupRequest) -> bool {
        let now = self.worker.snapshot().and_then(|snapshot| snapshot.groups.named(of.group.name()));
        now.is_some_and(|group| group.digest() == of.group.digest())
    }

    fn installation(&self) -> String {
        self.worker.snapshot().map_or_else(|| "meshcache".to_owned(), |snapshot| snapshot.installation.clone())
    }
}

/// The requests that a response is for, by its Vary and the request that was sent. `None`: only that one.
fn selecting(lookup: &PeerLookup, response: &PeerResponse) -> Option<Selecting> {
    let fields: Vec<_> = response.headers.fields().collect();
    let vary = Vary::in_group(&lookup.request.group, &Response { status: response.status, fields: &fields });
    if vary == Vary::Nothing {
        return Some(Selecting::default());
    }
    let head = RequestHead::read(&lookup.request.map)?;
    let request = head.request().ok()?;
    (vary != Vary::Everything).then(|| Selecting::in_group(&lookup.request.group, &vary, &request))
}
