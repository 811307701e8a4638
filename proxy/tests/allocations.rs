//! A hot hit and a pass allocate nothing beyond what their host does.
#![allow(clippy::panic, missing_docs)]

use meshcache_protocol::{
    Field, Key,
    freshness::{Selecting, Stored, Vary},
};
use meshcache_proxy::{
    http::{cached_headers::CachedHeaders, head::RequestHead, header_map},
    request::{
        arrival::{Arrival, Facts},
        context::Context,
        exchange::start,
        step::Step,
    },
    state::{
        hot_cache::Variant,
        listener_config::{ListenerConfig, Side},
        snapshot::{self, FeedUpdate},
        worker::Worker,
    },
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
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
    fn is_routed(&self) -> bool {
        true
    }
    fn cluster(&self) -> Option<Vec<u8>> {
        panic!("its name is in no key of this group")
    }
    fn route(&self) -> Option<Vec<u8>> {
        None
    }
}

fn map(host: &[u8]) -> Vec<u8> {
    let fields: [Field<'_>; 8] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", host),
        (b":path", b"/products/1?page=2"),
        (b"user-agent", b"curl/8"),
        (b"accept", b"*/*"),
        (b"x-forwarded-proto", b"http"),
        (b"x-request-id", b"6f0e6a5e"),
    ];
    header_map::encode(fields.into_iter())
}

#[test]
fn a_hot_hit_and_a_pass_allocate_nothing() {
    let answer = br#"{"wire": 1, "peer": "a", "version": "v1", "state": {"installation": "meshcache",
        "peers": [{"name": "a", "data": "10.0.0.1:8080", "peer": "10.0.0.1:8083"}],
        "config": {"version": 1, "groups": [
            {"name": "shop", "match": {"hosts": ["shop.test"]}, "origin": {"url": "http://shop.test"}}]}}}"#;
    let FeedUpdate::Snapshot { snapshot, .. } = snapshot::read(answer) else { panic!("no snapshot") };
    let group = snapshot.groups.iter().next().cloned();
    let Some(group) = group else { panic!("no group") };
    let (mut worker, config) = (Worker::new(1 << 20), ListenerConfig::new(None, None, None));
    worker.install(snapshot);
    worker.note_contact(0);
    let state = worker.state.clone();

    let (hot, other) = (map(b"shop.test"), map(b"other.test"));
    let head = RequestHead::read(&hot);
    let Some(Ok(request)) = head.as_ref().map(RequestHead::request) else { panic!("no request") };
    let variant = Variant::new(
        group.digest().into(),
        Stored::fresh_for(200, 60_000),
        Selecting::of(&Vary::read(""), &request),
        CachedHeaders::new([(&b"content-type"[..], &b"text/plain"[..])].into_iter()),
        Arc::new(b"hello".to_vec()),
        0,
        60_000,
    );
    assert!(state.hot.insert(Side::Outbound, &Key::of(&group, &request, None), variant, 0, || true));

    let mut run = |map: &[u8]| {
        let before = ALLOCATIONS.get();
        let Some(head) = RequestHead::read(map) else { panic!("no map") };
        let arrival = Arrival { stream: 1, head: &head, has_body: false };
        let context = Context { state: &state, thread: 0, now: 10 };
        let step = start(context, &config.current(&state), arrival, &Outbound, || &mut worker);
        let body = match &step {
            Step::Reply(hot) => hot.reply().body.len(),
            Step::Pass(pass) if pass.cache_status.is_none() => 0,
            _ => panic!("neither hot nor passing"),
        };
        drop(step);
        (body, ALLOCATIONS.get() - before)
    };
    // The first ones stamp the head, and name the group in the counters.
    assert_eq!((run(&hot).0, run(&other).0), (5, 0));
    assert_eq!((run(&hot), run(&other)), ((5, 0), (0, 0)));
}
