//! Requests through one proxy's worker, step by step.

mod callouts;
mod fill;
mod hot;
mod leave;
mod listeners;
mod passing;
mod peers;
mod repeats;
mod sharing;
mod soup;
mod validation;

use super::*;
use crate::{
    http::{
        head::RequestHead,
        header_map,
        peer_response::{PeerFailure, PeerResponse},
    },
    request::{
        callout,
        fan_out::FanOut,
        repeats::Repeats,
        reply::Reply,
        response::{LookupStep, Lookups},
        sample,
        step::Callout,
    },
    state::{
        attention::CHECK_PERIOD, listener_config::ListenerConfig, peers::ChosenPeer, pending::PendingCall,
        snapshot::Snapshot,
    },
};
use meshcache_protocol::{
    Field, Groups, Peer, Ring,
    feed::News,
    mark::MarkedPosition,
    purge::{Position, Purge},
    wire,
};
use std::cell::Cell;

/// One proxy's worker with a listener, and the facts of its requests.
struct Proxy {
    worker: Worker,
    listener: ListenerConfig,
    side: Side,
    caller: Option<&'static str>,
    verified: bool,
    /// How often the host was asked for that.
    asked_for_token: Cell<u32>,
    cluster: Option<&'static str>,
    now: u64,
    streams: u32,
    /// The calls that were sent.
    tokens: u32,
    last: Option<PendingCall>,
    repeats: Repeats,
}

/// A step that borrows nothing.
#[derive(Clone, Debug, PartialEq)]
enum Happened {
    Pass(Reason),
    Reply(u16, Vec<u8>, String),
    CallOut(Callout),
    Wait,
}

/// The facts of a request.
struct TestFacts<'a> {
    side: Side,
    caller: Option<&'static str>,
    verified: bool,
    asked_for_token: &'a Cell<u32>,
    cluster: Option<&'static str>,
}

impl Facts for TestFacts<'_> {
    fn side(&self) -> Side {
        self.side
    }
    fn caller(&self, _: Side) -> Option<String> {
        self.caller.map(str::to_owned)
    }
    fn verified(&self) -> bool {
        self.asked_for_token.update(|n| n + 1);
        self.verified
    }
    fn cluster(&self) -> Option<Vec<u8>> {
        self.cluster.map(Into::into)
    }
    fn route(&self) -> Option<Vec<u8>> {
        Some(b"a route".to_vec())
    }
}

fn fields_of(map: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    header_map::HeaderMap::parse(map).unwrap().map(|(name, value)| (text(name), text(value))).collect()
}

fn happened(step: Step<Reply<'_>>) -> Happened {
    match step {
        Step::Pass(pass) => Happened::Pass(pass.reason),
        Step::Observe(_) => Happened::Pass(Reason::Observe),
        Step::Reply(reply) => {
            let said = fields_of(&reply.map)
                .into_iter()
                .filter(|(name, _)| name == "cache-status")
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
                .join(", ");
            Happened::Reply(reply.status, reply.body.to_vec(), said)
        }
        Step::CallOut(callout) => Happened::CallOut(callout),
        Step::Wait => Happened::Wait,
    }
}

fn response_map(outcome: &str) -> Vec<u8> {
    header_map::encode([(&b":status"[..], &b"200"[..]), (b"meshcache-outcome", outcome.as_bytes())].into_iter())
}

fn snapshot(group: &str) -> Snapshot {
    let mut config = serde_json::json!({"name": "g", "match": {"hosts": ["h"], "exclude": [{"prefix": "/none"}]}, "origin": {"url": "http://o"}});
    let over: serde_json::Value = serde_json::from_str(group).unwrap();
    over.as_object().unwrap().iter().for_each(|(name, value)| config[name] = value.clone());
    let config = serde_json::json!({"version": 1, "debuggers": ["spiffe://d/ns/n/sa/dev"], "groups": [config]});
    let peers =
        ["a", "b", "c"].map(|name| Peer { name: name.into(), data: format!("{name}:1"), peer: format!("{name}:2") });
    Snapshot {
        version: "v".into(),
        installation: "meshcache".into(),
        groups: Groups::new(serde_json::from_value(config).unwrap()).unwrap(),
        ring: Ring::new(peers.to_vec()),
    }
}

impl Proxy {
    fn new(group: &str) -> Self {
        let mut worker = Worker::new(1 << 20);
        worker.install(snapshot(group));
        worker.apply_news(News { position: Position::parse("p.0:1").unwrap(), ..News::default() });
        worker.note_contact(0);
        let listener = ListenerConfig::new(None, Some(Side::Outbound), Some("ns".into()));
        Self {
            worker,
            listener,
            side: Side::Outbound,
            caller: None,
            verified: false,
            asked_for_token: Cell::default(),
            cluster: Some("service"),
            now: 0,
            streams: 0,
            tokens: 0,
            last: None,
            repeats: Repeats::default(),
        }
    }

    fn request(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Happened {
        self.request_with(method, target, fields, false)
    }

    fn request_with(&mut self, method: &str, target: &str, fields: &[(&str, &str)], has_body: bool) -> Happened {
        self.of_fields(&Self::fields(method, target, fields), has_body)
    }

    fn of_fields(&mut self, fields: &[Field<'_>], has_body: bool) -> Happened {
        // A reply without reading the request is the one that reading it brings, whatever the test is about.
        let asked = self.asked_for_token.get();
        let repeated = if has_body { None } else { self.repeat(fields) };
        self.asked_for_token.set(asked);
        let happened = self.read(fields, has_body);
        if let Some(repeated) = repeated {
            assert_eq!(repeated, happened);
        }
        happened
    }

    fn step(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Step<HotReply> {
        self.start(&Self::fields(method, target, fields), false)
    }

    fn fields<'f>(method: &'f str, target: &'f str, fields: &[(&'f str, &'f str)]) -> Vec<Field<'f>> {
        let pseudo = [(":method", method), (":scheme", "http"), (":authority", "h"), (":path", target)];
        pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    fn start(&mut self, fields: &[Field<'_>], has_body: bool) -> Step<HotReply> {
        let map = header_map::encode(fields.iter().copied());
        let head = RequestHead::read(&map).unwrap();
        self.streams += 1;
        let arrival = Arrival { stream: self.streams, head: &head, has_body };
        let facts = TestFacts {
            side: self.side,
            caller: self.caller,
            verified: self.verified,
            asked_for_token: &self.asked_for_token,
            cluster: self.cluster,
        };
        let state = self.worker.state.clone();
        let context = Context { state: &state, thread: 0, now: self.now };
        start(context, &self.listener.current(&state), arrival, &facts, || &mut self.worker)
    }

    fn get(&mut self, target: &str) -> Happened {
        self.request("GET", target, &[])
    }

    /// Opens a lookup. Returns its number.
    fn look_up(&mut self, target: &str) -> u32 {
        match self.get(target) {
            Happened::CallOut(callout) => callout.lookup,
            other => panic!("{other:?}"),
        }
    }

    fn peer(&self, lookup: u32) -> ChosenPeer {
        self.worker.lookups.get(lookup).unwrap().peer.clone()
    }

    fn respond(&mut self, lookup: u32, outcome: &str, fields: &[(&str, &str)], body: &str) -> Vec<(u32, Happened)> {
        let first = [
            (":status", if fields.iter().any(|(name, _)| *name == "content-range") { "206" } else { "200" }),
            ("meshcache-outcome", outcome),
        ];
        let all: Vec<Field<'_>> =
            first.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let map = header_map::encode(all.iter().copied());
        let response = PeerResponse::read(&map, body.as_bytes().to_vec(), false);
        assert!(response.is_ok(), "{outcome}");
        self.respond_with(lookup, response.ok())
    }

    /// Returns what happens to each request that waits. A lookup that is sent again stands for its leader.
    fn respond_with(&mut self, lookup: u32, response: Option<PeerResponse>) -> Vec<(u32, Happened)> {
        let peer = self.worker.lookups.get(lookup).map(|lookup| lookup.peer.clone());
        self.respond_from(lookup, &peer.unwrap(), response)
    }

    fn respond_from(&mut self, lookup: u32, peer: &ChosenPeer, response: Option<PeerResponse>) -> Vec<(u32, Happened)> {
        self.call_returns(lookup, peer, false, response.ok_or(PeerFailure::Peer))
    }

    fn call_returns(
        &mut self,
        lookup: u32,
        peer: &ChosenPeer,
        is_given_up: bool,
        response: Result<PeerResponse, PeerFailure>,
    ) -> Vec<(u32, Happened)> {
        let mut call =
            self.worker.lookups.get(lookup).map(|open| PendingCall::new(lookup, open)).or(self.last.clone()).unwrap();
        self.last = Some(call.clone());
        (call.lookup, call.peer, call.is_given_up) = (lookup, peer.clone(), is_given_up);
        let next = Lookups { worker: &mut self.worker, now: self.now }.receive(&call, response);
        self.carry_out(lookup, next)
    }

    /// Sends a lookup. Returns the call's token.
    fn send(&mut self, lookup: u32) -> u32 {
        self.tokens += 1;
        self.worker.lookups.record_call(self.tokens, lookup);
        self.tokens
    }

    /// Lets time pass while the worker is attentive.
    fn attend_until(&mut self, now: u64) {
        while self.now < now {
            self.now = now.min(self.now + CHECK_PERIOD);
            self.worker.attention.advance(self.now);
        }
    }

    /// Gives up the peers that have been silent for longer than they may.
    fn give_up_silent(&mut self) -> Vec<(u32, Happened)> {
        let silent = self.worker.lookups.give_up_silent(self.worker.attention.time());
        let one = |proxy: &mut Self, call: PendingCall| {
            let next = Lookups { worker: &mut proxy.worker, now: proxy.now }.give_up(&call);
            proxy.carry_out(call.lookup, next)
        };
        silent.into_iter().flat_map(|call| one(self, call)).collect()
    }

    /// Hedges the lookups whose peers have been silent for as long as the group allows.
    fn hedge(&mut self) -> Vec<(u32, Happened)> {
        let silent = self.worker.lookups.to_hedge(self.worker.attention.time());
        let one = |proxy: &mut Self, lookup| {
            let next = Lookups { worker: &mut proxy.worker, now: proxy.now }.hedge(lookup);
            proxy.carry_out(lookup, next)
        };
        silent.into_iter().flat_map(|lookup| one(self, lookup)).collect()
    }

    fn carry_out(&mut self, lookup: u32, next: LookupStep) -> Vec<(u32, Happened)> {
        let leader = self.worker.lookups.get(lookup).map(|lookup| lookup.request.leader);
        match next {
            LookupStep::CallOut(callout) => vec![(leader.unwrap(), Happened::CallOut(callout))],
            LookupStep::Nothing => Vec::new(),
            LookupStep::Leave(fan_out, again) => {
                let mut all = self.hand_out(*fan_out);
                all.extend(again.map(|callout| (leader.unwrap(), Happened::CallOut(callout))));
                all
            }
            LookupStep::Finish(fan_out) => self.hand_out(*fan_out),
        }
    }

    fn hand_out(&mut self, mut fan_out: FanOut) -> Vec<(u32, Happened)> {
        let mut all = Vec::new();
        while let Some((stream, step)) = fan_out.next(&mut self.worker, self.now) {
            all.push((stream, happened(step)));
        }
        assert!(fan_out.is_over());
        all
    }

    /// Puts a response into the hot cache.
    fn heat(&mut self, target: &str, fields: &[(&str, &str)], body: &str) {
        let lookup = self.look_up(target);
        self.respond(lookup, SHARED, fields, body);
    }
}

const SHARED: &str = "miss; ttl=60000; age=2000; fwd-status=200; shared; stored";
const HOT: &str = "meshcache; hit; ttl=60; detail=proxy";

fn hot(body: &str) -> Happened {
    Happened::Reply(200, body.into(), HOT.into())
}

/// The content of a lookup's callout.
fn said(proxy: &Proxy, lookup: u32) -> wire::Question {
    let snapshot = proxy.worker.snapshot().unwrap().clone();
    let lookup = proxy.worker.lookups.get(lookup).unwrap();
    let headers = callout::compose(lookup, &snapshot, &MarkedPosition::default(), None).unwrap();
    let (_, value) = headers.iter().find(|(name, _)| *name == wire::header::WIRE).unwrap();
    wire::Question::parse(value).unwrap()
}

/// The streams that got this body.
fn replied(all: &[(u32, Happened)], body: &str) -> Vec<u32> {
    let has = |happened: &Happened| matches!(happened, Happened::Reply(_, given, _) if given == body.as_bytes());
    all.iter().filter(|(_, happened)| has(happened)).map(|(stream, _)| *stream).collect()
}
