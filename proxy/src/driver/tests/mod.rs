//! A worker in a host that is no proxy: it records what it is asked to do.

mod leave;
mod streams;

use super::*;
use crate::{
    http::{
        Headers,
        head::RequestHead,
        header_map::{self, HeaderMap},
    },
    request::{
        arrival::{Arrival, Facts},
        fill::FillCall,
        reply::Reply,
    },
    state::{
        counters::{GAUGES, metric_names},
        listener_config::{ListenerConfig, Side},
        shared_data::{InProcessData, SharedData},
    },
    stream::{ResponseEdit, Stream, Time},
};
use meshcache_protocol::{
    Peer,
    feed::{FeedResponse, News, State},
    paths,
    wire::{self, header},
};

#[derive(Default)]
struct FakeHost {
    calls: Vec<BTreeMap<String, String>>,
    /// The callouts are refused.
    refuses: bool,
    /// The streams that are gone.
    gone: Vec<u32>,
    selected: u32,
    resumed: Vec<u32>,
    /// Those of them that fill, each with the field that its request gets.
    filled: Vec<(u32, String)>,
    /// Stream, status and body.
    replies: Vec<(u32, u16, String)>,
    shared: InProcessData,
    metrics: BTreeMap<String, u64>,
    log: Vec<String>,
}

impl Host for FakeHost {
    fn call(&mut self, _: Carrier, headers: &Headers<'_>, _: Option<&[u8]>, _: u64) -> Result<u32, CallError> {
        if self.refuses {
            return Err(CallError::NoCluster);
        }
        self.calls.push(headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect());
        Ok(self.calls.len() as u32)
    }

    fn select(&mut self, stream: u32) -> bool {
        self.selected = stream;
        !self.gone.contains(&stream)
    }

    fn reply(&mut self, reply: &Reply<'_>) -> bool {
        self.replies.push((self.selected, reply.status, String::from_utf8_lossy(reply.body).into_owned()));
        true
    }

    fn fills(&mut self, call: &FillCall) {
        assert!(!self.resumed.contains(&self.selected), "its request has not gone on yet");
        self.filled.push((self.selected, call.installation.clone()));
    }

    fn resume(&mut self) {
        self.resumed.push(self.selected);
    }

    fn shared_data(&mut self) -> &mut dyn SharedData {
        &mut self.shared
    }

    fn add_to_counter(&mut self, counter: usize, n: u64) {
        *self.metrics.entry(metric_names().nth(counter).unwrap()).or_default() += n;
    }

    fn set_gauge(&mut self, gauge: usize, value: u64) {
        self.metrics.insert(GAUGES[gauge].to_owned(), value);
    }

    fn log(&mut self, _: Level, line: &str) {
        self.log.push(line.to_owned());
    }
}

struct Outbound;

impl Facts for Outbound {
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

/// A worker, its host and one listener.
struct Run {
    driver: Driver,
    host: FakeHost,
    listener: ListenerConfig,
    now: u64,
}

impl Run {
    fn new() -> Self {
        Self {
            driver: Driver::new(1, "proxy", "meshcache", 1 << 20),
            host: FakeHost::default(),
            listener: ListenerConfig::new(None, None, None),
            now: 1000,
        }
    }

    /// A worker whose feed has brought a snapshot with one group.
    fn with_snapshot() -> Self {
        Self::with_group("{}")
    }

    /// A worker whose feed has brought a snapshot with a group that differs in these fields.
    fn with_group(fields: &str) -> Self {
        let mut run = Self::new();
        run.tick();
        assert_eq!(run.host.calls[0][":path"], paths::FEED);
        let mut group = serde_json::json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}});
        let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
        fields.as_object().unwrap().iter().for_each(|(name, value)| group[name] = value.clone());
        let config = serde_json::json!({"version": 1, "groups": [group]});
        let peer = |name: &str| Peer { name: name.into(), data: format!("{name}:1"), peer: format!("{name}:2") };
        let state = State {
            installation: "meshcache".into(),
            peers: vec![peer("a"), peer("b")],
            config: serde_json::from_value(config).unwrap(),
            ..State::default()
        };
        let (peer, version, news) = ("a".into(), "v".into(), Some(News::default()));
        let answer = FeedResponse { wire: wire::VERSION, peer, version, state: Some(state), news };
        run.call_returns(1, &[(b":status", b"200")], &serde_json::to_string(&answer).unwrap());
        run
    }

    fn at(&self) -> Moment {
        Moment { now: self.now, random: 0 }
    }

    fn tick(&mut self) -> u64 {
        let at = self.at();
        self.driver.tick(&mut self.host, at, 1_700_000_000_000 + self.now);
        self.flush()
    }

    fn flush(&mut self) -> u64 {
        self.driver.flush(&mut self.host, 64, self.now)
    }

    fn call_returns(&mut self, token: usize, fields: &[Field<'_>], body: &str) -> u64 {
        let response = Some(CallResponse { fields: fields.to_vec(), body: body.as_bytes().to_vec() });
        let at = self.at();
        self.driver.call_returned(&mut self.host, token as u32, response, at, 1_700_000_000_000 + self.now);
        self.flush()
    }

    fn request(&mut self, id: u32, method: &str, path: &str) -> Stream {
        let fields: [Field<'_>; 4] = [
            (b":method", method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", b"h"),
            (b":path", path.as_bytes()),
        ];
        let head = RequestHead::of(fields.into_iter());
        let mut stream = Stream::new(id);
        self.host.select(id);
        let arrival = Arrival { stream: id, head: &head, has_body: false };
        let (driver, host) = (&mut self.driver, &mut self.host);
        driver.request(host, &mut stream, &self.listener, arrival, &Outbound, self.now);
        stream
    }

    fn response(&mut self, stream: &mut Stream, fields: &[(&str, &str)]) -> ResponseEdit {
        let map = header_map::encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let time = || Time { now: self.now, wall: 1_700_000_000_000 + self.now };
        let fields = || HeaderMap::parse(&map).map(Iterator::collect);
        self.host.select(stream.id);
        stream.response_head(&mut self.driver.worker, &mut self.host, &self.listener, &fields, &time)
    }
}

#[test]
fn a_request_is_looked_up_at_the_owner_and_the_next_one_gets_the_hot_response() {
    let mut run = Run::with_snapshot();
    let waiting = [run.request(1, "GET", "/x"), run.request(2, "GET", "/x")];
    assert!(waiting.iter().all(|stream| matches!(stream.state, StreamState::Waits)) && run.driver.has_callouts());
    let before = run.host.calls.len();
    assert_eq!(run.flush(), CHECK_PERIOD, "a call is awaited");
    let [.., call] = &run.host.calls[..] else { panic!() };
    assert_eq!((run.host.calls.len() - before, call[":path"].as_str(), call[":authority"].as_str()), (1, "/x", "h"));
    assert!(call.contains_key(header::PEER) && call.contains_key(header::WIRE));
    let outcome = b"miss; ttl=60000; age=0; fwd-status=200; shared; stored";
    let token = run.host.calls.len();
    assert_eq!(run.call_returns(token, &[(b":status", b"200"), (b"meshcache-outcome", outcome)], "body"), TICK);
    assert_eq!(run.host.replies, [(1, 200, "body".into()), (2, 200, "body".into())]);
    assert!(matches!(run.driver.take_settled(1), Some(StreamState::Replied(_))) && run.host.resumed.is_empty());
    let hot = run.request(3, "GET", "/x");
    assert!(matches!(hot.state, StreamState::Replied(_)) && !run.driver.has_callouts());
    assert_eq!(run.host.replies[2], (3, 200, "body".into()));
    run.now += TICK;
    run.tick();
    assert_eq!(
        [("meshcache_filter_requests_hot", 1), ("meshcache_filter_questions", 1), ("meshcache_filter_hot_items", 1)]
            .map(|(name, n)| run.host.metrics[name] == n),
        [true; 3]
    );
}

#[test]
fn when_no_callout_can_be_sent_requests_pass_and_are_annotated() {
    let mut run = Run::with_snapshot();
    run.host.refuses = true;
    let mut stream = run.request(1, "GET", "/x");
    run.flush();
    run.flush();
    assert_eq!((run.host.resumed.as_slice(), run.host.replies.len()), (&[1][..], 0));
    stream.state = run.driver.take_settled(1).unwrap();
    let said = Some("meshcache; fwd=bypass; detail=peers-failed".to_owned());
    assert_eq!(run.response(&mut stream, &[(":status", "200")]), ResponseEdit::Annotate(said));
}

#[test]
fn a_stream_that_is_gone_is_not_settled() {
    let mut run = Run::with_snapshot();
    run.request(1, "GET", "/x");
    run.flush();
    run.host.gone.push(1);
    let token = run.host.calls.len();
    run.call_returns(token, &[(b":status", b"200"), (b"meshcache-outcome", b"hit; ttl=1000; shared")], "body");
    assert!(run.driver.take_settled(1).is_none() && run.host.replies.is_empty());
}

#[test]
fn an_unsafe_request_that_succeeds_calls_the_owner_and_the_next_peer() {
    let mut run = Run::with_snapshot();
    let mut stream = run.request(1, "POST", "/x");
    assert!(stream.is_unsafe() && !run.driver.has_callouts());
    run.response(&mut stream, &[(":status", "204")]);
    let before = run.host.calls.len();
    run.flush();
    let paths: Vec<_> = run.host.calls[before..].iter().map(|call| call[":path"].as_str()).collect();
    assert_eq!(paths, ["/.meshcache/invalidate/x"; 2]);
}

#[test]
fn without_the_coordinators_cluster_every_request_passes_and_the_log_says_so() {
    let mut run = Run::new();
    run.host.refuses = true;
    run.tick();
    assert_eq!(run.host.log, ["the feed fails: this proxy has no cluster `meshcache`"]);
    assert!(run.request(1, "GET", "/x").ignores_response());
}

#[test]
fn a_stale_response_replaces_a_failure_of_the_service_while_no_coordinator_answers() {
    let mut run = Run::with_group(r#"{"hot": {"ttl": "1s"}}"#);
    run.request(1, "GET", "/x");
    run.flush();
    let outcome = b"hit; ttl=500; age=0; if-error=60000; shared";
    run.call_returns(run.host.calls.len(), &[(b":status", b"200"), (b"meshcache-outcome", outcome)], "body");
    run.now += 1000;
    run.host.refuses = true;
    let mut stream = run.request(2, "GET", "/x");
    run.flush();
    run.flush();
    stream.state = run.driver.take_settled(2).unwrap();
    assert_eq!(run.response(&mut stream, &[(":status", "503")]), ResponseEdit::Replaced);
    assert_eq!(run.host.replies.last(), Some(&(2, 200, "body".to_owned())));
}

#[test]
fn a_group_that_observes_leaves_responses_alone_and_counts_those_that_differ() {
    let mut run = Run::with_group(r#"{"mode": "observe"}"#);
    for (id, body) in [(1, ["as ", "before"]), (2, ["as ", "before"]), (3, ["as ", "never"])] {
        let mut stream = run.request(id, "GET", "/x");
        let head = [(":status", "200"), ("cache-control", "max-age=60")];
        assert_eq!(run.response(&mut stream, &head), ResponseEdit::None);
        assert!(stream.is_hashed());
        stream.response_body(&mut run.driver.worker, body[0].as_bytes(), false, run.now);
        stream.response_body(&mut run.driver.worker, body[1].as_bytes(), true, run.now);
    }
    run.now += TICK;
    run.tick();
    let counted = |outcome: &str| run.host.metrics[&format!("meshcache_filter_requests_{outcome}")];
    assert_eq!((counted("observed"), counted("mismatch")), (3, 1));
}
