//! Questions under way in this worker, and who waits for their answers. Bounded: over it, requests pass.

use crate::state::{hit_for_pass::Asked, listener_config::Side, peers::Choice};
use meshcache_protocol::{Group, Key, Route};
use std::{collections::BTreeMap, sync::Arc};

/// The most questions at once.
const MOST: usize = 4096;
/// The most requests that wait at once. `rescue` has as many places.
pub const MOST_WAITERS: usize = 16_384;
/// The most bytes of heads that are kept for them.
const MOST_BYTES: usize = 8 << 20;
/// What a question or a waiter costs beside its bytes.
const EACH: usize = 256;
/// How long after its time a call without an answer is forgotten, should Envoy never say so.
const GRACE: u64 = 1000;
/// So soon the owner says that it is loading, milliseconds: a filter sees nothing of an answer before it has all of it,
/// and so knows whether the owner lives.
const EARLY: u64 = 100;
/// Envoy's own time for a call, milliseconds: it only frees what the call holds. That a peer is silent is found out by
/// the worker.
const CALL: (u64, u64) = (5_000, 60_000);
/// The most peers whose last word is remembered.
const MOST_PEERS: usize = 1024;

/// One question.
pub struct Question {
    /// The side of the proxy it came from.
    pub side: Side,
    /// The group, as it was when the question was asked.
    pub group: Arc<Group>,
    /// The key.
    pub key: Key,
    /// The route that is in it, where the group has it there.
    pub route: Option<Route>,
    /// Whether others join.
    pub asked: Asked,
    /// Whether the request may be shared.
    pub shared: bool,
    /// Whether the proxy verified a token of the request.
    pub verified: bool,
    /// Whether the method is HEAD.
    pub to_head: bool,
    /// The proxy's namespace.
    pub namespace: Option<String>,
    /// The header map of the request that is sent.
    pub map: Vec<u8>,
    /// The stream of that request.
    pub leader: u32,
    /// The peer that is asked now.
    pub peer: Choice,
    /// It is asked for those for whom the answer to an earlier one was not.
    pub again: bool,
    /// How many peers have been asked.
    pub tries: u8,
    /// How many calls are under way whose peers have not been given up.
    pub calls: u8,
    /// The peer that is asked now has said that it is loading: it is not silent.
    pub heard: bool,
    /// The flight that it named then, to be said when it is asked again. 0: none.
    pub flight: u64,
    /// How many purges this worker had heard of when the question was asked.
    pub purges: u64,
    /// Whether it joined another's load, when it was first asked: asked again it joins its own.
    pub collapsed: Option<bool>,
    /// When the first peer was asked.
    pub began: u64,
    /// When the last of those came for whom it is asked: what was loaded since then is theirs.
    pub since: u64,
    /// When this peer was asked last.
    pub sent: u64,
    /// The same on the clock of the worker's attention.
    pub asked_at: u64,
}

impl Question {
    /// How long the peer may be silent.
    pub fn patience(&self) -> u64 {
        self.group.config().patience.as_millis()
    }

    /// How long the peer is told that we wait: it says `loading` before its silence counts, and before the next peer is
    /// asked. At first soon, so that this is its sign of life.
    pub fn told_patience(&self) -> u64 {
        let most = |patience: u64| (patience / 4).saturating_mul(3).max(1);
        if self.heard {
            most(self.patience())
        } else {
            most(self.patience().min(self.hedge().unwrap_or(u64::MAX))).min(EARLY)
        }
    }

    /// How long Envoy waits for an answer: much longer than the peer may be silent while this worker is attentive.
    pub fn call_time(&self) -> u64 {
        self.patience().saturating_mul(10).clamp(CALL.0, CALL.1).max(self.patience().saturating_mul(2))
    }

    /// After how long a silence the next peer is asked, too; `None`: not before the patience ends.
    fn hedge(&self) -> Option<u64> {
        Some(self.group.config().hedge.as_millis()).filter(|hedge| *hedge > 0)
    }

    /// Whether the next peer may still be asked beside this one.
    fn may_hedge(&self) -> bool {
        self.tries == 1 && !self.heard && self.hedge().is_some()
    }

    /// When all patience ends: twice the origin's own time, for the load that was under way and the one that is theirs,
    /// and the owner's on top.
    pub fn deadline(&self) -> u64 {
        let origin = self.group.config().origin.timeout.as_millis();
        self.began.saturating_add(origin.saturating_mul(2)).saturating_add(self.patience())
    }

    fn bytes(&self) -> usize {
        self.map.len().saturating_add(self.key.bytes().len()).saturating_add(EACH)
    }
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiter {
    question: u32,
    /// Its header map; `None` for the question's own request.
    pub map: Option<Vec<u8>>,
    /// It is to have reasons and key in Cache-Status.
    pub debug: bool,
    /// When it came.
    pub came: u64,
}

/// A request that may join a question.
#[derive(Clone, Copy)]
pub struct Joins<'m> {
    /// Its stream.
    pub stream: u32,
    /// Its header map.
    pub map: &'m [u8],
    /// It is to have reasons and key in Cache-Status.
    pub debug: bool,
    /// When it came.
    pub came: u64,
}

/// A question on its way to a peer, and what is known when it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The question. It may be over, when another peer was quicker.
    pub question: u32,
    /// Who is asked.
    pub peer: Choice,
    /// The peer was silent for too long, and that has counted. It may answer all the same.
    pub given_up: bool,
    /// How long the peer may be silent.
    patience: u64,
    /// When it went out, on the clock of the worker's attention.
    asked_at: u64,
    /// When Envoy must have said something.
    end: u64,
}

impl Call {
    /// A call of a question to this peer.
    pub fn new(id: u32, question: &Question) -> Self {
        let end = question.sent.saturating_add(question.call_time()).saturating_add(GRACE);
        Self {
            question: id,
            peer: question.peer.clone(),
            given_up: false,
            patience: question.patience(),
            asked_at: question.asked_at,
            end,
        }
    }
}

impl Waiter {
    fn bytes(&self) -> usize {
        self.map.as_ref().map_or(0, Vec::len).saturating_add(EACH)
    }
}

/// Whether a request joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It waits.
    Yes,
    /// There is no such question.
    NoSuch,
    /// There is no room for another waiter.
    Full,
}

/// All questions of a worker.
#[derive(Default)]
pub struct Questions {
    open: BTreeMap<u32, (Question, Vec<u32>)>,
    shared: BTreeMap<(u128, Side), u32>,
    waiters: BTreeMap<u32, Waiter>,
    calls: BTreeMap<u32, Call>,
    /// How many of these have not been given up.
    waiting: usize,
    /// When peers have said something last, on the clock of the worker's attention. Of those that others wait for.
    heard: BTreeMap<String, u64>,
    /// How many may still be hedged.
    hedging: usize,
    last: u32,
    bytes: usize,
}

impl Questions {
    /// Opens a question for its leader. `None`: there is no room.
    pub fn open(&mut self, question: Question, debug: bool) -> Option<u32> {
        let waiter = Waiter { question: 0, map: None, debug, came: question.since };
        let bytes = question.bytes().saturating_add(waiter.bytes());
        if self.open.len() >= MOST || !self.has_room(bytes) {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let id = self.last;
        if question.shared {
            self.shared.insert((question.key.hash().0, question.side), id);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.hedging = self.hedging.saturating_add(usize::from(question.hedge().is_some()));
        self.waiters.insert(question.leader, Waiter { question: id, ..waiter });
        let streams = vec![question.leader];
        self.open.insert(id, (question, streams));
        Some(id)
    }

    /// Joins a shared question for this key under these rules, if it was asked since the last of so many purges: what
    /// an earlier one brings may be older than what was purged.
    pub fn join(&mut self, side: Side, key: &Key, group: &Group, purges: u64, who: Joins<'_>) -> Joined {
        let Some(id) = self.shared.get(&(key.hash().0, side)).copied() else { return Joined::NoSuch };
        let bytes = who.map.len().saturating_add(EACH);
        let room = self.has_room(bytes);
        match self.open.get_mut(&id) {
            Some((question, streams))
                if question.key == *key && question.group.digest() == group.digest() && question.purges == purges =>
            {
                if !room {
                    return Joined::Full;
                }
                streams.push(who.stream);
                self.bytes = self.bytes.saturating_add(bytes);
                self.waiters.insert(
                    who.stream,
                    Waiter { question: id, map: Some(who.map.to_vec()), debug: who.debug, came: who.came },
                );
                Joined::Yes
            }
            _ => Joined::NoSuch,
        }
    }

    /// The question.
    pub fn get(&self, id: u32) -> Option<&Question> {
        self.open.get(&id).map(|(question, _)| question)
    }

    /// The question, to be asked once more.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Question> {
        self.open.get_mut(&id).map(|(question, _)| question)
    }

    /// Whether anybody still waits for it.
    pub fn is_awaited(&self, id: u32) -> bool {
        let waits = |stream| self.waiters.get(stream).is_some_and(|waiter| waiter.question == id);
        self.open.get(&id).is_some_and(|(_, streams)| streams.iter().any(waits))
    }

    /// Ends a question: itself, and all who still wait for it.
    pub fn close(&mut self, id: u32) -> Option<(Question, Vec<(u32, Waiter)>)> {
        let (question, streams) = self.open.remove(&id)?;
        let place = (question.key.hash().0, question.side);
        if self.shared.get(&place) == Some(&id) {
            self.shared.remove(&place);
        }
        self.bytes = self.bytes.saturating_sub(question.bytes());
        self.hedging = self.hedging.saturating_sub(usize::from(question.hedge().is_some()));
        let waiting = streams
            .into_iter()
            .filter_map(|stream| self.unwait(stream, Some(id)).map(|waiter| (stream, waiter)))
            .collect();
        Some((question, waiting))
    }

    /// A client left.
    pub fn leave(&mut self, stream: u32) {
        self.unwait(stream, None);
    }

    /// A question went out to its peer under this token of Envoy's.
    pub fn sent(&mut self, token: u32, id: u32) {
        if let Some((question, _)) = self.open.get(&id) {
            self.calls.insert(token, Call::new(id, question));
            self.waiting = self.waiting.saturating_add(1);
        }
    }

    /// The call that came back.
    pub fn by_token(&mut self, token: u32) -> Option<Call> {
        let call = self.calls.remove(&token)?;
        self.waiting = self.waiting.saturating_sub(usize::from(!call.given_up));
        if self.calls.is_empty() {
            self.heard.clear();
        }
        Some(call)
    }

    /// A peer said something, at this time of the worker's attention: it is not silent, whatever else it is asked.
    pub fn hears(&mut self, peer: &str, at: u64) {
        if let Some(heard) = self.heard.get_mut(peer) {
            *heard = at;
        } else if !self.calls.is_empty() && self.heard.len() < MOST_PEERS {
            self.heard.insert(peer.to_owned(), at);
        }
    }

    /// Calls whose peers have been silent for as long as they may, at this time of the worker's attention. Each is
    /// given up once.
    pub fn silent(&mut self, at: u64) -> Vec<Call> {
        let heard = &self.heard;
        let is_silent = |call: &Call| {
            let over = |since: u64| since.saturating_add(call.patience) <= at;
            !call.given_up && over(call.asked_at) && heard.get(&call.peer.address).is_none_or(|heard| over(*heard))
        };
        let give_up = |call: &mut Call| {
            call.given_up = true;
            call.clone()
        };
        let silent: Vec<Call> = self.calls.values_mut().filter(|call| is_silent(call)).map(give_up).collect();
        self.waiting = self.waiting.saturating_sub(silent.len());
        silent
    }

    /// Questions whose peer has been silent for so long that the next is asked, too.
    pub fn to_hedge(&self, at: u64) -> Vec<u32> {
        if self.hedging == 0 {
            return Vec::new();
        }
        let is_silent = |question: &Question| {
            question.may_hedge() && question.hedge().is_some_and(|hedge| question.asked_at.saturating_add(hedge) <= at)
        };
        self.open.iter().filter(|(_, (question, _))| is_silent(question)).map(|(id, _)| *id).collect()
    }

    /// Whether a silence may soon be long enough for that.
    pub fn may_hedge(&self) -> bool {
        self.hedging > 0 && self.open.values().any(|(question, _)| question.may_hedge())
    }

    /// Whether nobody is asked anything.
    pub fn has_no_calls(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether a peer may fall silent that somebody waits for.
    pub fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Questions whose answers never came, not even a failure.
    pub fn overdue(&mut self, now: u64) -> Vec<u32> {
        let is_late =
            |question: &Question| question.sent.saturating_add(question.call_time()).saturating_add(GRACE) < now;
        let late: Vec<u32> =
            self.open.iter().filter(|(_, (question, _))| is_late(question)).map(|(id, _)| *id).collect();
        self.calls.retain(|_, call| call.end >= now && !late.contains(&call.question));
        self.waiting = self.calls.values().filter(|call| !call.given_up).count();
        late
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn unwait(&mut self, stream: u32, of: Option<u32>) -> Option<Waiter> {
        if of.is_some_and(|id| self.waiters.get(&stream).is_none_or(|waiter| waiter.question != id)) {
            return None;
        }
        let waiter = self.waiters.remove(&stream)?;
        self.bytes = self.bytes.saturating_sub(waiter.bytes());
        Some(waiter)
    }

    fn has_room(&self, more: usize) -> bool {
        self.waiters.len() < MOST_WAITERS && self.bytes.saturating_add(more) <= MOST_BYTES
    }
}
