//! Proxies: the filter as it is, with one worker each, and clients that ask.

use crate::{
    settings::Port,
    simulation::{
        check::From,
        net::{Back, Place},
        world::{World, index},
    },
};
use bytes::Bytes;
use meshcache_protocol::{Field, feed::FeedRequest, wire};
use meshcache_proxy::{
    feed::{Feed, FeedCallout, Moment},
    http::{
        head::RequestHead,
        header_map,
        peer_response::{PeerFailure, PeerResponse},
    },
    request::{
        arrival::{Arrival, Facts},
        callout,
        exchange::start,
        response::{LookupStep, Lookups},
        step::{Callout, Step},
    },
    state::{
        listener_config::{ListenerConfig, Side},
        pending::PendingCall,
        shared_data::{InProcessData, SharedData},
        snapshot::{self, FeedUpdate},
        worker::Worker,
    },
};
use std::collections::BTreeMap;

/// An answer that is longer has the state in it.
const STATE: usize = 1000;
/// How often a worker ticks.
const TICK: u64 = 250;

pub(super) struct Proxy {
    pub(super) worker: Worker,
    feed: Feed,
    listener: ListenerConfig,
    memory: Alone,
    streams: u32,
    /// Requests that wait: of which key, since when.
    waiting: BTreeMap<u32, (usize, u64)>,
    /// When the feed answered last.
    pub(super) heard: u64,
}

/// A proxy's memory. With one worker nobody else reads the state: ten thousand copies of it are not kept.
#[derive(Default)]
struct Alone(InProcessData);

impl SharedData for Alone {
    fn get(&self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.0.get(name)
    }

    fn set(&mut self, name: &str, value: &[u8], number: u32) -> bool {
        let value = if name.ends_with(".state") { &[] } else { value };
        self.0.set(name, value, number)
    }
}

struct SimulatedFacts;

impl Facts for SimulatedFacts {
    fn side(&self) -> Side {
        Side::Outbound
    }
    fn caller(&self, _: Side) -> Option<String> {
        None
    }
    fn verified(&self) -> bool {
        false
    }

    fn cluster(&self) -> Option<Vec<u8>> {
        Some(b"service".to_vec())
    }

    fn route(&self) -> Option<Vec<u8>> {
        None
    }
}

impl Proxy {
    pub(super) fn new(number: usize) -> Self {
        Self {
            worker: Worker::new(64 << 10),
            feed: Feed::new(1, &format!("proxy-{number}"), "meshcache"),
            listener: ListenerConfig::new(None, None, None),
            memory: Alone::default(),
            streams: 0,
            waiting: BTreeMap::new(),
            heard: 0,
        }
    }
}

/// What becomes of one request, without what it borrows.
enum Done {
    Pass,
    Given(Vec<u8>, bool),
    Ask(Callout),
    Wait,
}

fn done(step: Step<'_>, hot: bool) -> Done {
    match step {
        Step::Pass(_) | Step::Observe(_) => Done::Pass,
        Step::Reply(reply) => Done::Given(reply.body.to_vec(), hot),
        Step::CallOut(ask) => Done::Ask(ask),
        Step::Wait => Done::Wait,
    }
}

/// What a node answers to a question: a verdict, and a body where it has a response.
pub(super) struct Answered {
    pub(super) verdict: String,
    pub(super) body: Vec<u8>,
}

impl World {
    /// The worker ticks for ever.
    pub(super) fn tick(&mut self, at: usize) {
        let moment = self.moment();
        let Proxy { worker, feed, memory, .. } = &mut self.proxies[at];
        let ask = feed.tick(worker, memory, moment);
        worker.hot.expire(moment.now);
        if let Some(ask) = ask {
            self.ask_feed(at, ask);
        }
        self.after(TICK, move |world| world.tick(at));
    }

    fn moment(&mut self) -> Moment {
        Moment { now: self.now, random: self.dice.roll() }
    }

    fn ask_feed(&mut self, at: usize, ask: FeedCallout) {
        // Envoy takes any where none is named.
        let to = match ask.peer.as_deref().and_then(index) {
            Some(to) => to,
            None => self.dice.below(self.nodes.len() as u64) as usize,
        };
        let Ok(question) = serde_json::from_slice::<FeedRequest>(&ask.body) else { return };
        self.call(
            Place::Proxy(at),
            to,
            ask.timeout,
            move |world, back: Back<Option<Bytes>>| world.feed_asked(to, question, back),
            move |world, answer| {
                let (moment, said) =
                    (world.moment(), answer.ok().flatten().map(|body| (body.clone(), world.read(body))));
                let Proxy { worker, feed, memory, heard, .. } = &mut world.proxies[at];
                *heard = said.as_ref().map_or(*heard, |_| moment.now);
                let (_, next) =
                    feed.apply(worker, memory, said.as_ref().map(|(body, said)| (&body[..], said.clone())), moment);
                if let Some(ask) = next {
                    world.ask_feed(at, ask);
                }
            },
        );
    }

    /// Reads what a feed says. Ten thousand proxies are not to read, and have, a ring of a thousand peers each.
    fn read(&mut self, body: Bytes) -> FeedUpdate {
        if body.len() < STATE {
            return snapshot::read(&body);
        }
        if let Some(said) = self.said.get(&body) {
            return said.clone();
        }
        let mut said = snapshot::read(&body);
        if let FeedUpdate::Snapshot { snapshot, .. } = &mut said {
            let same = self.said.values().find_map(|said| match said {
                FeedUpdate::Snapshot { snapshot: other, .. } => (other == snapshot).then(|| other.clone()),
                _ => None,
            });
            *snapshot = same.unwrap_or_else(|| snapshot.clone());
        }
        if self.said.len() >= self.peers.len() {
            self.said.clear();
        }
        self.said.insert(body, said.clone());
        said
    }

    /// A client asks.
    pub(super) fn request(&mut self, at: usize, key: usize) {
        let path = format!("/{key}");
        let all: [Field<'_>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", path.as_bytes())];
        let map = header_map::encode(all.iter().copied());
        let now = self.now;
        let proxy = &mut self.proxies[at];
        let Some(head) = RequestHead::read(&map) else { return };
        proxy.listener.update(proxy.worker.snapshot());
        proxy.streams += 1;
        let stream = proxy.streams;
        proxy.waiting.insert(stream, (key, now));
        let step = start(
            &mut proxy.worker,
            now,
            &proxy.listener,
            Arrival { stream, head: &head, has_body: false },
            &SimulatedFacts,
        );
        let done = done(step, true);
        self.goes_on(at, stream, done);
    }

    fn goes_on(&mut self, at: usize, stream: u32, done: Done) {
        match done {
            Done::Wait => {}
            Done::Ask(ask) => self.ask(at, ask),
            Done::Pass => {
                self.proxies[at].waiting.remove(&stream);
                self.count("passed");
            }
            Done::Given(body, hot) => {
                let Some((key, begun)) = self.proxies[at].waiting.remove(&stream) else { return };
                let (own, version) =
                    std::str::from_utf8(&body).ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
                assert_eq!(own, key.to_string(), "another's answer");
                self.check(at, key, begun, version.parse().unwrap(), if hot { From::Hot } else { From::Coordinator });
                self.count(if hot { "hot" } else { "answered" });
            }
        }
    }

    /// A question goes out.
    fn ask(&mut self, at: usize, ask: Callout) {
        let worker = &self.proxies[at].worker;
        let (Some(question), Some(known)) = (worker.lookups.get(ask.lookup), worker.snapshot()) else { return };
        let Some(headers) = callout::compose(question, known, worker.purge_ack(), None) else { return };
        let fields: Vec<Field<'_>> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let (said, path) = (
            wire::Question::read(&fields).unwrap(),
            headers.iter().find(|(name, _)| *name == ":path").unwrap().1.to_string(),
        );
        let (call, patience, key) = (
            PendingCall::new(ask.lookup, question),
            question.patience(),
            path.trim_start_matches('/').parse().unwrap(),
        );
        // Whom the ring of before names may be gone.
        let (to, asked) = (index(&call.peer.address).unwrap(), self.now);
        // Nobody is starved here: who is silent for that long is given up.
        self.call(
            Place::Proxy(at),
            to,
            patience,
            move |world, back: Back<Answered>| world.asked(to, key, Port::Data, &said, back),
            move |world, answer| {
                if let Some((_, version)) =
                    answer.as_ref().ok().and_then(|answer| std::str::from_utf8(&answer.body).ok()?.split_once(' '))
                {
                    world.check_question(key, asked, version.parse().unwrap());
                }
                world.answered(at, &call, answer.ok());
            },
        );
    }

    fn answered(&mut self, at: usize, call: &PendingCall, answer: Option<Answered>) {
        let now = self.now;
        let answer = answer.ok_or(PeerFailure::Peer).and_then(|Answered { verdict, body }| {
            let length = body.len().to_string();
            let all: [Field<'_>; 3] = [
                (b":status", b"200"),
                (b"content-length", length.as_bytes()),
                (b"meshcache-outcome", verdict.as_bytes()),
            ];
            PeerResponse::read(&header_map::encode(all.into_iter()), body, false)
        });
        let worker = &mut self.proxies[at].worker;
        let mut all = Vec::new();
        match (Lookups { worker, now }).receive(call, answer) {
            LookupStep::Nothing => {}
            LookupStep::CallOut(ask) => all.push((0, Done::Ask(ask))),
            LookupStep::Finish(mut fan_out) => {
                while let Some((stream, step)) = fan_out.next(worker, now) {
                    all.push((stream, done(step, false)));
                }
            }
        }
        for (stream, done) in all {
            self.goes_on(at, stream, done);
        }
    }
}
