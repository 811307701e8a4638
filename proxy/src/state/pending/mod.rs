//! The lookups in flight in this worker, and the requests that wait for them. Bounded: further requests pass.
//!
//! Long: all that changes what waits is in one place, so that nothing is forgotten there.

mod streaming;

use crate::state::{listener_config::Side, lookup::PeerLookup, peers::ChosenPeer};
use meshcache_protocol::{Group, Key};
use std::collections::BTreeMap;

/// The most lookups at a time.
const MAX_LOOKUPS: usize = 4096;
/// The most requests that wait at a time. The Wasm glue has as many places for its trap handler.
pub const MAX_WAITERS: usize = 16_384;
/// The most bytes of lookups and waiters.
const MAX_BYTES: usize = 8 << 20;
/// The bytes of a waiter beside its header map.
const WAITER_OVERHEAD: usize = 256;
/// How long after its timeout a callout without any answer is forgotten, should Envoy never report one.
const GRACE: u64 = 1000;
/// The most peers whose last answer is remembered.
const MAX_PEERS: usize = 1024;

/// A request that waits.
#[derive(Debug)]
pub struct Waiter {
    lookup: u32,
    /// Its header map. `None` for the lookup's own request.
    pub map: Option<Vec<u8>>,
    /// It gets reasons and key in Cache-Status.
    pub debug: bool,
    /// When it arrived.
    pub arrived: u64,
}

/// A request that may join a lookup.
pub struct Joiner {
    /// Its stream.
    pub stream: u32,
    /// Its header map.
    pub map: Vec<u8>,
    /// It gets reasons and key in Cache-Status.
    pub debug: bool,
    /// When it arrived.
    pub arrived: u64,
}

/// Whether a request may join a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joinable {
    /// It may join this one.
    Yes(u32),
    /// There is no such lookup.
    NotFound,
    /// There is no room for another waiter.
    Full,
}

/// A callout in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// The lookup. It may be over, when another peer was faster.
    pub lookup: u32,
    /// The peer.
    pub peer: ChosenPeer,
    /// The peer was silent for too long, and that has been counted. It may still answer.
    pub is_given_up: bool,
    /// Its response is on its way.
    is_answering: bool,
    /// How long the peer may be silent.
    patience: u64,
    /// When it was sent, on the attention clock.
    sent_attention: u64,
    /// When Envoy must have reported a result.
    end: u64,
}

impl PendingCall {
    /// The callout of a lookup to its current peer.
    pub fn new(id: u32, lookup: &PeerLookup) -> Self {
        Self {
            lookup: id,
            peer: lookup.peer.clone(),
            is_given_up: false,
            is_answering: false,
            patience: lookup.patience(),
            sent_attention: lookup.sent_attention,
            end: call_end(lookup),
        }
    }
}

impl PendingCall {
    fn is_awaited(&self) -> bool {
        !self.is_given_up && !self.is_answering
    }
}

fn call_end(lookup: &PeerLookup) -> u64 {
    lookup.sent.saturating_add(lookup.call_timeout()).saturating_add(GRACE)
}

impl Waiter {
    fn bytes(&self) -> usize {
        self.map.as_ref().map_or(0, Vec::len).saturating_add(WAITER_OVERHEAD)
    }
}

/// All lookups of a worker.
#[derive(Default)]
pub struct PendingLookups {
    /// With the streams that wait for each. A map moves its values about, so they are small.
    open: BTreeMap<u32, (Box<PeerLookup>, Vec<u32>)>,
    /// The lookups that requests may join, by key and side.
    shared: BTreeMap<(u128, Side), u32>,
    waiters: BTreeMap<u32, Waiter>,
    calls: BTreeMap<u32, PendingCall>,
    /// The number of calls that have not been given up.
    awaited_calls: usize,
    /// When peers answered last, on the attention clock. Only while there are calls.
    answered: BTreeMap<String, u64>,
    /// The number of lookups in groups that hedge.
    hedging: usize,
    /// The number of lookups whose leaders get the response as it comes, while others may wait for the whole of it.
    streaming: usize,
    last_id: u32,
    bytes: usize,
}

impl PendingLookups {
    /// Opens a lookup for its leader. Returns `None` if there is no room.
    pub fn open(&mut self, lookup: PeerLookup, debug: bool) -> Option<u32> {
        let waiter = Waiter { lookup: 0, map: None, debug, arrived: lookup.last_arrival };
        let bytes = lookup.bytes().saturating_add(waiter.bytes());
        if self.open.len() >= MAX_LOOKUPS || !self.has_room(bytes) {
            return None;
        }
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        if lookup.request.shared {
            self.shared.insert((lookup.request.key.hash().0, lookup.request.side), id);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.hedging = self.hedging.saturating_add(usize::from(lookup.hedge().is_some()));
        self.waiters.insert(lookup.request.leader, Waiter { lookup: id, ..waiter });
        let streams = vec![lookup.request.leader];
        self.open.insert(id, (Box::new(lookup), streams));
        Some(id)
    }

    /// Finds a shared lookup for this key under these rules. A lookup from before the last purge does not count: its
    /// response may be older than that. `map_len`: the length of the request's header map.
    pub fn find_joinable(&self, side: Side, key: &Key, group: &Group, purges: u64, map_len: usize) -> Joinable {
        let Some(id) = self.shared.get(&(key.hash().0, side)).copied() else { return Joinable::NotFound };
        match self.open.get(&id) {
            Some((lookup, _))
                if lookup.request.key == *key
                    && lookup.request.group.digest() == group.digest()
                    && lookup.purges == purges =>
            {
                let has_room = self.has_room(map_len.saturating_add(WAITER_OVERHEAD));
                if has_room { Joinable::Yes(id) } else { Joinable::Full }
            }
            _ => Joinable::NotFound,
        }
    }

    /// Adds a request to a lookup that it may join.
    pub fn join(&mut self, id: u32, joiner: Joiner) {
        let Some((_, streams)) = self.open.get_mut(&id) else { return };
        let Joiner { stream, map, debug, arrived } = joiner;
        streams.push(stream);
        let waiter = Waiter { lookup: id, map: Some(map), debug, arrived };
        self.bytes = self.bytes.saturating_add(waiter.bytes());
        self.waiters.insert(stream, waiter);
    }

    /// The lookup.
    pub fn get(&self, id: u32) -> Option<&PeerLookup> {
        self.open.get(&id).map(|(lookup, _)| &**lookup)
    }

    /// The lookup, to be sent again.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut PeerLookup> {
        self.open.get_mut(&id).map(|(lookup, _)| &mut **lookup)
    }

    /// Returns whether a request still waits for a lookup.
    pub fn is_awaited(&self, id: u32) -> bool {
        let waits = |stream| self.waiters.get(stream).is_some_and(|waiter| waiter.lookup == id);
        self.open.get(&id).is_some_and(|(_, streams)| streams.iter().any(waits))
    }

    /// Ends a lookup. Returns it with the requests that still wait for it.
    pub fn close(&mut self, id: u32) -> Option<(PeerLookup, Vec<(u32, Waiter)>)> {
        let (lookup, streams) = self.open.remove(&id)?;
        self.unshare(id, &lookup);
        self.streaming = self.streaming.saturating_sub(usize::from(lookup.lingers()));
        self.bytes = self.bytes.saturating_sub(lookup.bytes());
        self.hedging = self.hedging.saturating_sub(usize::from(lookup.hedge().is_some()));
        Some((*lookup, self.take_waiters(streams, id)))
    }

    /// Removes the first of the requests that wait for a lookup. Its call goes on for the others, and its next one is
    /// theirs.
    pub fn take_first(&mut self, id: u32) -> Option<(u32, Waiter)> {
        let (_, streams) = self.open.get(&id)?;
        let waits = |stream: &&u32| self.waiters.get(stream).is_some_and(|waiter| waiter.lookup == id);
        let mut waiting = streams.iter().filter(waits).copied();
        let (first, next) = (waiting.next()?, waiting.next());
        if let (Some((lookup, _)), Some(next)) = (self.open.get_mut(&id), next) {
            lookup.request.leader = next;
        }
        self.take_waiter(first, Some(id)).map(|waiter| (first, waiter))
    }

    /// Does the same with the lookup's own request alone, if that still waits.
    pub fn take_own(&mut self, id: u32) -> Option<(u32, Waiter)> {
        let leader = self.open.get(&id)?.0.request.leader;
        self.waiters.get(&leader).filter(|waiter| waiter.lookup == id && waiter.map.is_none())?;
        self.take_first(id)
    }

    /// Removes a request whose client left.
    pub fn leave(&mut self, stream: u32) {
        self.take_waiter(stream, None);
    }

    /// Records that a lookup was sent to its peer under this token of the host.
    pub fn record_call(&mut self, token: u32, id: u32) {
        if let Some((lookup, _)) = self.open.get(&id) {
            self.calls.insert(token, PendingCall::new(id, lookup));
            self.awaited_calls = self.awaited_calls.saturating_add(1);
        }
    }

    /// Returns the call of this token.
    pub fn call(&self, token: u32) -> Option<&PendingCall> {
        self.calls.get(&token)
    }

    /// Takes the call that came back.
    pub fn take_call(&mut self, token: u32) -> Option<PendingCall> {
        let call = self.calls.remove(&token)?;
        self.awaited_calls = self.awaited_calls.saturating_sub(usize::from(call.is_awaited()));
        if self.calls.is_empty() {
            self.answered.clear();
        }
        Some(call)
    }

    /// Records that a peer answered at this time of the attention clock. It is not silent, whatever else it is asked.
    pub fn note_answer(&mut self, peer: &str, at: u64) {
        if let Some(answered) = self.answered.get_mut(peer) {
            *answered = at;
        } else if !self.calls.is_empty() && self.answered.len() < MAX_PEERS {
            self.answered.insert(peer.to_owned(), at);
        }
    }

    /// Gives up the calls whose peers have been silent for longer than they may, at this time of the attention clock.
    /// Returns each once.
    pub fn give_up_silent(&mut self, at: u64) -> Vec<PendingCall> {
        let answered = &self.answered;
        let is_silent = |call: &PendingCall| {
            let is_over = |since: u64| since.saturating_add(call.patience) <= at;
            call.is_awaited()
                && is_over(call.sent_attention)
                && answered.get(&call.peer.address).is_none_or(|answered| is_over(*answered))
        };
        let give_up = |call: &mut PendingCall| {
            call.is_given_up = true;
            call.clone()
        };
        let silent: Vec<PendingCall> = self.calls.values_mut().filter(|call| is_silent(call)).map(give_up).collect();
        self.awaited_calls = self.awaited_calls.saturating_sub(silent.len());
        silent
    }

    /// Returns the lookups that are to be hedged: their peers have been silent for as long as the group allows.
    pub fn to_hedge(&self, at: u64) -> Vec<u32> {
        if self.hedging == 0 {
            return Vec::new();
        }
        let is_silent = |lookup: &PeerLookup| {
            let is_over = |hedge| lookup.sent_attention.saturating_add(hedge) <= at;
            lookup.may_hedge() && lookup.hedge().is_some_and(is_over)
        };
        self.open.iter().filter(|(_, (lookup, _))| is_silent(lookup)).map(|(id, _)| *id).collect()
    }

    /// Returns whether a lookup may be hedged soon.
    pub fn may_hedge(&self) -> bool {
        self.hedging > 0 && self.open.values().any(|(lookup, _)| lookup.may_hedge())
    }

    /// Returns whether no call is in flight.
    pub fn has_no_calls(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns whether a call is in flight that has not been given up.
    pub fn awaits_calls(&self) -> bool {
        self.awaited_calls > 0
    }

    /// Removes the calls for which Envoy never reported a result. Returns their lookups.
    pub fn take_overdue(&mut self, now: u64) -> Vec<u32> {
        let is_overdue = |lookup: &PeerLookup| lookup.streams_since.is_none() && call_end(lookup) < now;
        let overdue: Vec<u32> =
            self.open.iter().filter(|(_, (lookup, _))| is_overdue(lookup)).map(|(id, _)| *id).collect();
        self.calls.retain(|_, call| (call.end >= now || call.is_answering) && !overdue.contains(&call.lookup));
        self.awaited_calls = self.calls.values().filter(|call| call.is_awaited()).count();
        overdue
    }

    /// Returns the number of lookups.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether there are no lookups.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn unshare(&mut self, id: u32, lookup: &PeerLookup) {
        let place = (lookup.request.key.hash().0, lookup.request.side);
        if self.shared.get(&place) == Some(&id) {
            self.shared.remove(&place);
        }
    }

    /// Removes those of these streams that wait for this lookup.
    fn take_waiters(&mut self, streams: Vec<u32>, id: u32) -> Vec<(u32, Waiter)> {
        let take = |stream| self.take_waiter(stream, Some(id)).map(|waiter| (stream, waiter));
        streams.into_iter().filter_map(take).collect()
    }

    /// Removes a waiter; only one of this lookup where it is given.
    fn take_waiter(&mut self, stream: u32, of: Option<u32>) -> Option<Waiter> {
        if of.is_some_and(|id| self.waiters.get(&stream).is_none_or(|waiter| waiter.lookup != id)) {
            return None;
        }
        let waiter = self.waiters.remove(&stream)?;
        self.bytes = self.bytes.saturating_sub(waiter.bytes());
        Some(waiter)
    }

    fn has_room(&self, more: usize) -> bool {
        self.waiters.len() < MAX_WAITERS && self.bytes.saturating_add(more) <= MAX_BYTES
    }
}
