//! The store as its users see it, with `now` in the tests' hands.

mod eviction;
mod hot;
mod memory;
mod purges;
mod transfer;
mod variants;

use super::*;
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{
    Request,
    freshness::{Selecting, Stored, Vary},
    request::Response,
};

/// Returns what freshness knows of a response with this lifetime, milliseconds, and nothing else to it.
pub(crate) fn fresh(lifetime: u64) -> Stored {
    Stored::fresh_for(200, lifetime)
}

const MIB: u64 = 1 << 20;

fn key(n: usize) -> Key {
    Key::from_bytes(format!("key {n}").into_bytes())
}

/// Returns an entry with a body of `body` bytes that is useful for `keep`. `variant`: its request's x-v.
fn entry(body: usize, keep: u64, arrived: u64, variant: Option<&str>) -> Arc<Entry> {
    let fields = variant.map(|v| [(&b"x-v"[..], v.as_bytes())]).unwrap_or([(b"x-none", b"")]);
    let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
    let vary = if variant.is_some() {
        Vary::of(&Response { status: 200, fields: &[(b"vary", b"x-v")] })
    } else {
        Vary::Nothing
    };
    let stored = fresh(keep);
    let fields = vec![(b"content-type".to_vec(), b"text/plain".to_vec()), (b"x-custom".to_vec(), b"1".to_vec())];
    Arc::new(Entry::new(Parts {
        status: StatusCode::OK,
        fields,
        tags: "surrogate-key",
        body: Bytes::from(vec![7; body]),
        selecting: Selecting::of(&vary, &request),
        stored,
        arrived,
        position: Arc::default(),
    }))
}

fn put(store: &Store, quota: &Quota, n: usize, entry: Arc<Entry>, now: u64) -> bool {
    let load = store.begin(key(n), Arc::default());
    store.put(quota, &load, entry, now)
}

fn has(store: &Store, quota: &Quota, n: usize, now: u64) -> bool {
    store.get(quota, &key(n), now, |_| true).is_some()
}

fn store(limit: u64) -> (Store, Arc<Quota>) {
    let store = Store::new(limit);
    let quota = store.quotas(&[("g", limit)]).remove(0);
    (store, quota)
}

fn expire(store: &Store, now: u64) {
    (0..store.shard_count()).for_each(|part| while store.expire(part, now) {});
}

/// Returns a real key, and an entry with these tags.
fn tagged(path: &str, tags: &str, stale: u64) -> (Key, Arc<Entry>) {
    let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]});
    let groups = meshcache_protocol::Groups::new(serde_json::from_value(config).unwrap()).unwrap();
    let request = Request::read(b"GET", b"http", b"h", path.as_bytes(), &[]).unwrap();
    let key = Key::of(groups.iter().next().unwrap(), &request, None);
    let like = entry(10, 60_000, 0, None);
    let stored = Stored { if_error: stale, ..like.stored.clone() };
    let fields = vec![(b"surrogate-key".to_vec(), tags.as_bytes().to_vec())];
    let selecting = like.selecting.clone();
    let parts = Parts {
        status: like.status,
        fields,
        tags: "surrogate-key",
        body: Bytes::new(),
        selecting,
        stored,
        arrived: 0,
        position: Arc::default(),
    };
    (key, Arc::new(Entry::new(parts)))
}
