//! One request's hooks: they read its head, carry out what the driver decides, and edit its response.

mod calls;

use crate::{
    abi::{Body, CONTINUE, Map, STOP},
    call::Call,
    clock,
    envoy::{Filter, Kept},
    facts::{self, EnvoyFacts},
    listener::Listener,
    panics,
    process::{self, Process},
    recorder::{DirectHost, Tasks},
    reply::{OwnedReply, Parts},
    wake::{Slot, Task},
};
use meshcache_protocol::{
    Field,
    wire::{PREFIX, header},
};
use meshcache_proxy::{
    driver,
    http::head::RequestHead,
    request::{
        arrival::{Arrival, Facts},
        context::Context,
        repeats::Repeatable,
    },
    state::shared_data::InProcessData,
    stream::{ResponseEdit, Stream, StreamState, Time},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};

/// One request.
pub(crate) struct StreamContext {
    pub(crate) filter: Filter,
    listener: Kept<Listener>,
    stream: RefCell<Stream>,
    to_head: Cell<bool>,
    /// It has begun to reply. In Envoy 1.38 our own replies come through the hooks of the response, from within the
    /// functions that send them.
    pub(super) replies: Cell<bool>,
    /// Its request is stopped: it goes on by a call of Envoy, not by the result of the hook.
    is_paused: Cell<bool>,
    /// Where its tasks arrive. Only a request that has waited has one.
    slot: OnceCell<Arc<Slot>>,
    calls: RefCell<Vec<Rc<Call>>>,
}

impl StreamContext {
    pub(crate) fn new(filter: Filter, listener: Kept<Listener>) -> Self {
        Self {
            filter,
            listener,
            stream: RefCell::new(Stream::new(0)),
            to_head: Cell::new(false),
            replies: Cell::new(false),
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
        let context = Context { state: &process.hot, thread: process::thread(), now: clock::now() };
        let facts = EnvoyFacts::new(&self.filter, self.listener.identity.as_deref(), self.listener.side);
        if let Some(recent) = self.listener.recent.of_thread() {
            if recent.other_hosts.pass_fields(&process.hot, context.thread, fields.iter()) {
                return None;
            }
            let repeated = is_whole.then(|| recent.answer(context, &fields, &facts)).flatten();
            drop(recent);
            if let Some(repeated) = repeated {
                self.stream.borrow_mut().state = StreamState::Replied(Vec::new());
                self.replies.set(true);
                Parts::of(&repeated.reply()).send(&self.filter, false);
                return Some(());
            }
        }
        let head = RequestHead::of(fields.iter());
        #[cfg(feature = "trap")]
        panics::trap(&head);
        self.to_head.set(head.method() == b"HEAD");
        if head.control.any && self.leads_to_a_coordinator() {
            return None;
        }
        let id = process::next_stream();
        let arrival = Arrival { stream: id, head: &head, has_body: !is_whole };
        let mut host = DirectHost {
            filter: &self.filter,
            to_head: self.to_head.get(),
            replies: &self.replies,
            may_repeat: Some(&fields).filter(|_| is_whole && head.method() == b"GET"),
            map: None,
            none: InProcessData::default(),
        };
        let mut locked = None;
        let mut stream = self.stream.borrow_mut();
        stream.id = id;
        let hit = driver::decide(context, &mut host, &mut stream, &self.listener.config, arrival, &facts, || {
            // Asked for before the lock is taken: under it Envoy is not called.
            facts.verified();
            &mut locked.insert(process.lock()).driver
        });
        self.note_decision(process, &stream, &head, host.map.zip(hit));
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

    /// Notes what was decided, where it holds for requests like this one. A `hit` with the header map of its request is
    /// noted without its head, which may be gone.
    fn note_decision(
        &self,
        process: &Process,
        stream: &Stream,
        head: &RequestHead<'_>,
        hit: Option<(Vec<u8>, Repeatable)>,
    ) {
        let passes = matches!(stream.state, StreamState::Unnoticed) && stream.ignores_response();
        if !passes && hit.is_none() {
            return;
        }
        let Some(mut recent) = self.listener.recent.of_thread() else { return };
        match hit {
            Some((map, hit)) => recent.note(&map, hit),
            None => recent.other_hosts.note(&self.listener.config, &process.hot, head),
        }
    }

    fn leads_to_a_coordinator(&self) -> bool {
        let snapshot = self.listener.process.and_then(|process| process.hot.snapshot());
        snapshot.is_some_and(|snapshot| facts::leads_to_a_coordinator(&self.filter, &snapshot))
    }

    fn give(&self, reply: &OwnedReply) {
        self.replies.set(true);
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

    /// Takes the head of the service's response. Returns the hook's result.
    pub(crate) fn response_head(&self, is_whole: bool) -> u32 {
        if self.replies.get() || self.stream.borrow().ignores_response() {
            return CONTINUE;
        }
        let alone = self.stream.borrow_mut().response_alone();
        let (edit, reply) = match alone {
            Some(edit) => (edit, None),
            None => match self.response_with_driver(is_whole) {
                Some(edited) => edited,
                None => return CONTINUE,
            },
        };
        match edit {
            ResponseEdit::Replaced => {
                if let Some(reply) = reply {
                    self.replies.set(true);
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

    /// Takes the head of the service's response, where that needs the driver.
    fn response_with_driver(&self, is_whole: bool) -> Option<(ResponseEdit, Option<OwnedReply>)> {
        let process = self.listener.process?;
        let map = self.filter.fields(Map::Response)?;
        let fields = || Some(map.iter().collect::<Vec<Field<'_>>>());
        let time = || Time { now: clock::now(), wall: clock::wall() };
        let id = self.stream.borrow().id;
        let (edit, tasks) = process.drive(Some(id), |driver, host| {
            let mut stream = self.stream.borrow_mut();
            let edit = stream.response_head(&mut driver.worker, host, &self.listener.config, &fields, &time);
            if is_whole && stream.is_hashed() {
                stream.response_body(&mut driver.worker, b"", true, clock::now());
            }
            edit
        });
        Some((edit, tasks.reply))
    }

    /// Takes a piece of the service's response.
    pub(crate) fn response_body(&self, is_last: bool) {
        if self.replies.get() || !self.stream.borrow().is_hashed() {
            return;
        }
        let mut pieces = Vec::new();
        self.filter.each_chunk(Body::ReceivedResponse, |chunk| pieces.extend_from_slice(chunk));
        self.observe(&pieces, is_last);
    }

    pub(crate) fn response_trailers(&self) {
        if !self.replies.get() && self.stream.borrow().is_hashed() {
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

    /// A hook has panicked: the request goes on without the filter, unless its reply has begun.
    pub(crate) fn give_up(&self) {
        if let (Some(process), Some(slot)) = (self.listener.process, self.slot.get()) {
            let calls: Vec<u32> = self.calls.take().iter().map(|call| call.token).collect();
            process.leave(slot, &calls);
        }
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            stream.state = StreamState::refused();
        }
        if self.is_paused.replace(false) {
            if self.replies.get() {
                // Half a reply must not look like a whole one.
                self.filter.reset();
            } else {
                self.filter.resume();
            }
        }
    }
}
