//! One request's hooks: they read its head, carry out what the driver decides, and edit its response.

use crate::{
    abi::{Body, CONTINUE, Map, STOP},
    call::Answer,
    clock,
    envoy::{Fields, Filter, ListenerRef},
    facts::{self, EnvoyFacts},
    panics,
    process::{self, Process},
    recorder::{DirectHost, Recorder, Tasks},
    reply::{self, OwnedReply},
    wake::{OutgoingCall, Slot, Task},
};
use meshcache_protocol::{
    Field,
    wire::{PREFIX, header},
};
use meshcache_proxy::{
    driver::{self, Driver},
    http::{head::RequestHead, header_map::HeaderMap, peer_response::PeerHead},
    request::{
        arrival::{Arrival, Facts},
        context::Context,
    },
    state::shared_data::InProcessData,
    stream::{ResponseEdit, Stream, StreamState, Time},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};

/// The number of a callout that is being sent.
const STARTING: u64 = u64::MAX;

/// One request.
pub(crate) struct StreamContext {
    pub(crate) filter: Filter,
    listener: ListenerRef,
    stream: RefCell<Stream>,
    to_head: Cell<bool>,
    /// Its request is stopped: it goes on by a call of Envoy, not by the result of the hook.
    is_paused: Cell<bool>,
    /// Where its tasks arrive. Only a request that has waited has one.
    slot: OnceCell<Arc<Slot>>,
    calls: RefCell<Vec<Rc<Call>>>,
}

/// A callout in flight.
struct Call {
    token: u32,
    /// Envoy's number.
    id: Cell<u64>,
    answer: RefCell<Answer>,
    /// The client gets it as it comes.
    streams: Cell<bool>,
}

impl StreamContext {
    pub(crate) fn new(filter: Filter, listener: ListenerRef) -> Self {
        Self {
            filter,
            listener,
            stream: RefCell::new(Stream::new(0)),
            to_head: Cell::new(false),
            is_paused: Cell::new(false),
            slot: OnceCell::new(),
            calls: RefCell::default(),
        }
    }

    /// Takes the head of the request. Returns the hook's result.
    pub(crate) fn request_head(&self, is_whole: bool) -> u32 {
        let stops = !panics::is_off() && self.decide(is_whole).is_some();
        self.is_paused.set(stops);
        if stops { STOP } else { CONTINUE }
    }

    /// Decides what becomes of the request. `None`: it goes on.
    fn decide(&self, is_whole: bool) -> Option<()> {
        let process = self.listener.process?;
        self.listener.record_in(&self.filter);
        let fields = self.filter.fields(Map::Request)?;
        let head = RequestHead::of(fields.iter());
        #[cfg(feature = "trap")]
        crate::exports::trap(&head);
        self.to_head.set(head.method() == b"HEAD");
        if head.control.any && self.leads_to_a_coordinator() {
            return None;
        }
        let facts = EnvoyFacts::new(&self.filter, self.listener.identity.as_deref(), self.listener.side);
        let id = process::next_stream();
        let arrival = Arrival { stream: id, head: &head, has_body: !is_whole };
        let context = Context { state: &process.hot, thread: process::thread(), now: clock::now() };
        let mut host = DirectHost { filter: &self.filter, to_head: self.to_head.get(), none: InProcessData::default() };
        let mut locked = None;
        let mut stream = self.stream.borrow_mut();
        stream.id = id;
        driver::request(context, &mut host, &mut stream, &self.listener.config, arrival, &facts, || {
            // Asked for before the lock is taken: under it Envoy is not called.
            facts.verified();
            &mut locked.insert(process.lock()).driver
        });
        let slot = matches!(stream.state, StreamState::Waits).then(|| Arc::new(Slot::new(id)));
        drop(stream);
        if let Some(mut locked) = locked {
            locked.host.slots.extend(slot.iter().map(|slot| (id, slot.clone())));
            process.unlock(locked, &mut Tasks::default(), Some(id));
        }
        if head.control.any {
            self.remove_own_fields(Map::Request);
        }
        if let Some(slot) = slot {
            slot.open(self.filter.scheduler());
            let _ = self.slot.set(slot);
            self.do_tasks(process);
        }
        matches!(self.stream.borrow().state, StreamState::Waits | StreamState::Replied(_)).then_some(())
    }

    fn leads_to_a_coordinator(&self) -> bool {
        let snapshot = self.listener.process.and_then(|process| process.hot.snapshot());
        snapshot.is_some_and(|snapshot| facts::leads_to_a_coordinator(&self.filter, &snapshot))
    }

    fn give(&self, reply: &OwnedReply) {
        reply.parts().send(&self.filter, self.to_head.get());
    }

    /// Does what has arrived for this stream.
    pub(crate) fn do_tasks(&self, process: &Process) {
        let Some(slot) = self.slot.get() else { return };
        while let Some(task) = slot.pop() {
            match task {
                Task::Call(call) => self.send(process, slot, &call),
                Task::Stream => self.begin_late(process, slot),
                Task::Settle(state, reply) => {
                    self.stream.borrow_mut().state = state;
                    match reply {
                        Some(reply) => self.give(&reply),
                        None if self.is_paused.replace(false) => self.filter.resume(),
                        None => {}
                    }
                }
            }
        }
    }

    pub(crate) fn woken(&self) {
        if let Some(process) = self.listener.process {
            self.do_tasks(process);
        }
    }

    fn send(&self, process: &Process, slot: &Slot, call: &OutgoingCall) {
        let OutgoingCall { token, map, .. } = call;
        let call = Rc::new(Call {
            token: *token,
            id: Cell::new(STARTING),
            answer: RefCell::new(Answer::new(self.to_head.get())),
            streams: Cell::new(false),
        });
        self.calls.borrow_mut().push(call.clone());
        let mut fields = Fields::default();
        fields.extend(HeaderMap::parse(map).into_iter().flatten());
        // No timeout: it would end a long body, too. The driver finds out itself that a peer is silent.
        if let Err(error) = self.filter.start_call(&call.id, &process.cluster, &fields, 0)
            && self.take_call(call.id.get()).is_some()
        {
            process.refuse_call(*token, error, Some(slot.stream));
        }
    }

    fn call(&self, id: u64) -> Option<Rc<Call>> {
        self.calls.borrow().iter().find(|call| call.id.get() == id).cloned()
    }

    fn take_call(&self, id: u64) -> Option<Rc<Call>> {
        let mut calls = self.calls.borrow_mut();
        let at = calls.iter().position(|call| call.id.get() == id)?;
        Some(calls.swap_remove(at))
    }

    /// Takes the head of an answer.
    pub(crate) fn call_head<'a>(&self, id: u64, fields: impl Iterator<Item = Field<'a>> + Clone, is_last: bool) {
        let (Some(call), Some(process), Some(slot)) = (self.call(id), self.listener.process, self.slot.get()) else {
            return;
        };
        call.answer.borrow_mut().head(fields);
        if is_last {
            return;
        }
        if call.answer.borrow().streams_at_once() {
            self.begin(process, slot, &call);
        } else {
            slot.note_head(clock::now());
        }
    }

    /// Begins to reply with an answer whose body is late.
    fn begin_late(&self, process: &Process, slot: &Slot) {
        let held = |call: &&Rc<Call>| !call.streams.get() && call.answer.borrow().peer_head().is_some();
        let call = self.calls.borrow().iter().find(held).cloned();
        if let Some(call) = call {
            self.begin(process, slot, &call);
        }
    }

    /// Begins to reply with an answer as it comes.
    fn begin(&self, process: &Process, slot: &Slot, call: &Call) {
        let begin = |driver: &mut Driver, _: &mut Recorder<'_>| {
            driver.begin_stream(call.token, call.answer.borrow().peer_head()?, clock::now())
        };
        // It waits for it no longer, or for all of it.
        let Some(head) = process.drive(Some(slot.stream), begin).0 else { return };
        self.stream.borrow_mut().state = StreamState::Replied(Vec::new());
        call.streams.set(true);
        let (length, body) = {
            let mut answer = call.answer.borrow_mut();
            let (length, body) = (answer.peer_head().and_then(PeerHead::length), answer.body().to_vec());
            answer.passes(body.len());
            if !head.may_share {
                answer.forget();
            }
            (length, body)
        };
        reply::send_head(&self.filter, head.status, &head.map, length);
        if !body.is_empty() {
            self.filter.send_data(&body, false);
        }
    }

    /// Takes a piece of an answer's body.
    pub(crate) fn call_data(&self, id: u64, piece: &[u8]) {
        let Some(call) = self.call(id) else { return };
        if call.streams.get() {
            call.answer.borrow_mut().passing_piece(piece);
            self.filter.send_data(piece, false);
        } else {
            call.answer.borrow_mut().piece(piece);
        }
    }

    /// Takes the end of an answer.
    pub(crate) fn call_over(&self, id: u64, is_complete: bool) {
        let (Some(call), Some(process), Some(slot)) = (self.take_call(id), self.listener.process, self.slot.get())
        else {
            return;
        };
        let answer = call.answer.take();
        let is_whole = is_complete && (!call.streams.get() || answer.is_whole());
        if call.streams.get() {
            if is_whole {
                self.filter.send_data(b"", true);
            } else {
                // Half a body must not look like a whole one.
                self.filter.reset();
            }
        }
        let has_copy = answer.peer_head().is_some();
        let response = if is_complete { answer.end() } else { Err(answer.reset()) };
        process.drive(Some(slot.stream), |driver, _| {
            let now = clock::now();
            if call.streams.get() && !(is_whole && has_copy) {
                driver.end_stream(call.token, is_whole, now);
            } else {
                driver.lookup_returned(call.token, response, now);
            }
        });
        self.do_tasks(process);
    }

    /// Takes the head of the service's response. Returns the hook's result.
    pub(crate) fn response_head(&self, is_whole: bool) -> u32 {
        if self.stream.borrow().ignores_response() {
            return CONTINUE;
        }
        let Some(process) = self.listener.process else { return CONTINUE };
        let Some(map) = self.filter.fields(Map::Response) else { return CONTINUE };
        let fields = || Some(map.iter().collect::<Vec<Field<'_>>>());
        let time = || Time { now: clock::now(), wall: clock::wall() };
        let id = self.stream.borrow().id;
        let (edit, mut tasks) = process.drive(Some(id), |driver, host| {
            let mut stream = self.stream.borrow_mut();
            let edit = stream.response_head(&mut driver.worker, host, &self.listener.config, &fields, &time);
            if is_whole && stream.is_hashed() {
                stream.response_body(&mut driver.worker, b"", true, clock::now());
            }
            edit
        });
        drop(map);
        match edit {
            ResponseEdit::Replaced => {
                if let Some(reply) = tasks.reply.take() {
                    reply.parts().replace(&self.filter);
                }
                return STOP;
            }
            ResponseEdit::Annotate(cache_status) => {
                self.remove_own_fields(Map::Response);
                if let Some(cache_status) = cache_status {
                    self.filter.add_field(Map::Response, b"cache-status", cache_status.as_bytes());
                }
            }
            // Our own replies do not come back here.
            ResponseEdit::None | ResponseEdit::Restore(_) => {}
        }
        CONTINUE
    }

    /// Takes a piece of the service's response.
    pub(crate) fn response_body(&self, is_last: bool) {
        if !self.stream.borrow().is_hashed() {
            return;
        }
        let mut pieces = Vec::new();
        self.filter.each_chunk(Body::ReceivedResponse, |chunk| pieces.extend_from_slice(chunk));
        self.observe(&pieces, is_last);
    }

    pub(crate) fn response_trailers(&self) {
        if self.stream.borrow().is_hashed() {
            self.observe(b"", true);
        }
    }

    fn observe(&self, piece: &[u8], is_last: bool) {
        if let Some(process) = self.listener.process {
            process.drive(None, |driver, _| {
                self.stream.borrow_mut().response_body(&mut driver.worker, piece, is_last, clock::now());
            });
        }
    }

    /// Removes our own fields of a map, except for the one that a service may set.
    fn remove_own_fields(&self, map: Map) {
        let Some(fields) = self.filter.fields(map) else { return };
        let is_own = |name: &[u8]| {
            name.starts_with(PREFIX.as_bytes()) && (matches!(map, Map::Request) || name != header::CONTROL.as_bytes())
        };
        let own: Vec<Vec<u8>> = fields.iter().filter(|(name, _)| is_own(name)).map(|(name, _)| name.to_vec()).collect();
        drop(fields);
        own.iter().for_each(|name| self.filter.set_field(map, name, None));
    }

    /// The stream is over.
    pub(crate) fn end(&self) {
        self.filter.end();
        let (Some(process), Some(slot)) = (self.listener.process, self.slot.get()) else { return };
        let calls: Vec<u32> = self.calls.take().iter().map(|call| call.token).collect();
        let waits = self.stream.try_borrow().is_ok_and(|stream| matches!(stream.state, StreamState::Waits));
        if waits || !calls.is_empty() {
            process.leave(slot, &calls);
        } else {
            slot.close();
        }
    }

    /// A hook has panicked: the request goes on without the filter.
    pub(crate) fn give_up(&self) {
        if let (Some(process), Some(slot)) = (self.listener.process, self.slot.get()) {
            let calls: Vec<u32> = self.calls.take().iter().map(|call| call.token).collect();
            process.leave(slot, &calls);
        }
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            stream.state = StreamState::refused();
        }
        if self.is_paused.replace(false) {
            self.filter.resume();
        }
    }
}
