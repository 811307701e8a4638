//! Threads that share a proxy's state: what is purged on one does not come back on another.
#![allow(clippy::panic, clippy::unwrap_used)]

use meshcache_protocol::{
    Key, Request,
    feed::HEARTBEAT_TIMEOUT,
    freshness::{Selecting, Stored, Vary},
    purge::Scope,
};
use meshcache_proxy::{
    http::cached_headers::CachedHeaders,
    state::{
        hot_cache::Variant,
        hot_state::HotState,
        listener_config::Side,
        snapshot::{self, FeedUpdate},
        worker::Worker,
    },
};
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

const RULES: &str = "rules";
const KEYS: usize = 4;
const CHANGES: u64 = 3_000;

/// A service whose responses are the number of their version, and a proxy of several threads before it.
struct Mesh {
    state: Arc<HotState>,
    /// The version of each key at the service.
    current: [AtomicU64; KEYS],
    /// The oldest version that may still be given: what was before it is purged.
    oldest: [AtomicU64; KEYS],
    is_over: AtomicBool,
    hits: AtomicU64,
}

fn key(n: usize) -> Key {
    let mut bytes = Vec::new();
    for part in ["g", "http", "h", &format!("/{n}"), ""] {
        meshcache_protocol::key::frame(&mut bytes, &[part.as_bytes()]);
    }
    Key::from_bytes(bytes)
}

fn request() -> Request<'static> {
    Request::read(b"GET", b"http", b"h", b"/", &[]).unwrap()
}

impl Mesh {
    fn new(hot_bytes: usize) -> (Self, Worker) {
        let state = Arc::new(HotState::new(hot_bytes, 4));
        let mut worker = Worker::of(state.clone());
        let answer = br#"{"wire": 1, "peer": "a", "version": "v1", "state": {"installation": "meshcache",
            "peers": [{"name": "a", "data": "10.0.0.1:8080", "peer": "10.0.0.1:8083"}],
            "config": {"version": 1, "groups": [
                {"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}}]}}}"#;
        let FeedUpdate::Snapshot { snapshot, .. } = snapshot::read(answer) else { panic!("no snapshot") };
        worker.install(snapshot);
        worker.note_contact(0);
        let zero = || std::array::from_fn(|_| AtomicU64::new(0));
        (
            Self { state, current: zero(), oldest: zero(), is_over: AtomicBool::new(false), hits: AtomicU64::new(0) },
            worker,
        )
    }

    /// A question and its answer, as a response is stored.
    fn ask(&self, n: usize) {
        let purges = self.state.purge_count();
        let version = self.current[n].load(SeqCst);
        thread::yield_now();
        let variant = Variant::new(
            RULES.into(),
            Stored::fresh_for(200, 60_000),
            Selecting::of(&Vary::read(""), &request()),
            CachedHeaders::new([].into_iter()),
            Arc::new(version.to_le_bytes().to_vec()),
            0,
            60_000,
        );
        self.state.hot.insert(Side::Outbound, &key(n), variant, 0, || purges == self.state.purge_count());
    }

    /// A hot hit, if there is one.
    fn look_up(&self, n: usize, now: u64) {
        let oldest = self.oldest[n].load(SeqCst);
        if !self.state.may_serve_hot(now) {
            return;
        }
        let Some(found) = self.state.hot.look_up(Side::Outbound, &key(n), RULES, &request(), 0) else { return };
        let version = u64::from_le_bytes(found.body[..].try_into().unwrap());
        assert!(version >= oldest, "version {version} of {n} after {oldest} was purged");
        self.hits.fetch_add(1, SeqCst);
    }

    /// Runs questions and hits on other threads while the service changes and `purge` makes it known.
    fn run(self, mut purge: impl FnMut(&Self, usize, u64)) -> u64 {
        let start = Barrier::new(5);
        thread::scope(|scope| {
            for asks in [true, true, false, false] {
                let (mesh, start) = (&self, &start);
                scope.spawn(move || {
                    start.wait();
                    for n in (0..KEYS).cycle() {
                        if mesh.is_over.load(SeqCst) {
                            return;
                        }
                        if asks { mesh.ask(n) } else { mesh.look_up(n, 0) }
                    }
                });
            }
            start.wait();
            for change in 1..=CHANGES {
                let n = change as usize % KEYS;
                self.current[n].store(change, SeqCst);
                purge(&self, n, change);
                self.oldest[n].store(change, SeqCst);
            }
            self.is_over.store(true, SeqCst);
        });
        self.hits.load(SeqCst)
    }
}

#[test]
fn what_one_thread_purges_no_thread_gives_again() {
    let (mesh, mut worker) = Mesh::new(1 << 20);
    let hits = mesh.run(|_, n, change| match change % 3 {
        0 => worker.invalidate_hash(key(n).hash()),
        1 => {
            let paths = vec![format!("/{n}")];
            worker.invalidate_named(&Scope { group: Some("g".into()), paths, ..Scope::default() });
        }
        _ => worker.empty_hot_cache(),
    });
    assert!(hits > 0);
}

#[test]
fn while_threads_evict_each_others_responses_nothing_purged_comes_back_and_the_bound_holds() {
    // Two responses of the four find room.
    let (mesh, mut worker) = Mesh::new(2_400);
    mesh.run(|mesh, n, _| {
        worker.invalidate_hash(key(n).hash());
        assert!(
            mesh.state.hot.bytes() <= 2_400 + 4 * 1_000,
            "{}: each thread may be storing one",
            mesh.state.hot.bytes()
        );
    });
}

#[test]
fn an_idle_thread_has_the_trust_that_another_has_earned_and_nothing_from_before_a_silence() {
    let (mesh, mut worker) = Mesh::new(1 << 20);
    mesh.ask(0);
    for second in 1..10 {
        worker.note_contact(second * 1000);
    }
    mesh.look_up(0, 9_000 + HEARTBEAT_TIMEOUT - 1);
    assert_eq!(mesh.hits.load(SeqCst), 1, "no tick of that thread was needed");
    let after = 9_000 + HEARTBEAT_TIMEOUT;
    assert!(!mesh.state.may_serve_hot(after));
    worker.note_contact(after);
    mesh.look_up(0, after);
    assert_eq!((mesh.hits.load(SeqCst), mesh.state.hot.len()), (1, 0));
}
