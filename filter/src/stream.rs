//! One request's callbacks: they read its head, carry out what the driver decides, and edit its response.

use crate::{
    filling::Filling,
    host::{self, Action, Map},
    root::{Configured, Root},
    worker_state::{EnvoyHost, WorkerState},
};
use meshcache_protocol::{
    Field,
    wire::{PREFIX, header},
};
use meshcache_proxy::{
    driver,
    http::{head::RequestHead, header_map::HeaderMap},
    request::{arrival::Arrival, context::Context},
    state::snapshot::Snapshot,
    stream::{ResponseEdit, Stream, StreamState, Time},
};
use std::{cell::OnceCell, rc::Rc};

/// One request.
pub(crate) struct StreamContext {
    stream: Stream,
    root: Rc<Root>,
    /// The copy of its response, where it fills.
    filling: Option<Filling>,
}

impl StreamContext {
    pub(crate) fn new(id: u32, root: Rc<Root>) -> Self {
        Self { stream: Stream::new(id), root, filling: None }
    }

    /// The context of its root.
    pub(crate) fn root(&self) -> u32 {
        self.root.id()
    }

    /// Takes the head of the request. Returns `None` if it goes on.
    pub(crate) fn request_head(&mut self, map: &[u8], is_whole: bool) -> Option<Action> {
        let configured = self.root.configured()?;
        let Configured { listener, state, worker, other_hosts, repeats, .. } = configured;
        let head = RequestHead::read(map)?;
        #[cfg(feature = "trap")]
        crate::trap::trap(&head);
        if head.control.any {
            if state.snapshot().is_some_and(|snapshot| leads_to_a_coordinator(&snapshot)) {
                return None;
            }
            remove_own_headers(Map::Request, map);
        }
        let facts = configured.facts();
        let id = self.stream.id;
        let arrival = Arrival { stream: id, head: &head, has_body: !is_whole };
        let context = Context { state, thread: 0, now: host::now() };
        let mut borrowed = worker.try_borrow_mut().ok()?;
        let WorkerState { driver, envoy } = &mut *borrowed;
        let mut host = EnvoyHost::new(self.root.id(), "", envoy);
        let decided = driver::decide(context, &mut host, &mut self.stream, listener, arrival, &facts, || &mut *driver);
        if let Some(hit) = decided.filter(|_| is_whole) {
            repeats.borrow_mut().note(map, hit);
        }
        if self.is_done() && matches!(self.stream.state, StreamState::Unnoticed) {
            other_hosts.borrow_mut().note(listener, state, &head);
        }
        if matches!(self.stream.state, StreamState::Waits) && !envoy.pause(id) {
            driver.leave(id);
            self.stream.state = StreamState::refused();
        }
        if driver.has_callouts() {
            envoy.current = id;
            drop(borrowed);
            // A lookup that cannot be sent at all ends in there.
            self.root.flush();
            host::act_for(id);
            worker.try_borrow_mut().ok()?.envoy.current = 0;
            self.take_settled();
        }
        matches!(self.stream.state, StreamState::Waits | StreamState::Replied(_)).then_some(Action::Pause)
    }

    /// Returns whether there is nothing left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.filling.is_none() && self.stream.ignores_response()
    }

    /// Takes the head of the response.
    pub(crate) fn response_head(&mut self, is_whole: bool) -> Option<Action> {
        self.take_settled();
        if self.stream.ignores_response() {
            return None;
        }
        let map = OnceCell::new();
        let read_map = || map.get_or_init(|| host::header_map(Map::Response)).as_deref();
        if let Some(call) = self.stream.take_fill() {
            let filling = Filling::begin(&self.root, self.stream.id, call, read_map());
            self.filling =
                filling.and_then(|it| if is_whole { it.body(&self.root, Vec::new(), true) } else { Some(it) });
        }
        let edit = match self.stream.response_alone() {
            Some(edit) => edit,
            None => {
                let fields = || Some(HeaderMap::parse(read_map()?)?.collect::<Vec<Field<'_>>>());
                self.response_with_worker(is_whole, &fields)?
            }
        };
        match edit {
            ResponseEdit::None => {}
            ResponseEdit::Replaced => return Some(Action::Pause),
            ResponseEdit::Restore(fields) => {
                fields.iter().for_each(|(name, value)| host::set_header(Map::Response, name, value))
            }
            ResponseEdit::Annotate(cache_status) => {
                if let Some(map) = read_map() {
                    remove_own_headers(Map::Response, map);
                }
                if let Some(cache_status) = cache_status {
                    host::add_header(Map::Response, "cache-status", cache_status.as_bytes());
                }
            }
        }
        None
    }

    fn response_with_worker<'f>(
        &mut self,
        is_whole: bool,
        fields: &dyn Fn() -> Option<Vec<Field<'f>>>,
    ) -> Option<ResponseEdit> {
        let Configured { listener, worker, .. } = self.root.configured()?;
        let was_unsafe = self.stream.is_unsafe();
        let (edit, is_idle) = {
            let mut borrowed = worker.try_borrow_mut().ok()?;
            let WorkerState { driver, envoy } = &mut *borrowed;
            let (mut host, worker) = (EnvoyHost::new(self.root.id(), "", envoy), &mut driver.worker);
            let time = || Time { now: host::now(), wall: host::wall() };
            let edit = self.stream.response_head(worker, &mut host, listener, fields, &time);
            if is_whole && self.stream.is_hashed() {
                self.stream.response_body(worker, b"", true, host::now());
            }
            (edit, worker.invalidations.is_idle())
        };
        if was_unsafe && !is_idle {
            self.root.flush();
            host::act_for(self.stream.id);
        }
        Some(edit)
    }

    /// Takes a piece of the response's body.
    pub(crate) fn response_body(&mut self, piece: Vec<u8>, is_last: bool) {
        if let Some(filling) = self.filling.take() {
            self.filling = filling.body(&self.root, piece, is_last);
        } else if self.stream.is_hashed()
            && let Some(Configured { worker, .. }) = self.root.configured()
            && let Ok(mut worker) = worker.try_borrow_mut()
        {
            self.stream.response_body(&mut worker.driver.worker, &piece, is_last, host::now());
        }
    }

    /// Returns whether the body of the response is to be read.
    pub(crate) fn reads_body(&self) -> bool {
        self.filling.is_some() || self.stream.is_hashed()
    }

    /// Ends the request, whose client may have left while it waited.
    pub(crate) fn leave(&mut self) {
        self.take_settled();
        if let Some(filling) = self.filling.take() {
            filling.give_back(&self.root);
        } else if let Some(call) = self.stream.take_fill() {
            self.root.fill(self.stream.id, &call, None);
        }
        if matches!(self.stream.state, StreamState::Waits)
            && let Some(Configured { worker, .. }) = self.root.configured()
            && let Ok(mut worker) = worker.try_borrow_mut()
        {
            worker.driver.leave(self.stream.id);
            worker.envoy.unpause(self.stream.id);
        }
    }

    /// Takes what has become of a stream that waited.
    fn take_settled(&mut self) {
        if matches!(self.stream.state, StreamState::Waits)
            && let Some(Configured { worker, .. }) = self.root.configured()
            && let Ok(mut worker) = worker.try_borrow_mut()
            && let Some(settled) = worker.driver.take_settled(self.stream.id)
        {
            self.stream.state = settled;
        }
    }
}

/// Removes the meshcache-* headers of a map, except for the one that a service may set.
fn remove_own_headers(which: Map, map: &[u8]) {
    for (name, _) in HeaderMap::parse(map).into_iter().flatten() {
        if name.starts_with(PREFIX.as_bytes()) && (matches!(which, Map::Request) || name != header::CONTROL.as_bytes())
        {
            host::remove_header(which, name);
        }
    }
}

/// Returns whether the connection goes to a coordinator: in its own proxy, or in a proxy before it. It needs our
/// headers.
fn leads_to_a_coordinator(snapshot: &Snapshot) -> bool {
    host::text_property("destination\0address")
        .is_some_and(|address| snapshot.ring.peers().iter().any(|peer| peer.data == address || peer.peer == address))
}
