//! What an invalidation removes, what it keeps out afterwards, and how often it happens.

use super::*;
use crate::{
    cache::{
        removal,
        transfer::{self, TransferKind},
        transfer_report::Refusal,
    },
    clock::simulated,
    store::{Parts, Used, fresh},
};
use meshcache_protocol::{Groups, Request, frame, purge::What};

/// A coordinator whose group has a header in its keys, or not.
fn cache(headers: &[&str]) -> Arc<Cache> {
    let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "key": {"headers": headers}, "origin": {"url": "http://o"}}]});
    let cache = Cache::sample("a", 1 << 20);
    cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
    cache
}

fn key(cache: &Cache, target: &str, language: &str) -> Key {
    let fields = [(&b"x-language"[..], language.as_bytes())];
    let request = Request::read(b"GET", b"http", b"h", target.as_bytes(), &fields).unwrap();
    Key::of(&cache.rules().named("g").unwrap().group, &request, None)
}

fn invalidate(cache: &Arc<Cache>, key: &Key) {
    let rules = cache.rules();
    let served = rules.named("g").unwrap();
    super::invalidate(cache, served, &Invalidation::of(served, key));
}

/// What another coordinator says of a key now that arrived there so many milliseconds ago; it is heard `late`.
fn comes(cache: &Cache, key: &Key, ago: u64, late: u64) -> Result<(), Refusal> {
    let stored = fresh(3_600_000);
    let (status, arrived) = (StatusCode::OK, cache.clock.now() - ago);
    let (rules, selecting) = (cache.rules(), Default::default());
    let entry = Entry::new(Parts {
        status,
        fields: vec![],
        tags: "",
        body: "old".into(),
        selecting,
        stored,
        arrived,
        position: Arc::default(),
    });
    let (served, mut message) = (rules.named("g").unwrap(), frame::message(&Default::default()));
    transfer::write(
        cache,
        key,
        &[Arc::new(entry)],
        Used { warm: false, touched: arrived },
        served.group.digest(),
        &mut message,
    );
    let (there, frames) = frame::read(&message).unwrap();
    transfer::take(
        cache,
        served,
        &cache.store.begin(key.clone(), cache.consistency.history.position()),
        &frames[0],
        late,
        &Arc::new(there),
        TransferKind::HandOver,
    )
}

#[test]
fn what_was_invalidated_does_not_come_back_from_elsewhere() {
    simulated::set(100_000);
    let cache = cache(&[]);
    let (changed, other) = (key(&cache, "/a?b=1", ""), key(&cache, "/a", ""));
    invalidate(&cache, &changed);
    assert_eq!(comes(&cache, &changed, 0, 0), Err(Refusal::Invalidated), "in the same millisecond");
    simulated::set(105_000);
    assert_eq!(comes(&cache, &changed, 60_000, 0), Err(Refusal::Invalidated));
    assert_eq!(comes(&cache, &changed, 4900, 100), Err(Refusal::Invalidated), "it may have arrived before");
    assert_eq!(comes(&cache, &other, 60_000, 0), Ok(()), "another target");
    assert_eq!(comes(&cache, &changed, 4800, 100), Ok(()), "it arrived later");
}

#[test]
fn nor_does_any_other_key_of_its_target() {
    simulated::set(100_000);
    let cache = cache(&["x-language"]);
    let of = |target, language| key(&cache, target, language);
    invalidate(&cache, &of("/a?b=1", "de"));
    simulated::set(105_000);
    for language in ["de", "en"] {
        assert_eq!(comes(&cache, &of("/a?b=1", language), 60_000, 0), Err(Refusal::Invalidated), "{language}");
        assert_eq!(comes(&cache, &of("/a", language), 60_000, 0), Ok(()), "another target");
        assert_eq!(comes(&cache, &of("/a?b=1", language), 4000, 0), Ok(()), "it arrived later");
    }
}

#[test]
fn what_was_freed_for_another_reason_may_come_back() {
    simulated::set(100_000);
    let cache = cache(&[]);
    let key = key(&cache, "/a", "");
    assert_eq!(comes(&cache, &key, 60_000, 0), Ok(()));
    removal::remove(&cache, &What { all: true, ..What::default() }, Fate::Gone);
    assert_eq!(comes(&cache, &key, 60_000, 0), Ok(()));
    cache.store.remove(&cache.rules().named("g").unwrap().share, key.hash(), cache.clock.now());
    assert_eq!(comes(&cache, &key, 60_000, 0), Err(Refusal::Invalidated));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_second_takes_nothing_of_its_target_and_is_carried_out() {
    assert!(size_of::<Invalidation>() <= 128 && !std::mem::needs_drop::<Invalidation>());
    for headers in [&[][..], &["x-language"]] {
        simulated::set(100_000);
        let cache = cache(headers);
        let (rules, key) = (cache.rules(), key(&cache, &format!("/{}", "x".repeat(50_000)), "de"));
        let served = rules.named("g").unwrap();
        let is_there = || cache.store.peek(&served.share, &key, cache.clock.now()).is_some();
        invalidate_when_due(&cache, served, &key);
        simulated::set(100_001);
        assert_eq!(comes(&cache, &key, 0, 0), Ok(()));
        invalidate_when_due(&cache, served, &key);
        invalidate_when_due(&cache, served, &key);
        assert!(is_there(), "it was invalidated a moment ago");
        simulated::set(101_000);
        tokio::time::sleep(Duration::from_millis(1001)).await;
        assert!(!is_there(), "{headers:?}");
    }
}

#[test]
fn the_target_stands_behind_the_path_of_the_call() {
    let of = |uri: &str| target(&uri.parse().unwrap()).map(|uri| uri.to_string());
    assert_eq!(of("/.meshcache/invalidate/a?b=1"), Some("/a?b=1".into()));
    assert_eq!(of("http://h/.meshcache/invalidate/"), Some("http://h/".into()));
    for bad in ["/.meshcache/invalidate", "/.meshcache/invalidated/a", "/a"] {
        assert_eq!(of(bad), None, "{bad}");
    }
}
