//! What entries take beside their bodies.

use super::*;
use crate::store::head::Lines;

/// Returns a request's key with a path of 24 bytes.
fn real_key(n: u64) -> Key {
    let parts = ["values", "http", "origin.test:8080", &format!("/things/{n:016}"), ""];
    let framed = parts.iter().map(|part| [&(part.len() as u32).to_le_bytes()[..], part.as_bytes()].concat());
    Key::from_bytes(framed.collect::<Vec<_>>().concat())
}

/// Returns an entry with five fields and 120 bytes of values. The entity tag is never the same, `modified` now and then.
fn with_head(n: u64, body: usize, modified: u64) -> Arc<Entry> {
    let fields = [
        ("date", "Sun, 29 Nov 2026 12:00:00 GMT".to_owned()),
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("cache-control", "public, max-age=3600".to_owned()),
        ("etag", format!("\"{n:016x}\"")),
        ("last-modified", format!("Sun, 29 Nov 2026 12:{:02}:{:02} GMT", modified / 60 % 60, modified % 60)),
    ];
    let like = entry(0, 3_600_000, 0, None);
    Arc::new(Entry::new(Parts {
        status: StatusCode::OK,
        fields: fields.map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes())).into(),
        tags: "surrogate-key",
        body: Bytes::from(vec![7; body]),
        selecting: Selecting::default(),
        stored: Stored { initial_age: n % 7, ..like.stored.clone() },
        arrived: 0,
        position: Arc::default(),
    }))
}

/// Returns the part of a full store that is bodies.
fn bodies(body: usize, modified: impl Fn(u64) -> u64) -> f64 {
    let (store, quota) = store(8 * MIB);
    for n in 0.. {
        let load = store.begin(real_key(n), Arc::default());
        assert!(store.put(&quota, &load, with_head(n, body, modified(n)), 0));
        let usage = &store.usage()[0];
        if usage.evictions > 0 {
            return (usage.items * body as u64) as f64 / (8 * MIB) as f64;
        }
    }
    0.0
}

#[test]
fn most_of_a_full_store_is_bodies() {
    let small = [bodies(1024, |n| n), bodies(1024, |_| 0), bodies(100, |_| 0)];
    assert!(small[0] >= 0.75 && small[1] >= 0.77 && small[2] >= 0.28, "{small:?}");
}

#[test]
fn an_entry_comes_out_as_it_was_put_in() {
    let (store, quota) = store(8 * MIB);
    for n in 0..300 {
        let put = with_head(n, n as usize * 10, n / 100);
        assert!(store.put(&quota, &store.begin(real_key(n), Arc::default()), put.clone(), 0));
        let got = store.get(&quota, &real_key(n), 0, |_| true).unwrap();
        let lines = |entry: &Entry| entry.fields().map(|(name, value)| (name.clone(), value)).collect::<Vec<_>>();
        assert_eq!((lines(&got), got.body()), (lines(&put), put.body()), "{n}");
        assert_eq!((got.stored_on_arrival(), got.deadline()), (put.stored_on_arrival(), put.deadline()));
        assert_eq!(got.stored.ttl(got.resident(5)), put.stored.ttl(put.resident(5)));
        assert_eq!(store.entries_of(&store.keys_by_use()[0], 0).map(|(key, ..)| key.parts().is_some()), Some(true));
    }
}

#[test]
fn heads_that_are_compared_with_the_next_ones_take_little() {
    let (store, quota) = store(MIB);
    for n in 0..100_usize {
        let mut parts = (*entry(10, 1000, 0, None)).clone();
        parts.lines = Arc::new(Lines::new(vec![(format!("x-{n}").parse().unwrap(), &[b'v'; 20_000])], 1));
        assert!(put(&store, &quota, n, Arc::new(parts), 0));
    }
    expire(&store, 10_000);
    assert_eq!(store.usage()[0].items, 0);
    assert!(store.used() < 128 * 1024, "{}", store.used());
    store.quotas(&[]);
    assert!(store.used() < 64 * 1024, "a group that is gone keeps nothing: {}", store.used());
}
