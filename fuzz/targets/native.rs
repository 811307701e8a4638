//! The native module's glue: header maps and callouts' answers as Envoy hands them over, in any order. Nobody waits for ever.
#![no_main]

#[path = "../envoy.rs"]
mod envoy;

use envoy::{Fields, Request};
use libfuzzer_sys::fuzz_target;
use meshcache_envoy as _;
use meshcache_protocol::{
    Peer,
    feed::{FeedResponse, News, State},
};
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Two coordinators, a group, and one that only observes.
static STATE: LazyLock<String> = LazyLock::new(|| {
    let peer = |name: &str| Peer { name: name.into(), data: format!("{name}:1"), peer: format!("{name}:2") };
    let group = |name: &str, mode: &str| serde_json::json!({"name": name, "match": {"hosts": [name]}, "origin": {"url": "http://o"}, "mode": mode});
    let config = serde_json::json!({"version": 1, "groups": [group("h", "on"), group("o", "observe")]});
    let state = State::new(3, "meshcache", &[peer("a"), peer("b")], &serde_json::from_value(config).unwrap());
    answer(Some(state), Some(News::default()))
});
static HEARTBEAT: LazyLock<String> = LazyLock::new(|| answer(None, None));

fn answer(state: Option<State>, news: Option<News>) -> String {
    let answer = FeedResponse { wire: 3, peer: "a".into(), version: "v".into(), state, news };
    serde_json::to_string(&answer).unwrap()
}

/// The bytes that say what happens.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// As many bytes as the next one says, or what is left.
    fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    /// Fields: some, and one of them up to ten thousand times.
    fn fields(&mut self) -> Fields {
        let mut fields: Fields = (0..self.byte().unwrap_or(0) % 8).map(|_| (name(self.bytes()), value(self.bytes()))).collect();
        if let Some((255, last)) = self.byte().zip(fields.last().cloned()) {
            fields.resize(10_000, last);
        }
        fields
    }
}

fn field(name: &str, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (name.into(), value.into())
}

/// What Envoy's codecs let through.
fn name(bytes: &[u8]) -> Vec<u8> {
    let is_kept = |b: &u8| (0x21..0x7f).contains(b) && !b.is_ascii_uppercase();
    let name: Vec<u8> = bytes.iter().copied().filter(is_kept).collect();
    if name.is_empty() { b"x".to_vec() } else { name }
}

fn value(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| if matches!(b, 0 | b'\r' | b'\n') { b' ' } else { *b }).collect()
}

/// A head that a browser may send, and any fields.
fn request(input: &mut Input<'_>) -> Fields {
    let kind = input.byte().unwrap_or(0);
    let method = [&b"GET"[..], b"HEAD", b"POST"][usize::from(kind) % 3];
    let mut fields = vec![field(":method", method), field(":scheme", b"http"), field(":authority", [&b"h"[..], b"o"][usize::from(kind) / 3 % 2])];
    fields.push(field(":path", &if kind & 64 == 0 { b"/same".to_vec() } else { value(input.bytes()) }));
    fields.extend(input.fields());
    if kind & 128 != 0 {
        fields.drain(..usize::from(kind) % 5);
    }
    fields
}

/// A head that a coordinator may send, and any fields.
fn response(input: &mut Input<'_>) -> Fields {
    let outcomes: [&[u8]; 6] = [b"hit; ttl=5; age=1; shared; hot=5", b"miss; ttl=5; age=0; shared", b"pass; reason=private", b"loading", b"miss; ttl=5; age=0", b""];
    let kind = usize::from(input.byte().unwrap_or(0));
    let mut fields = vec![field(":status", [&b"200"[..], b"304", b"503"][kind / 6 % 3]), field("meshcache-outcome", outcomes[kind % 6])];
    fields.extend(input.fields().into_iter().filter(|(name, _)| !name.starts_with(b":")));
    fields.truncate(if kind >= 250 { kind - 250 } else { usize::MAX });
    fields
}

fn run(requests: &[Request]) {
    envoy::main_thread(&HEARTBEAT);
    requests.iter().for_each(Request::wake);
}

fuzz_target!(|data: &[u8]| {
    static LOADED: LazyLock<()> = LazyLock::new(|| {
        envoy::load(r#"{"cluster": "meshcache", "hot_bytes": "64KiB", "groups": null, "side": "outbound"}"#);
        // The module's clock ticks, and it asks for the state.
        let begun = Instant::now();
        loop {
            envoy::main_thread(&STATE);
            let probe = Request::new(request(&mut Input(&[0])), true, 0);
            if let Some(call) = probe.calls().first() {
                // From here on a coordinator's answer is the client's.
                probe.call_head(*call, &response(&mut Input(&[0])), false);
                probe.call_data(*call, &[b"body"], true);
                probe.call_over(*call, true);
                assert!(probe.is_answered());
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "the module has no state");
            std::thread::yield_now();
        }
    });
    LazyLock::force(&LOADED);
    let mut input = Input(data);
    let mut requests: Vec<Request> = Vec::new();
    while let Some(what) = input.byte() {
        let which = usize::from(what >> 4) % requests.len().max(1);
        let call = requests.get(which).and_then(|one| one.calls().first().copied()).unwrap_or(0);
        match (what % 8, requests.get(which)) {
            (0 | 1, _) if requests.len() < 8 => {
                let refuses = u32::from(what >> 4).saturating_sub(11);
                requests.push(Request::new(request(&mut input), what % 8 == 0, refuses));
            }
            (2, Some(one)) => one.call_head(call, &response(&mut input), false),
            (3, Some(one)) => one.call_data(call, &[input.bytes(), input.bytes()], false),
            (4, Some(one)) => one.call_over(call, true),
            (5, Some(one)) => one.call_over(call, false),
            (6, Some(_)) => drop(requests.swap_remove(which)),
            (7, Some(one)) => one.response(response(&mut input), &[input.bytes(), input.bytes()]),
            _ => {}
        }
        run(&requests);
    }
    let begun = Instant::now();
    while requests.iter().any(Request::waits) {
        requests.iter().for_each(|one| one.calls().iter().for_each(|call| one.call_over(*call, false)));
        run(&requests);
        assert!(begun.elapsed() < Duration::from_secs(8), "a request waits for nothing");
    }
});
