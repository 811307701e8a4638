//! One request's callbacks: reads its head, acts on the first step, and mends its response.

use crate::{
    host::{self, Level, Map},
    local::Local,
    root, trap,
};
use meshcache_protocol::{
    Response,
    wire::{PREFIX, header},
};
use meshcache_proxy::{
    http::{head::Head, header_map::Pairs},
    request::{
        exchange::{Arrival, Exchange, Facts, Step},
        invalidation,
        observe::{Watch, Watched},
        stale_fallback::Spare,
    },
    state::{
        counters::{Event, Reason},
        listener_config::{Side, Site},
    },
};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use std::{cell::RefCell, rc::Rc};

/// Where a stream stands.
pub(crate) enum State {
    /// None of ours: its response is left alone.
    Foreign,
    /// It goes its ordinary way; what Cache-Status says of it, and what is given if the service fails.
    Passes(Option<String>, Option<Box<Spare>>),
    /// The same, and its response is looked at: its group only observes.
    Watches(Box<Watch>),
    /// The response's body is looked at as it goes by.
    Hashes(Box<Watched>),
    /// It waits for an answer.
    Waits,
    /// We replied; fields that Envoy took from the reply.
    Replied(Vec<(&'static str, Vec<u8>)>),
}

/// One request.
pub(crate) struct Stream {
    id: u32,
    root: u32,
    local: Option<Rc<RefCell<Local>>>,
    site: Rc<RefCell<Site>>,
    identity: Option<Rc<str>>,
    state: State,
    /// The header map of a request that may change what is stored.
    changes: Option<Vec<u8>>,
}

impl Stream {
    pub(crate) fn new(
        id: u32,
        root: u32,
        local: Option<Rc<RefCell<Local>>>,
        site: Rc<RefCell<Site>>,
        identity: Option<Rc<str>>,
    ) -> Self {
        Self { id, root, local, site, identity, state: State::Foreign, changes: None }
    }

    fn arrives(&mut self, whole: bool) -> Option<Action> {
        let shared = self.local.clone()?;
        let map = host::header_map(Map::Request)?;
        let head = Head::read(&map)?;
        #[cfg(feature = "trap")]
        trap::trap(&head);
        let mut site = self.site.try_borrow_mut().ok()?;
        let mut local = shared.try_borrow_mut().ok()?;
        site.learn(local.worker.known());
        if head.control.any {
            if leads_to_a_coordinator(&site) {
                return None;
            }
            remove_ours(Map::Request, &map);
        }
        let facts = ProxyFacts { identity: self.identity.as_deref() };
        let exchange = Exchange { worker: &mut local.worker, now: host::now() };
        let believed = !site.is_refuted();
        let step = exchange.start(&site, Arrival { stream: self.id, map: &map, head: &head, whole }, &facts);
        if believed && site.is_refuted() {
            host::log(
                Level::Critical,
                "the filter's configuration names a `side` that is not this listener's traffic_direction: every request passes",
            );
        }
        match step {
            Step::Pass(pass) => {
                // Without a note: of a group that only observes.
                let changes = (pass.note.is_some() || pass.reason == Reason::Method) && invalidation::matters(&head);
                drop(head);
                self.changes = changes.then_some(map);
                self.state = pass.note.map_or(State::Foreign, |note| State::Passes(Some(note), pass.spare));
                return None;
            }
            Step::Watch(watch) => {
                self.state = State::Watches(watch);
                let idle = local.worker.samples.is_idle();
                drop((site, local));
                if !idle {
                    root::send(self.root);
                    host::act_for(self.id);
                }
                return None;
            }
            Step::Reply(mut reply) => {
                self.state = State::Replied(std::mem::take(&mut reply.restore));
                return host::reply(&reply).then_some(Action::Pause);
            }
            Step::Wait => {}
            Step::Ask(ask) => local.outbox.push(ask),
        }
        self.state = State::Waits;
        match trap::paused(self.id) {
            Some(place) => local.paused.insert(self.id, place),
            None => {
                local.worker.questions.leave(self.id);
                self.state = State::Passes(None, None);
                None
            }
        };
        if local.outbox.is_empty() {
            return matches!(self.state, State::Waits).then_some(Action::Pause);
        }
        local.current = self.id;
        drop((site, local));
        // What cannot be asked at all is decided in there.
        root::send(self.root);
        host::act_for(self.id);
        let mut local = shared.try_borrow_mut().ok()?;
        local.current = 0;
        if let Some(state) = local.fates.remove(&self.id) {
            self.state = state;
        }
        matches!(self.state, State::Waits | State::Replied(_)).then_some(Action::Pause)
    }

    /// The response of the service is there: what the request has made invalid is forgotten, and peers are told while
    /// the client has it.
    fn changed(&mut self, response: &[u8]) -> Option<()> {
        let request = self.changes.take()?;
        let fields: Vec<_> = Pairs::of(response)?.collect();
        let status = status(&fields)?;
        let shared = self.local.clone()?;
        let idle = {
            let site = self.site.try_borrow().ok()?;
            let mut local = shared.try_borrow_mut().ok()?;
            let mut exchange = Exchange { worker: &mut local.worker, now: host::now() };
            exchange.answered_by_service(&site, &request, &Response { status, fields: &fields });
            local.worker.invalidations.is_idle()
        };
        if !idle {
            root::send(self.root);
            host::act_for(self.id);
        }
        Some(())
    }

    /// Gives what a request took along, if its service has failed. Whether it did.
    fn stands_in(&self, mut spare: Spare) -> bool {
        let Some(map) = host::header_map(Map::Response) else { return false };
        let fields: Vec<_> = Pairs::of(&map).into_iter().flatten().collect();
        let Some(status) = status(&fields) else { return false };
        let Some(Ok(mut local)) = self.local.as_ref().map(|local| local.try_borrow_mut()) else { return false };
        let Some(reply) = spare.reply(status, &local.worker, host::now()) else { return false };
        local.worker.counts.event(Event::StandIn);
        drop(local);
        host::reply(&reply)
    }

    /// The head of a response that is looked at. Whether its body is, too.
    fn watched(&mut self, watch: Watch) -> Option<Watched> {
        let map = host::header_map(Map::Response)?;
        let fields: Vec<_> = Pairs::of(&map)?.collect();
        let response = Response { status: status(&fields)?, fields: &fields };
        let shared = self.local.clone()?;
        let mut local = shared.try_borrow_mut().ok()?;
        Exchange { worker: &mut local.worker, now: host::now() }.watched(watch, &response, host::wall())
    }

    /// A piece of its body, perhaps the last.
    fn hashes(&mut self, last: bool, piece: &[u8]) {
        if !matches!(self.state, State::Hashes(_)) {
            return;
        }
        let State::Hashes(watched) = std::mem::replace(&mut self.state, State::Foreign) else { return };
        let Some(watched) = watched.piece(piece) else { return };
        if !last {
            self.state = State::Hashes(Box::new(watched));
        } else if let Some(local) = &self.local
            && let Ok(mut local) = local.try_borrow_mut()
        {
            Exchange { worker: &mut local.worker, now: host::now() }.passed(watched);
        }
    }

    /// A stream that waited learns what became of it.
    fn learn(&mut self) {
        if let (State::Waits, Some(local)) = (&self.state, &self.local)
            && let Ok(mut local) = local.try_borrow_mut()
            && let Some(state) = local.fates.remove(&self.id)
        {
            self.state = state;
        }
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        if let (State::Waits, Some(local)) = (&self.state, &self.local)
            && let Ok(mut local) = local.try_borrow_mut()
        {
            local.worker.questions.leave(self.id);
            local.fates.remove(&self.id);
            if let Some(place) = local.paused.remove(&self.id) {
                trap::resumed(place);
            }
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, whole: bool) -> Action {
        self.arrives(whole).unwrap_or(Action::Continue)
    }

    fn on_http_response_headers(&mut self, _: usize, whole: bool) -> Action {
        self.learn();
        match std::mem::replace(&mut self.state, State::Foreign) {
            State::Foreign | State::Waits | State::Hashes(_) => {
                if let Some(map) = self.changes.as_ref().and_then(|_| host::header_map(Map::Response)) {
                    self.changed(&map);
                }
            }
            State::Watches(watch) => {
                if let Some(watched) = self.watched(*watch) {
                    self.state = State::Hashes(Box::new(watched));
                    if whole {
                        self.hashes(true, b"");
                    }
                }
            }
            State::Replied(restore) => {
                restore.iter().for_each(|(name, value)| host::set_header(Map::Response, name, value))
            }
            State::Passes(note, spare) => {
                if spare.is_some_and(|spare| self.stands_in(*spare)) {
                    return Action::Pause;
                }
                if let Some(map) = host::header_map(Map::Response) {
                    remove_ours(Map::Response, &map);
                    self.changed(&map);
                }
                if let Some(note) = note {
                    host::add_header(Map::Response, "cache-status", note.as_bytes());
                }
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, last: bool) -> Action {
        if matches!(self.state, State::Hashes(_)) {
            self.hashes(last, &host::buffer(host::Buffer::ResponseBody));
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.hashes(true, b"");
        Action::Continue
    }
}

fn status(fields: &[meshcache_protocol::Field<'_>]) -> Option<u16> {
    fields
        .iter()
        .find(|(name, _)| *name == b":status")
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
}

/// Removes the meshcache-* headers of a map, but for the one that a service may say.
fn remove_ours(which: Map, map: &[u8]) {
    for (name, _) in Pairs::of(map).into_iter().flatten() {
        if name.starts_with(PREFIX.as_bytes()) && (matches!(which, Map::Request) || name != header::CONTROL.as_bytes())
        {
            host::remove_header(which, name);
        }
    }
}

/// Whether the connection goes to a coordinator: this is its own proxy, or a proxy before it, and our headers are its
/// business.
fn leads_to_a_coordinator(site: &Site) -> bool {
    let (Some(known), Some(address)) = (site.known(), host::text_property("destination\0address")) else {
        return false;
    };
    known.ring.peers().iter().any(|peer| peer.data == address || peer.peer == address)
}

/// What Envoy knows of the request.
struct ProxyFacts<'a> {
    identity: Option<&'a str>,
}

impl Facts for ProxyFacts<'_> {
    /// One root may serve listeners of both sides: only the request tells. The second name is that of older Envoys.
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

    /// What jwt_authn leaves behind where it is told to, as Istio tells it.
    fn verified(&self) -> bool {
        host::property("metadata\0filter_metadata\0envoy.filters.http.jwt_authn").is_some_and(|value| !value.is_empty())
    }

    /// Envoy has chosen the route before its first filter. The second name is that of older ones.
    fn cluster(&self) -> Option<Vec<u8>> {
        host::property("xds\0cluster_name").or_else(|| host::property("cluster_name")).filter(|name| !name.is_empty())
    }

    fn route(&self) -> Option<Vec<u8>> {
        host::property("xds\0route_name").or_else(|| host::property("route_name"))
    }
}
