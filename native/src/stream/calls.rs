//! A stream's callouts, whose answers become its reply.

use super::StreamContext;
use crate::{
    call::{Answer, Call, RestOf},
    clock,
    envoy::Fields,
    process::Process,
    recorder::{self, Recorder},
    reply,
    rest::{Rest, RestEnd, Version},
    wake::{OutgoingCall, Slot},
};
use meshcache_protocol::Field;
use meshcache_proxy::{
    driver::Driver,
    host::CallError,
    http::{header_map::HeaderMap, peer_response::PeerHead},
    stream::StreamState,
};
use std::rc::Rc;

impl StreamContext {
    pub(super) fn send(&self, process: &Process, slot: &Slot, call: &OutgoingCall) {
        let OutgoingCall { token, map, .. } = call;
        let answer = Answer::new(self.to_head.get(), process.hot.hot.largest());
        let call = Rc::new(Call::new(*token, answer, None));
        if let Err(error) = self.start(process, &call, map) {
            process.refuse_call(*token, error, Some(slot.stream));
        }
    }

    /// Sends a callout. An error: Envoy has refused it, and no hook has ended it.
    fn start(&self, process: &Process, call: &Rc<Call>, map: &[u8]) -> Result<(), CallError> {
        self.calls.borrow_mut().push(call.clone());
        let mut fields = Fields::default();
        fields.extend(HeaderMap::parse(map).into_iter().flatten());
        // No timeout: it would end a long body, too. The driver finds out itself that a peer is silent.
        match self.filter.start_call(&call.id, &process.cluster, &fields, 0) {
            Err(error) if self.take_call(call.id.get()).is_some() => Err(error),
            _ => Ok(()),
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
        if let Some(of) = &mut *call.rest.borrow_mut() {
            of.rest.head(fields);
            return;
        }
        call.answer.borrow_mut().head(fields.clone());
        if is_last {
            return;
        }
        if call.answer.borrow().streams_at_once() {
            *call.version.borrow_mut() = call.answer.borrow().peer_head().and_then(|head| Version::of(head, fields));
            self.begin(process, slot, &call);
        } else {
            slot.note_head(clock::now());
        }
    }

    /// Begins to reply with an answer whose body is late.
    pub(super) fn begin_late(&self, process: &Process, slot: &Slot) {
        let held = |call: &&Rc<Call>| !call.streams.get() && call.answer.borrow().peer_head().is_some();
        let call = self.calls.borrow().iter().find(held).cloned();
        if let Some(call) = call {
            self.begin(process, slot, &call);
        }
    }

    /// Begins to reply with an answer as it comes.
    fn begin(&self, process: &Process, slot: &Slot, call: &Call) {
        let begin = |driver: &mut Driver, host: &mut Recorder<'_>| {
            let head = driver.begin_stream(call.token, call.answer.borrow().peer_head()?, clock::now())?;
            // It waits no longer.
            host.state.slots.remove(&slot.stream);
            Some(head)
        };
        // It waits for it no longer, or for all of it.
        let Some(head) = process.drive(Some(slot.stream), begin).0 else { return };
        self.stream.borrow_mut().state = StreamState::Replied(Vec::new());
        call.streams.set(true);
        self.replies.set(true);
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
        if let Some(of) = &mut *call.rest.borrow_mut() {
            let new = of.rest.piece(piece);
            if !new.is_empty() {
                self.filter.send_data(new, false);
            }
        } else if call.streams.get() {
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
        if let Some(of) = call.rest.take() {
            return self.rest_over(process, &call, of, is_complete);
        }
        let answer = call.answer.take();
        let is_whole = is_complete && (!call.streams.get() || answer.is_whole());
        if call.streams.get() {
            if is_whole {
                self.filter.send_data(b"", true);
            } else if !self.go_on(process, slot, &call, answer.passed()) {
                // Half a body must not look like a whole one.
                self.filter.reset();
            }
        }
        let has_copy = answer.peer_head().is_some();
        let is_forgotten = answer.is_forgotten();
        let response = if is_complete { answer.end() } else { Err(answer.reset()) };
        process.drive(Some(slot.stream), |driver, _| {
            let now = clock::now();
            if is_forgotten || (call.streams.get() && !(is_whole && has_copy)) {
                driver.end_stream(call.token, is_whole, now);
            } else {
                driver.lookup_returned(call.token, response, now);
            }
        });
        self.do_tasks(process);
    }

    /// Asks the next coordinator for the rest of an answer. False: there is none, or no other answer could be known to be
    /// of the same version.
    fn go_on(&self, process: &Process, slot: &Slot, call: &Call, had: usize) -> bool {
        let Some(version) = call.version.take() else { return false };
        let map = process.drive(Some(slot.stream), |driver, _| {
            driver.go_on(call.token, clock::now()).map(|headers| recorder::encode(&headers))
        });
        let Some(map) = map.0 else { return false };
        self.ask_for_rest(process, call.token, Box::new(RestOf { rest: Rest::new(version, had), map }))
    }

    fn ask_for_rest(&self, process: &Process, token: u32, of: Box<RestOf>) -> bool {
        let map = of.map.clone();
        // The driver's lookup is over: nobody else gets this answer.
        let call = Rc::new(Call::new(token, Answer::new(false, 0), Some(of)));
        self.start(process, &call, &map).is_ok()
    }

    fn rest_over(&self, process: &Process, call: &Call, mut of: Box<RestOf>, is_complete: bool) {
        match of.rest.end(is_complete) {
            RestEnd::Whole => self.filter.send_data(b"", true),
            RestEnd::AskAgain if self.ask_for_rest(process, call.token, of) => {}
            // Half a body must not look like a whole one.
            RestEnd::AskAgain | RestEnd::Cut => self.filter.reset(),
        }
    }
}
