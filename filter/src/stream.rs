//! One request's callbacks: they read its head, carry out what the driver decides, and edit its response.

use crate::{
    host::{self, Map},
    worker_state::{EnvoyHost, WorkerState},
};
use meshcache_protocol::{
    Field,
    wire::{PREFIX, header},
};
use meshcache_proxy::{
    http::{head::RequestHead, header_map::HeaderMap},
    request::arrival::{Arrival, Facts},
    state::{
        listener_config::{ListenerConfig, Side},
        snapshot::Snapshot,
    },
    stream::{ResponseEdit, Stream, StreamState, Time},
};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

/// One request.
pub(crate) struct StreamContext {
    stream: Stream,
    root: u32,
    /// `None`: the configuration is wrong, and every request passes.
    worker: Option<Rc<RefCell<WorkerState>>>,
    listener: Rc<RefCell<ListenerConfig>>,
    identity: Option<Rc<str>>,
}

impl StreamContext {
    pub(crate) fn new(
        id: u32,
        root: u32,
        worker: Option<Rc<RefCell<WorkerState>>>,
        listener: Rc<RefCell<ListenerConfig>>,
        identity: Option<Rc<str>>,
    ) -> Self {
        Self { stream: Stream::new(id), root, worker, listener, identity }
    }

    /// Takes the head of the request. Returns `None` if it goes on.
    fn request_head(&mut self, is_whole: bool) -> Option<Action> {
        let worker = self.worker.clone()?;
        let map = host::header_map(Map::Request)?;
        let head = RequestHead::read(&map)?;
        #[cfg(feature = "trap")]
        crate::trap::trap(&head);
        let listener = self.listener.try_borrow().ok()?;
        let mut state = worker.try_borrow_mut().ok()?;
        let WorkerState { driver, envoy } = &mut *state;
        if head.control.any {
            if driver.worker.snapshot().is_some_and(|snapshot| leads_to_a_coordinator(snapshot)) {
                return None;
            }
            remove_own_headers(Map::Request, &map);
        }
        let facts = EnvoyFacts { identity: self.identity.as_deref() };
        let id = self.stream.id;
        let arrival = Arrival { stream: id, head: &head, has_body: !is_whole };
        let mut host = EnvoyHost::new(self.root, "", envoy);
        driver.request(&mut host, &mut self.stream, &listener, arrival, &facts, host::now());
        if self.waits() && !envoy.pause(id) {
            driver.leave(id);
            self.stream.state = StreamState::refused();
        }
        if driver.has_callouts() {
            envoy.current = id;
            drop((listener, state));
            // A lookup that cannot be sent at all ends in there.
            host::flush(self.root);
            host::act_for(id);
            worker.try_borrow_mut().ok()?.envoy.current = 0;
            self.take_settled();
        }
        matches!(self.stream.state, StreamState::Waits | StreamState::Replied(_)).then_some(Action::Pause)
    }

    /// Takes the head of the response.
    fn response_head(&mut self, is_whole: bool) -> Option<Action> {
        self.take_settled();
        if self.stream.ignores_response() {
            return None;
        }
        let (worker, listener) = (self.worker.clone()?, self.listener.clone());
        let map = OnceCell::new();
        let read_map = || map.get_or_init(|| host::header_map(Map::Response)).as_deref();
        let fields = || Some(HeaderMap::parse(read_map()?)?.collect::<Vec<Field<'_>>>());
        let (edit, has_invalidations) = {
            let listener = listener.try_borrow().ok()?;
            let mut state = worker.try_borrow_mut().ok()?;
            let WorkerState { driver, envoy } = &mut *state;
            let (mut host, worker) = (EnvoyHost::new(self.root, "", envoy), &mut driver.worker);
            let time = || Time { now: host::now(), wall: host::wall() };
            let was_unsafe = self.stream.is_unsafe();
            let edit = self.stream.response_head(worker, &mut host, &listener, &fields, &time);
            if is_whole && self.stream.is_hashed() {
                self.stream.response_body(worker, b"", true, host::now());
            }
            (edit, was_unsafe && !worker.invalidations.is_idle())
        };
        if has_invalidations {
            host::flush(self.root);
            host::act_for(self.stream.id);
        }
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

    /// Takes a piece of the response's body.
    fn response_body(&mut self, piece: &[u8], is_last: bool) {
        if self.stream.is_hashed()
            && let Some(worker) = &self.worker
            && let Ok(mut state) = worker.try_borrow_mut()
        {
            self.stream.response_body(&mut state.driver.worker, piece, is_last, host::now());
        }
    }

    fn waits(&self) -> bool {
        matches!(self.stream.state, StreamState::Waits)
    }

    /// Takes what has become of a stream that waited.
    fn take_settled(&mut self) {
        if self.waits()
            && let Some(worker) = &self.worker
            && let Ok(mut state) = worker.try_borrow_mut()
            && let Some(settled) = state.driver.take_settled(self.stream.id)
        {
            self.stream.state = settled;
        }
    }
}

impl Context for StreamContext {
    fn on_done(&mut self) -> bool {
        if self.waits()
            && let Some(worker) = &self.worker
            && let Ok(mut state) = worker.try_borrow_mut()
        {
            state.driver.leave(self.stream.id);
            state.envoy.unpause(self.stream.id);
        }
        true
    }
}

impl HttpContext for StreamContext {
    fn on_http_request_headers(&mut self, _: usize, is_whole: bool) -> Action {
        self.request_head(is_whole).unwrap_or(Action::Continue)
    }

    fn on_http_response_headers(&mut self, _: usize, is_whole: bool) -> Action {
        self.response_head(is_whole).unwrap_or(Action::Continue)
    }

    fn on_http_response_body(&mut self, _: usize, is_last: bool) -> Action {
        if self.stream.is_hashed() {
            self.response_body(&host::buffer(host::Buffer::ResponseBody), is_last);
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.response_body(b"", true);
        Action::Continue
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

/// Envoy's knowledge of the request.
struct EnvoyFacts<'a> {
    identity: Option<&'a str>,
}

impl Facts for EnvoyFacts<'_> {
    /// One root may serve listeners of both sides: only the request shows which. The second name is that of older
    /// Envoys.
    fn side(&self) -> Side {
        match host::property("xds\0listener_direction").or_else(|| host::property("listener_direction")).as_deref() {
            Some([0 | 2, ..]) => Side::Outbound,
            _ => Side::Inbound,
        }
    }

    fn caller(&self, side: Side) -> Option<String> {
        match side {
            Side::Inbound => host::text_property("connection\0uri_san_peer_certificate"),
            Side::Outbound => self.identity.map(str::to_owned),
        }
    }

    /// jwt_authn leaves its result here where it is configured to, as by Istio.
    fn verified(&self) -> bool {
        host::property("metadata\0filter_metadata\0envoy.filters.http.jwt_authn").is_some_and(|value| !value.is_empty())
    }

    /// Envoy has chosen the route before its first filter. The second name is that of older Envoys.
    fn cluster(&self) -> Option<Vec<u8>> {
        host::property("xds\0cluster_name").or_else(|| host::property("cluster_name")).filter(|name| !name.is_empty())
    }

    fn route(&self) -> Option<Vec<u8>> {
        host::property("xds\0route_name").or_else(|| host::property("route_name"))
    }
}
