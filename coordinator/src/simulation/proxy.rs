//! Proxies: the real filter with one worker each, and their clients.

use crate::{
    settings::Port,
    simulation::{
        check::AnswerSource,
        net::{Endpoint, Responder},
        questions::Asked,
        world::{World, index},
    },
};
use bytes::Bytes;
use meshcache_protocol::{Field, Reason, feed::FeedRequest, wire};
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
        context::Context,
        exchange::start,
        hot_reply::HotReply,
        reply::Reply,
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

/// A feed response that is longer contains the state, bytes.
const MIN_STATE: usize = 1000;
/// The time between two ticks of a worker, milliseconds.
const TICK: u64 = 250;

pub(super) struct Proxy {
    pub(super) worker: Worker,
    feed: Feed,
    listener: ListenerConfig,
    memory: SingleWorkerData,
    streams: u32,
    /// The requests that wait: their keys and times.
    waiting: BTreeMap<u32, (usize, u64)>,
    /// When the feed answered last.
    pub(super) heard: u64,
}

/// The shared data of a proxy with one worker. No other worker reads the state, so ten thousand copies of it are not
/// kept.
#[derive(Default)]
struct SingleWorkerData(InProcessData);

impl SharedData for SingleWorkerData {
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
            memory: SingleWorkerData::default(),
            streams: 0,
            waiting: BTreeMap::new(),
            heard: 0,
        }
    }
}

/// The next step of a request, without borrowed data.
enum StepOutcome {
    Pass(Reason),
    Given(Vec<u8>, bool),
    Ask(Callout),
    Wait,
}

fn of_hot(reply: &HotReply) -> StepOutcome {
    StepOutcome::Given(reply.reply().body.to_vec(), true)
}

fn of_peer(reply: &Reply<'_>) -> StepOutcome {
    StepOutcome::Given(reply.body.to_vec(), false)
}

fn done<R>(step: Step<R>, given: fn(&R) -> StepOutcome) -> StepOutcome {
    match step {
        Step::Pass(pass) => StepOutcome::Pass(pass.reason),
        Step::Observe(_) => StepOutcome::Pass(Reason::Observe),
        Step::Reply(reply) => given(&reply),
        Step::CallOut(ask) => StepOutcome::Ask(ask),
        Step::Wait => StepOutcome::Wait,
    }
}

/// A node's answer to a question: a verdict, and a body where it has a response.
pub(super) struct QuestionResponse {
    pub(super) verdict: String,
    pub(super) body: Vec<u8>,
}

impl World {
    /// Runs the worker's tick, and schedules the next.
    pub(super) fn tick(&mut self, at: usize) {
        let moment = self.moment();
        let Proxy { worker, feed, memory, .. } = &mut self.proxies[at];
        let ask = feed.tick(worker, memory, moment);
        worker.state.hot.expire(moment.now);
        if let Some(ask) = ask {
            self.ask_feed(at, ask);
        }
        self.after(TICK, move |world| world.tick(at));
    }

    fn moment(&mut self) -> Moment {
        Moment { now: self.now, random: self.dice.roll() }
    }

    fn ask_feed(&mut self, at: usize, ask: FeedCallout) {
        // Envoy chooses a node where none is named.
        let to = match ask.peer.as_deref().and_then(index) {
            Some(to) => to,
            None => self.dice.below(self.nodes.len() as u64) as usize,
        };
        let Ok(question) = serde_json::from_slice::<FeedRequest>(&ask.body) else { return };
        self.call(
            Endpoint::Proxy(at),
            to,
            ask.timeout,
            move |world, responder: Responder<Option<Bytes>>| world.feed_asked(to, question, responder),
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

    /// Reads a feed response, once for all proxies: ten thousand are not to read, and keep, a ring of a thousand peers
    /// each.
    fn read(&mut self, body: Bytes) -> FeedUpdate {
        if body.len() < MIN_STATE {
            return snapshot::read(&body);
        }
        if let Some(said) = self.feed_updates.get(&body) {
            return said.clone();
        }
        let mut said = snapshot::read(&body);
        if let FeedUpdate::Snapshot { snapshot, .. } = &mut said {
            let same = self.feed_updates.values().find_map(|said| match said {
                FeedUpdate::Snapshot { snapshot: other, .. } => (other == snapshot).then(|| other.clone()),
                _ => None,
            });
            *snapshot = same.unwrap_or_else(|| snapshot.clone());
        }
        if self.feed_updates.len() >= self.peers.len() {
            self.feed_updates.clear();
        }
        self.feed_updates.insert(body, said.clone());
        said
    }

    /// Starts a client's request.
    pub(super) fn request(&mut self, at: usize, key: usize) {
        let path = format!("/{key}");
        let all: [Field<'_>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", path.as_bytes())];
        let map = header_map::encode(all.iter().copied());
        let now = self.now;
        let proxy = &mut self.proxies[at];
        let Some(head) = RequestHead::read(&map) else { return };
        proxy.streams += 1;
        let stream = proxy.streams;
        proxy.waiting.insert(stream, (key, now));
        let state = proxy.worker.state.clone();
        let context = Context { state: &state, thread: 0, now };
        let listener = proxy.listener.current(&state);
        let arrival = Arrival { stream, head: &head, has_body: false };
        let done = done(start(context, &listener, arrival, &SimulatedFacts, || &mut proxy.worker), of_hot);
        self.proceed(at, stream, done);
    }

    fn proceed(&mut self, at: usize, stream: u32, done: StepOutcome) {
        match done {
            StepOutcome::Wait => {}
            StepOutcome::Ask(ask) => self.ask(at, ask),
            StepOutcome::Pass(Reason::Leave) => {
                let Some((key, _)) = self.proxies[at].waiting.remove(&stream) else { return };
                self.service_keys[key].leaves += 1;
            }
            StepOutcome::Pass(_) => {
                self.proxies[at].waiting.remove(&stream);
                self.count("passed");
            }
            StepOutcome::Given(body, hot) => {
                let Some((key, begun)) = self.proxies[at].waiting.remove(&stream) else { return };
                let (own, version) =
                    std::str::from_utf8(&body).ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
                assert_eq!(own, key.to_string(), "another's answer");
                self.check(
                    at,
                    key,
                    begun,
                    version.parse().unwrap(),
                    if hot { AnswerSource::Hot } else { AnswerSource::Coordinator },
                );
                self.count(if hot { "hot" } else { "answered" });
            }
        }
    }

    /// Sends a question.
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
        // A node of an earlier ring may be gone.
        let (to, asked) = (index(&call.peer.address).unwrap(), self.now);
        // No process is starved here: the patience is a plain timeout.
        self.call(
            Endpoint::Proxy(at),
            to,
            patience,
            move |world, responder: Responder<QuestionResponse>| {
                world.receive_question(to, key, Port::Data, &Asked::Question(said), responder)
            },
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

    fn answered(&mut self, at: usize, call: &PendingCall, answer: Option<QuestionResponse>) {
        let now = self.now;
        let answer = answer.ok_or(PeerFailure::Peer).and_then(|QuestionResponse { verdict, body }| {
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
            LookupStep::CallOut(ask) => all.push((0, StepOutcome::Ask(ask))),
            LookupStep::Leave(mut fan_out, again) => {
                while let Some((stream, step)) = fan_out.next(worker, now) {
                    all.push((stream, done(step, |reply| of_peer(reply))));
                }
                all.extend(again.map(|ask| (0, StepOutcome::Ask(ask))));
            }
            LookupStep::Finish(mut fan_out) => {
                while let Some((stream, step)) = fan_out.next(worker, now) {
                    all.push((stream, done(step, |reply| of_peer(reply))));
                }
            }
        }
        for (stream, done) in all {
            self.proceed(at, stream, done);
        }
    }
}
