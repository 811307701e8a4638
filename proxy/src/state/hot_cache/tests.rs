use super::*;
use crate::http::cached_headers::CachedHeaders;
use meshcache_protocol::{
    Field, Groups, Response,
    freshness::{LifetimeRule, Selecting, Stored, Vary},
};
use std::sync::Arc;

fn key(n: usize) -> Key {
    let mut bytes = Vec::new();
    for part in ["g", "http", "h", &format!("/{n}"), ""] {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Key::from_bytes(bytes)
}

fn request<'a>(fields: &'a [Field<'a>]) -> Request<'a> {
    Request::read(b"GET", b"http", b"h", b"/", fields).unwrap()
}

fn variant(body: usize, language: Option<&'static [u8]>, until: u64) -> Variant {
    let stored = Stored {
        status: 200,
        lifetime: 60_000,
        initial_age: 1_500,
        while_revalidate: 0,
        if_error: 0,
        always_validate: false,
        must_revalidate: true,
        for_everybody: false,
        validator: false,
        immutable: false,
        disconnected: false,
        why: LifetimeRule::MaxAge,
    };
    let fields: Vec<Field<'_>> = language.map(|language| (&b"accept-language"[..], language)).into_iter().collect();
    let vary: Vec<Field<'_>> = language.map(|_| (&b"vary"[..], &b"accept-language"[..])).into_iter().collect();
    let selecting = Selecting::of(&Vary::of(&Response { status: 200, fields: &vary }), &request(&fields));
    Variant::new(
        "rules".into(),
        stored,
        selecting,
        CachedHeaders::new(vary.iter().copied()),
        Arc::new(vec![b'x'; body]),
        0,
        until,
    )
}

impl HotCache {
    fn has(&self, n: usize, now: u64) -> bool {
        self.look_up(Side::Outbound, key(n).by_ref(), "rules", &request(&[]), now).is_some()
    }

    fn put(&self, n: usize, body: usize) -> bool {
        self.insert(Side::Outbound, &key(n), variant(body, None, 1000), 0, || true)
    }

    fn weighed(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.read().unwrap().weighed()).sum()
    }
}

#[test]
fn what_was_stored_is_found_until_its_time_is_over() {
    let hot = HotCache::new(1 << 20, 1);
    assert!(hot.put(1, 100));
    assert!(hot.has(1, 999) && !hot.has(1, 1000) && !hot.has(2, 0));
    assert!(hot.look_up(Side::Inbound, key(1).by_ref(), "rules", &request(&[]), 0).is_none());
    assert!(hot.look_up(Side::Outbound, key(1).by_ref(), "others", &request(&[]), 0).is_none());
    hot.expire(1000);
    assert_eq!((hot.len(), hot.bytes()), (0, 0));
}

#[test]
fn bytes_stay_within_the_bound_and_are_counted_in_full() {
    let hot = HotCache::new(100_000, 1);
    for n in 0..10_000 {
        hot.has(n % 300, 0);
        hot.put(n % 300, n * 37 % 5_000);
        assert!(hot.bytes() <= 100_000);
        assert_eq!(hot.bytes(), hot.weighed());
    }
    assert!(hot.bytes() > 50_000, "{}", hot.bytes());
    hot.resize(10_000);
    assert!(hot.bytes() <= 10_000 && hot.bytes() == hot.weighed());
    hot.resize(0);
    assert!(!hot.put(1, 10) && hot.is_empty());
}

#[test]
fn bytes_are_counted_in_full_when_variants_were_given_between_insertions() {
    let hot = HotCache::new(1 << 20, 1);
    let languages: [&'static [u8]; 6] = [b"de", b"en", b"fr", b"it", b"nl", b"pl"];
    for (n, language) in languages.into_iter().chain(languages).enumerate() {
        let variant = variant(100, Some(language), 1_000_000);
        assert!(hot.insert(Side::Outbound, &key(1), variant, 0, || true), "{n}");
        for asked in languages {
            let fields = [(&b"accept-language"[..], asked)];
            let found = hot.look_up(Side::Outbound, key(1).by_ref(), "rules", &request(&fields), 0);
            found.inspect(|variant| drop(variant.stamped("an installation with a long name", 1000 * n as u64)));
        }
    }
    hot.clear();
    assert_eq!(hot.bytes(), 0);
}

#[test]
fn a_scan_does_not_flush_what_is_asked_for_all_the_time() {
    let hot = HotCache::new(100_000, 1);
    for round in 0..100 {
        for n in 0..50 {
            if !hot.has(n, 0) && round < 3 {
                hot.put(n, 500);
            }
        }
        for n in 0..200 {
            let cold = 1000 + round * 200 + n;
            if !hot.has(cold, 0) {
                hot.put(cold, 500);
            }
        }
    }
    assert!((0..50).filter(|n| hot.has(*n, 0)).count() >= 45);
}

#[test]
fn a_response_larger_than_its_share_is_not_stored_and_evicts_nothing() {
    let hot = HotCache::new(100_000, 1);
    assert!(hot.put(1, 100));
    assert!(!hot.put(2, 30_000));
    assert!(hot.has(1, 0));
}

#[test]
fn variants_live_side_by_side_and_at_most_sixteen() {
    let hot = HotCache::new(1 << 20, 1);
    let languages: Vec<Vec<u8>> = (0..20).map(|n| format!("l{n}").into_bytes()).collect();
    for language in &languages {
        let language: &'static [u8] = language.clone().leak();
        assert!(hot.insert(Side::Outbound, &key(1), variant(10, Some(language), 1000), 0, || true));
        assert!(hot.insert(Side::Outbound, &key(1), variant(20, Some(language), 1000), 0, || true), "in its place");
    }
    let found = languages
        .iter()
        .filter(|language| {
            hot.look_up(Side::Outbound, key(1).by_ref(), "rules", &request(&[(b"accept-language", language)]), 0)
                .is_some()
        })
        .count();
    assert_eq!((found, hot.len(), hot.bytes()), (16, 1, hot.weighed()));
    assert!(!hot.has(1, 0));
}

#[test]
fn what_a_purge_names_is_removed() {
    let hot = HotCache::new(1 << 20, 1);
    (0..10).for_each(|n| assert!(hot.put(n, 100)));
    let what = serde_json::from_str(r#"{"group": "g", "paths": ["/3", "/4"]}"#).unwrap();
    hot.purge(&PurgeMatcher::new(&what, &Groups::default()));
    assert_eq!((hot.len(), hot.bytes()), (8, hot.weighed()));
    assert!(!hot.has(3, 0) && hot.has(5, 0));
}

#[test]
fn age_and_freshness_are_stamped_by_the_second() {
    let variant = variant(1, None, 60_000);
    let stamped = |now| {
        let map = variant.stamped("m", now).headers.as_bytes().to_vec();
        let all: Vec<_> = crate::http::header_map::HeaderMap::parse(&map)
            .unwrap()
            .map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
            .collect();
        all.join(" ")
    };
    assert_eq!(stamped(0), "1 m; hit; ttl=58; detail=proxy");
    assert_eq!(stamped(499), "1 m; hit; ttl=58; detail=proxy");
    assert_eq!(stamped(500), "2 m; hit; ttl=58; detail=proxy");
    assert_eq!(stamped(10_501), "12 m; hit; ttl=47; detail=proxy");
}

#[test]
fn of_variants_that_fit_the_most_recent_is_found() {
    let hot = HotCache::new(1 << 20, 1);
    let german = (&b"accept-language"[..], &b"de"[..]);
    for (body, language) in [(1, Some(&b"de"[..])), (2, None)] {
        assert!(hot.insert(Side::Outbound, &key(1), variant(body, language, 1000), 0, || true));
        let found = hot.look_up(Side::Outbound, key(1).by_ref(), "rules", &request(&[german]), 0).unwrap();
        assert_eq!(found.body.len(), body);
    }
}

#[test]
fn a_look_that_waits_for_a_lock_is_counted_once() {
    let cache = HotCache::new(1 << 20, 1);
    std::thread::scope(|threads| {
        let held = write(&cache.shards[0].0);
        threads.spawn(|| cache.len());
        while cache.waits.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        drop(held);
    });
    assert_eq!((cache.take_waits(), cache.take_waits()), (1, 0));
}
