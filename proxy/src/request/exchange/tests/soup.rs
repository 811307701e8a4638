//! Any requests, again and again, while time, rules, hot cache and host change: a short way gives what the long one gives.

use super::*;
use crate::state::{counters::Counters, group_counts::GroupCounts, other_hosts::OtherHosts};
use meshcache_protocol::purge::Scope;
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
    test_runner::TestRunner,
};

const GROUPS: [&str; 14] = [
    "{}",
    "{}",
    "{}",
    r#"{"hot": {"ttl": "1500ms"}}"#,
    r#"{"mode": "off"}"#,
    r#"{"mode": "observe"}"#,
    r#"{"key": {"headers": ["X-Request-Id"]}}"#,
    r#"{"key": {"cookies": ["a"]}}"#,
    r#"{"key": {"route": true}}"#,
    r#"{"bypass": {"headers": ["TraceParent"]}}"#,
    r#"{"callers": ["spiffe://d/ns/n/sa/a"]}"#,
    r#"{"share": {"authorization": true}}"#,
    r#"{"request": {"drop": ["*"]}}"#,
    r#"{"match": {"hosts": ["other"]}}"#,
];
const FIELDS: [(&str, &str); 16] = [
    ("accept", "*/*"),
    ("accept-encoding", "gzip"),
    ("authorization", "a"),
    ("cache-control", "max-age=2"),
    ("connection", "cookie"),
    ("cookie", "a=b"),
    ("if-none-match", "\"e\""),
    ("meshcache-bypass", "1"),
    ("meshcache-debug", "1"),
    ("range", "bytes=0-1"),
    ("te", "trailers"),
    ("via", "1.1 meshcache"),
    ("x-forwarded-proto", "https"),
    // Their values name the request.
    ("traceparent", "?"),
    ("x-b3-traceid", "?"),
    ("x-request-id", "?"),
];
const OUTCOMES: [&str; 4] = [
    SHARED,
    "miss; ttl=60000; age=2000; fwd-status=200; shared; stored; everybody",
    "hit; ttl=1700; age=400; shared",
    "pass; reason=private; for=900",
];
const RESPONSES: [&[(&str, &str)]; 5] = [
    &[("content-type", "a/b")],
    &[("etag", "\"e\"")],
    &[("vary", "Accept")],
    &[("vary", "accept, X-Request-Id")],
    &[("vary", "cookie")],
];

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    host: &'static str,
    target: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    has_body: bool,
}

#[derive(Clone, Debug)]
enum Event {
    /// One of the requests, by this name. Its owner, if it is asked, answers so.
    Request {
        which: usize,
        name: &'static str,
        outcome: &'static str,
        response: usize,
        body: &'static str,
    },
    /// Time passes. A coordinator answers the feed then, or none does.
    Time(u64, bool),
    Rules(&'static str),
    Purge,
    PurgeAll,
    Side(Side),
    Verified(bool),
    Caller(bool),
    Routed(bool),
}

fn asked() -> impl Strategy<Value = Asked> {
    let mostly = |often, others: &'static [&str]| prop_oneof![6 => Just(often), 1 => select(others)];
    let start = (mostly("GET", &["HEAD", "POST"]), mostly("h", &["other", "H"]));
    let fields = subsequence(&FIELDS[..], 0..2)
        .prop_flat_map(|one| prop_oneof![Just(one), subsequence(&FIELDS[..], 0..4), subsequence(&FIELDS[13..], 1..3)]);
    let rest = (mostly("/x", &["/x?a", "/none", "/%78"]), fields);
    (start, rest, rarely()).prop_map(|((method, host), (target, fields), has_body)| Asked {
        method,
        host,
        target,
        fields,
        has_body,
    })
}

fn rarely() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.1)
}

fn event() -> impl Strategy<Value = Event> {
    let named = (0..3_usize, select(&["aa", "bb", "ccc"][..]));
    let answered = (select(&OUTCOMES[..]), 0..RESPONSES.len(), select(&["body", "body", ""][..]));
    prop_oneof![
        40 => (named, answered).prop_map(|((which, name), (outcome, response, body))|
            Event::Request { which, name, outcome, response, body }),
        8 => (select(&[1, 1, 99, 100, 400, 600, 999, 3000][..]), rarely().prop_map(|no| !no))
            .prop_map(|(time, contact)| Event::Time(time, contact)),
        1 => select(&GROUPS[..]).prop_map(Event::Rules),
        1 => Just(Event::Purge),
        1 => Just(Event::PurgeAll),
        1 => rarely().prop_map(|inbound| Event::Side(if inbound { Side::Inbound } else { Side::Outbound })),
        1 => rarely().prop_map(Event::Verified),
        1 => any::<bool>().prop_map(Event::Caller),
        1 => rarely().prop_map(|not| Event::Routed(!not)),
    ]
}

/// A proxy with its short ways, and how often it took them.
struct Ways {
    proxy: Proxy,
    others: OtherHosts,
    repeated: u32,
    passed: u32,
}

/// What a client gets.
type Given = Option<(u16, Vec<u8>, Vec<u8>)>;

fn given(reply: &Reply<'_>) -> Given {
    assert!(reply.restore.is_empty());
    Some((reply.status, reply.map.to_vec(), reply.body.to_vec()))
}

impl Ways {
    /// What was counted since this was called last.
    fn counted(&self) -> (GroupCounts, Vec<(usize, u64)>) {
        let (mut taken, mut metrics) = (Counters::default(), Vec::new());
        self.proxy.worker.state.take_counts(&mut taken);
        let groups = taken.groups();
        taken.take_metrics(|at, n| metrics.push((at, n)));
        (groups, metrics)
    }

    fn request(&mut self, of: &Asked, name: &str, outcome: &str, response: &[(&str, &str)], body: &str) {
        let mut fields = Proxy::fields(of.method, of.target, &[]);
        fields[2].1 = of.host.as_bytes();
        let own = of.fields.iter().map(|(field, value)| (*field, if *value == "?" { name } else { *value }));
        fields.extend(own.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let map = header_map::encode(fields.iter().copied());
        let state = self.proxy.worker.state.clone();
        let context = Context { state: &state, thread: 0, now: self.proxy.now };
        self.counted();

        let passed = self.others.pass(&state, &map);
        let by_pass = self.counted();
        let may_repeat = !of.has_body && !passed;
        let answer = self.proxy.repeats.answer(context, &map, &self.proxy.facts()).filter(|_| may_repeat);
        let repeated = answer.and_then(|answer| given(&answer.reply()));
        let by_repeat = self.counted();
        if may_repeat {
            let native = self.proxy.repeats.answer_fields(context, fields.iter().copied(), &self.proxy.facts());
            assert_eq!(native.and_then(|answer| given(&answer.reply())), repeated, "both hosts do the same");
            assert_eq!(self.counted(), by_repeat);
        }

        match self.proxy.start(&fields, of.has_body) {
            Step::Reply(mut hot) => {
                assert!(!passed);
                let hit = hot.repeatable.take();
                if repeated.is_some() {
                    assert_eq!(repeated, given(&hot.reply()));
                    assert_eq!(self.counted(), by_repeat);
                    self.repeated += 1;
                }
                assert!(hit.is_none() || hot.into_restore().is_empty());
                let is_plain = !of.fields.iter().any(|(name, _)| name.starts_with("meshcache-"));
                if let Some(hit) = hit.filter(|_| is_plain && !of.has_body) {
                    self.proxy.repeats.note(&map, hit);
                }
            }
            Step::Pass(pass) => {
                assert_eq!(repeated, None);
                let is_unnoticed = pass.cache_status.is_none() && pass.reason != Reason::Method;
                if passed {
                    assert!(is_unnoticed && pass.fallback.is_none());
                    assert_eq!(self.counted(), by_pass);
                    self.passed += 1;
                } else if is_unnoticed {
                    self.others.note(&self.proxy.listener, &state, &RequestHead::read(&map).unwrap());
                }
            }
            Step::CallOut(callout) => {
                assert!(!passed && repeated.is_none());
                self.proxy.respond(callout.lookup, outcome, response, body);
            }
            Step::Observe(_) | Step::Wait => assert!(!passed && repeated.is_none()),
        }
    }

    fn happen(&mut self, event: &Event, requests: &[Asked]) {
        let proxy = &mut self.proxy;
        match event {
            Event::Request { which, name, outcome, response, body } => {
                self.request(&requests[*which], name, outcome, RESPONSES[*response], body);
            }
            Event::Time(time, contact) => {
                proxy.now += time;
                if *contact {
                    proxy.worker.note_contact(proxy.now);
                }
            }
            Event::Rules(group) => proxy.worker.install(snapshot(group)),
            Event::Purge => {
                let scope: Scope = serde_json::from_str(r#"{"urls": ["http://h/x"]}"#).unwrap();
                proxy.worker.invalidate_named(&scope);
            }
            Event::PurgeAll => proxy.worker.empty_hot_cache(),
            Event::Side(side) => proxy.side = *side,
            Event::Verified(verified) => proxy.verified = *verified,
            Event::Caller(known) => proxy.caller = known.then_some("spiffe://d/ns/n/sa/a"),
            Event::Routed(routed) => proxy.cluster = routed.then_some("service"),
        }
    }
}

#[test]
fn a_short_way_gives_and_counts_what_the_long_one_does_whatever_has_changed() {
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    let listener = (option::of(Just(Side::Outbound)), option::of(Just("g")));
    let cases = (select(&GROUPS[..]), listener, vec(asked(), 3), vec(event(), 1..200));
    let (repeated, passed) = (Cell::new(0), Cell::new(0));
    let run = TestRunner::new_with_rng(config, TestRunner::deterministic().rng().clone()).run(
        &cases,
        |(group, (side, named), requests, events)| {
            let mut proxy = Proxy::new(group);
            proxy.listen(ListenerConfig::new(named.map(|name| vec![name.to_owned()]), side, Some("ns".into())));
            let mut ways = Ways { proxy, others: OtherHosts::default(), repeated: 0, passed: 0 };
            events.iter().for_each(|event| ways.happen(event, &requests));
            repeated.update(|n| n + ways.repeated);
            passed.update(|n| n + ways.passed);
            Ok(())
        },
    );
    run.unwrap();
    assert!(repeated.get() > 300 && passed.get() > 300, "{} {}", repeated.get(), passed.get());
}
