//! Answers that come in parts: nodes and proxies read them while they grow, and go on elsewhere when they lose the node
//! that they read from. What decides whether the rest is of the same version is the real code.

use crate::{
    settings::Port,
    simulation::{
        bodies::{Answer, Body, End, Fields, Growing, Seen, Source, length},
        flights::SERVICE,
        net::{Endpoint, Event, Responder},
        world::{Plan, World, index},
    },
    store::PurgeGuard,
};
use meshcache_protocol::{freshness::Continuation, wire};
use std::{cell::RefCell, collections::VecDeque, rc::Rc};

/// The time from one part to the next at the service, milliseconds.
const PART: u64 = 40;
/// The shortest time in which a reader takes one, milliseconds.
const STEP: u64 = 10;
/// A source that is silent for so long is lost, milliseconds.
const SILENCE: u64 = 500;

/// A client of a node or of a proxy, or a node for all its readers.
struct Reader {
    place: Endpoint,
    /// Of the node.
    incarnation: u64,
    key: usize,
    began: u64,
    /// Milliseconds for a part.
    pace: u64,
    body: Body,
    /// How it goes on, once it has a head with a strong validator.
    continuation: Option<Continuation>,
    /// The nodes to ask, one after another, and whether they answer for the owner. A node asks the service after them.
    peers: VecDeque<(usize, bool)>,
    /// The load of a node that reads from the service.
    load: Option<PurgeGuard>,
}

impl World {
    /// Two clients of proxies and one of a node ask for answers in parts.
    pub(super) fn stream_requests(&mut self, plan: Plan) {
        for is_plain in [false, false, true] {
            let beside = self.dice.below(plan.proxies as u64) as usize;
            let key = plan.keys + self.dice.below(plan.streamed as u64) as usize;
            let peers = if is_plain {
                VecDeque::from([(self.dice.below(plan.peers as u64) as usize, false)])
            } else {
                self.proxy_peers(beside, key)
            };
            let pace = STEP * (1 + self.dice.below(5));
            let (place, began) = (Endpoint::Proxy(beside), self.now);
            let (body, continuation, load) = (Body::default(), None, None);
            self.ask_next(Reader { place, incarnation: 0, key, began, pace, body, continuation, peers, load });
        }
    }

    /// The nodes that a proxy asks: the second one if it loses the first.
    fn proxy_peers(&mut self, at: usize, key: usize) -> VecDeque<(usize, bool)> {
        let (worker, hash) = (&mut self.proxies[at].worker, self.keys[key].hash());
        let Some(known) = worker.snapshot().cloned() else { return VecDeque::new() };
        let first = worker.peers.choose(&known.ring, hash, self.now);
        let second = first.as_ref().and_then(|first| worker.peers.choose_after(&known.ring, hash, first, self.now));
        first.into_iter().chain(second).filter_map(|peer| Some((index(&peer.address)?, peer.hop))).collect()
    }

    /// Asks the next node for the body from where it is, and after the last one the service.
    fn ask_next(&mut self, mut reader: Reader) {
        let first = reader.body.borrow().parts.len() as u64;
        let asked = reader.continuation.as_ref().map_or_else(Fields::new, |had| had.fields(first, None).into());
        match (reader.peers.pop_front(), reader.place) {
            (Some((to, hop)), place) => self.open(place, to, reader.key, hop, asked, move |world, answer| {
                if answer.is_none() {
                    world.record_lost(reader.place, to);
                }
                world.take_answer(reader, answer);
            }),
            (None, Endpoint::Node(at)) => self.ask_service(at, reader, asked),
            (None, Endpoint::Proxy(_)) => self.end_of(reader, End::Cut),
        }
    }

    fn record_lost(&mut self, by: Endpoint, node: usize) {
        if let Endpoint::Node(at) = by {
            let now = self.now;
            self.nodes[at].breakers.entry(node).or_default().record_failure(now);
        }
    }

    /// Asks a node for a body. None: it does not answer, or does not know all purges.
    fn open(
        &mut self,
        from: Endpoint,
        to: usize,
        key: usize,
        hop: bool,
        asked: Fields,
        then: impl FnOnce(&mut World, Option<Answer>) + 'static,
    ) {
        let (port, purge) = match from {
            Endpoint::Node(at) => (Port::Peer, self.nodes[at].cache.consistency.position_text().to_string()),
            Endpoint::Proxy(_) => (Port::Data, String::new()),
        };
        let told = wire::Question { purge, ..wire::Question::default() };
        self.call(
            from,
            to,
            SILENCE,
            move |world, responder: Responder<Option<Answer>>| {
                world.once_current(to, port, told, move |world, is_current| {
                    if !is_current {
                        return responder.send(world, None);
                    }
                    let (body, incarnation) = (world.growing(to, key, hop), world.nodes[to].incarnation);
                    let growing = body.clone();
                    let answer: Event = Box::new(move |world| {
                        responder.send(world, Answer::of(key, &growing, Some((to, incarnation)), &asked));
                    });
                    if body.borrow().version.is_some() {
                        answer(world);
                    } else {
                        body.borrow_mut().waiting.push(answer);
                    }
                });
            },
            move |world, answer| then(world, answer.ok().flatten()),
        );
    }

    /// A node's body of a key: what it has stored, what it reads, or what it reads from now on.
    fn growing(&mut self, at: usize, key: usize, hop: bool) -> Body {
        if let Some((version, _)) = self.stored(at, key) {
            let (parts, end) = (vec![version; length(version) as usize], Some(End::Whole));
            return Rc::new(RefCell::new(Growing { version: Some(version), parts, end, waiting: Vec::new() }));
        }
        if let Some(body) = self.nodes[at].streams.get(&key) {
            return body.clone();
        }
        let (body, began, node) = (Body::default(), self.now, &mut self.nodes[at]);
        node.streams.insert(key, body.clone());
        let ring = node.cache.cluster.ring();
        let order = ring.order(self.keys[key].hash()).into_iter().map(|peer| index(&peer.data));
        let before: Vec<usize> = order.flatten().take_while(|other| *other != at && !hop).take(8).collect();
        let before: Vec<usize> = before.into_iter().filter(|other| node.try_acquire(*other, began)).collect();
        let peers = before.into_iter().take(2).map(|other| (other, true)).collect();
        let load = node.cache.store.begin(self.keys[key].clone(), node.cache.consistency.position());
        let (place, incarnation, continuation, load) = (Endpoint::Node(at), node.incarnation, None, Some(load));
        let reader =
            Reader { place, incarnation, key, began, pace: STEP, body: body.clone(), continuation, peers, load };
        self.ask_next(reader);
        body
    }

    fn ask_service(&mut self, at: usize, reader: Reader, asked: Fields) {
        if reader.continuation.is_none() {
            self.service_keys[reader.key].loads += 1;
        }
        self.after(SERVICE / 2, move |world| {
            let version = world.service_keys[reader.key].version;
            let body = Rc::new(RefCell::new(Growing { version: Some(version), ..Growing::default() }));
            let answer = Answer::of(reader.key, &body, None, &asked).unwrap();
            body.borrow_mut().parts.resize(answer.source.at, version);
            world.grow(body, version);
            world.after(SERVICE / 2, move |world| {
                world.arrive_at(at, move |world| world.take_answer(reader, Some(answer)));
            });
        });
    }

    /// The service sends a part after another.
    fn grow(&mut self, body: Body, version: u64) {
        self.after(PART, move |world| {
            body.borrow_mut().parts.push(version);
            if (body.borrow().parts.len() as u64) < length(version) {
                return world.grow(body, version);
            }
            body.borrow_mut().end = Some(End::Whole);
        });
    }

    fn is_over(&self, reader: &Reader) -> bool {
        matches!(reader.place, Endpoint::Node(at) if self.nodes[at].incarnation != reader.incarnation)
    }

    /// Reads an answer if it is the first one, or the rest of it.
    fn take_answer(&mut self, mut reader: Reader, answer: Option<Answer>) {
        if self.is_over(&reader) {
            return;
        }
        let is_last = matches!(&answer, Some(answer) if answer.source.node.is_none());
        let (had, first) = (reader.body.borrow().version, reader.body.borrow().parts.len() as u64);
        let answer = answer.filter(|answer| {
            let judged = |had: &Continuation| answer.response(|response| had.judge(first, None, response)).is_ok();
            self.breaks.is_any_rest_taken || reader.continuation.as_ref().is_none_or(judged)
        });
        let Some(answer) = answer else {
            return if is_last { self.end_of(reader, End::Cut) } else { self.ask_next(reader) };
        };
        if answer.source.node.is_some() || had.is_some() {
            reader.load = None;
        }
        if had.is_some() {
            self.figures.continued += 1;
        } else {
            let version = answer.source.body.borrow().version.unwrap();
            if matches!(reader.place, Endpoint::Proxy(_)) {
                self.check_question(reader.key, reader.began, version);
            }
            reader.continuation = answer.response(|response| Continuation::of(response, Some(length(version))));
            reader.body.borrow_mut().version = Some(version);
            self.tell_waiting(&reader.body);
        }
        self.read_on(reader, answer.source, 0);
    }

    fn tell_waiting(&mut self, body: &Body) {
        let waiting = std::mem::take(&mut body.borrow_mut().waiting);
        waiting.into_iter().for_each(|run| run(self));
    }

    /// Reads part after part. `silent`: for so many milliseconds nothing has come.
    fn read_on(&mut self, reader: Reader, mut source: Source, silent: u64) {
        let (place, pace) = (reader.place, reader.pace);
        let look = move |world: &mut World| {
            if world.is_over(&reader) {
                return;
            }
            match world.see(&mut source, reader.place) {
                Seen::Part(version) => {
                    reader.body.borrow_mut().parts.push(version);
                    world.read_on(reader, source, 0);
                }
                Seen::End => world.end_of(reader, End::Whole),
                Seen::Nothing if silent < SILENCE => {
                    let silent = silent + reader.pace;
                    world.read_on(reader, source, silent);
                }
                Seen::Nothing | Seen::Lost => world.lost(reader, source.node),
            }
        };
        self.after(pace, move |world| world.arrive(place, look));
    }

    fn see(&mut self, source: &mut Source, reader: Endpoint) -> Seen {
        if let Some((at, incarnation)) = source.node {
            let node = &self.nodes[at];
            if node.incarnation != incarnation {
                return Seen::Lost;
            }
            if node.is_frozen || self.is_cut(reader, Endpoint::Node(at)) {
                return Seen::Nothing;
            }
        }
        if self.dice.below(1000) < self.loss {
            return Seen::Lost;
        }
        let body = source.body.borrow();
        match (body.parts.get(source.at), body.end) {
            (Some(version), _) => {
                source.at += 1;
                Seen::Part(*version)
            }
            (None, Some(End::Whole)) => Seen::End,
            (None, Some(End::Cut)) => Seen::Lost,
            (None, None) => Seen::Nothing,
        }
    }

    /// Goes on elsewhere where the rest can be known to be of the same version. What the service breaks off is cut.
    fn lost(&mut self, reader: Reader, node: Option<(usize, u64)>) {
        if self.breaks.is_cut_taken_for_end {
            return self.end_of(reader, End::Whole);
        }
        match node {
            Some((node, _)) if reader.continuation.is_some() || self.breaks.is_any_rest_taken => {
                self.record_lost(reader.place, node);
                self.ask_next(reader);
            }
            _ => self.end_of(reader, End::Cut),
        }
    }

    fn end_of(&mut self, reader: Reader, end: End) {
        let Reader { place, key, body, load, .. } = reader;
        let (version, parts) = (body.borrow().version, body.borrow().parts.clone());
        body.borrow_mut().end = Some(end);
        self.tell_waiting(&body);
        match (place, version, end) {
            (Endpoint::Node(at), ..) => {
                if self.nodes[at].streams.get(&key).is_some_and(|other| Rc::ptr_eq(other, &body)) {
                    self.nodes[at].streams.remove(&key);
                }
                if let (Some(load), Some(version), End::Whole) = (load, version, end) {
                    self.store(at, key, &load, version);
                }
            }
            (_, Some(version), End::Whole) => {
                self.count("streamed");
                self.figures.mixed += u64::from(parts.iter().any(|of| *of != version));
                self.figures.short += u64::from((parts.len() as u64) < length(version));
            }
            (_, Some(_), End::Cut) => self.count("cut"),
            (_, None, _) => self.count("not streamed"),
        }
    }
}
