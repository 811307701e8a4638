//! What an invalidation removes, what it keeps out afterwards, and how often it happens.

use super::*;
use crate::{
    cache::{
        removal,
        test_peers::{self, Counted, ask, data_port, owned_by, peer_port, question, set_ring, stop_time, until},
        transfer::{self, TransferKind},
        transfer_report::Refusal,
    },
    clock::simulated,
    store::{Parts, Recency, fresh},
};
use meshcache_protocol::{Groups, Request, frame, purge::Scope};
use std::net::SocketAddr;

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
    Key::of(&cache.group_table().named("g").unwrap().group, &request, None)
}

fn invalidate(cache: &Arc<Cache>, key: &Key) {
    let rules = cache.group_table();
    let served = rules.named("g").unwrap();
    super::invalidate(cache, served, &Invalidation::of(served, key));
}

/// Takes another coordinator's entry that arrived there `ago` milliseconds ago, from a message that was `late` on its
/// way.
fn take_from_peer(cache: &Cache, key: &Key, ago: u64, late: u64) -> Result<(), Refusal> {
    let stored = fresh(3_600_000);
    let (status, arrived) = (StatusCode::OK, cache.clock.now() - ago);
    let (rules, selecting) = (cache.group_table(), Default::default());
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
    let (served, mut message) = (rules.named("g").unwrap(), frame::new_message(&Default::default()));
    transfer::write(
        cache,
        key,
        &[Arc::new(entry)],
        Recency { warm: false, touched: arrived },
        served.group.digest(),
        &mut message,
    );
    let (there, frames) = frame::read(&message).unwrap();
    transfer::take(
        cache,
        served,
        &cache.store.begin(key.clone(), cache.consistency.position()),
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
    assert_eq!(take_from_peer(&cache, &changed, 0, 0), Err(Refusal::Invalidated), "in the same millisecond");
    simulated::set(105_000);
    assert_eq!(take_from_peer(&cache, &changed, 60_000, 0), Err(Refusal::Invalidated));
    assert_eq!(take_from_peer(&cache, &changed, 4900, 100), Err(Refusal::Invalidated), "it may have arrived before");
    assert_eq!(take_from_peer(&cache, &other, 60_000, 0), Ok(()), "another target");
    assert_eq!(take_from_peer(&cache, &changed, 4800, 100), Ok(()), "it arrived later");
}

#[test]
fn nor_does_any_other_key_of_its_target() {
    simulated::set(100_000);
    let cache = cache(&["x-language"]);
    let of = |target, language| key(&cache, target, language);
    invalidate(&cache, &of("/a?b=1", "de"));
    simulated::set(105_000);
    for language in ["de", "en"] {
        assert_eq!(take_from_peer(&cache, &of("/a?b=1", language), 60_000, 0), Err(Refusal::Invalidated), "{language}");
        assert_eq!(take_from_peer(&cache, &of("/a", language), 60_000, 0), Ok(()), "another target");
        assert_eq!(take_from_peer(&cache, &of("/a?b=1", language), 4000, 0), Ok(()), "it arrived later");
    }
}

#[test]
fn what_was_freed_for_another_reason_may_come_back() {
    simulated::set(100_000);
    let cache = cache(&[]);
    let key = key(&cache, "/a", "");
    assert_eq!(take_from_peer(&cache, &key, 60_000, 0), Ok(()));
    removal::remove(&cache, &Scope { all: true, ..Scope::default() }, PurgeAction::Remove);
    assert_eq!(take_from_peer(&cache, &key, 60_000, 0), Ok(()));
    cache.store.remove(&cache.group_table().named("g").unwrap().quota, key.hash(), cache.clock.now());
    assert_eq!(take_from_peer(&cache, &key, 60_000, 0), Err(Refusal::Invalidated));
}

#[tokio::test(start_paused = true)]
async fn a_pending_invalidation_holds_no_bytes_of_its_target_and_takes_effect() {
    assert!(size_of::<Invalidation>() <= 128 && !std::mem::needs_drop::<Invalidation>());
    for headers in [&[][..], &["x-language"]] {
        simulated::set(100_000);
        let cache = cache(headers);
        let (rules, key) = (cache.group_table(), key(&cache, &format!("/{}", "x".repeat(50_000)), "de"));
        let served = rules.named("g").unwrap();
        let is_there = || cache.store.peek(&served.quota, &key, cache.clock.now()).is_some();
        invalidate_when_due(&cache, served, &key);
        simulated::set(100_001);
        assert_eq!(take_from_peer(&cache, &key, 0, 0), Ok(()));
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

/// A coordinator that knows peers, and their ports.
async fn ring(names: &[&'static str]) -> Vec<(Arc<Cache>, SocketAddr)> {
    let origin = Counted::origin("new").await;
    origin.open();
    let (mut all, mut peers) = (Vec::new(), Vec::new());
    for name in names {
        let cache = test_peers::cache(name, 1 << 20, &origin.url());
        peers.push((*name, peer_port(&cache).await));
        let data = data_port(&cache).await;
        all.push((cache, data));
    }
    set_ring(&all.iter().map(|(cache, _)| cache).collect::<Vec<_>>(), &peers);
    all
}

#[tokio::test]
async fn an_unsafe_request_that_succeeds_invalidates_its_target_here_at_the_owner_and_at_the_next_peer() {
    let _stopped = stop_time();
    let ring = ring(&["a", "b", "c", "d"]).await;
    let order = ring[0].0.cluster.ring();
    // A target of which the first is neither owner nor next, so that each of the four has a part of its own.
    let target =
        owned_by(&ring[0].0, "c").find(|target| order.order(test_peers::key(&ring[0].0, target).hash())[1].name == "b");
    let target = target.unwrap();
    for (cache, _) in &ring {
        test_peers::store(cache, &target, "old", 0);
        test_peers::store(cache, "/other", "kept", 0);
    }
    assert_eq!(ask("POST", ring[0].1, &target).await.status, 200);
    let has = |cache: &Arc<Cache>| test_peers::stored(cache, &target).is_some();
    until("peers have invalidated it", || !has(&ring[1].0) && !has(&ring[2].0)).await;
    assert_eq!(ring.iter().map(|(cache, _)| has(cache)).collect::<Vec<_>>(), [false, false, false, true]);
    assert!(ring.iter().all(|(cache, _)| test_peers::stored(cache, "/other").is_some()));
}

#[tokio::test]
async fn a_safe_or_failed_request_invalidates_nothing() {
    let _stopped = stop_time();
    let failing = Counted::new(|_| test_peers::status(500)).await;
    let cache = test_peers::cache("me", 1 << 20, &failing.url());
    let data = data_port(&cache).await;
    test_peers::store(&cache, "/a", "kept", 0);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(ask(method, data, "/a").await.status, 500, "{method}");
        assert!(test_peers::stored(&cache, "/a").is_some(), "{method}");
    }
}

#[tokio::test]
async fn an_invalidation_call_says_what_is_wrong_with_it() {
    let _stopped = stop_time();
    let cache = test_peers::cache("me", 1 << 20, "http://127.0.0.1:1");
    let data = data_port(&cache).await;
    test_peers::store(&cache, "/a", "old", 0);
    let get = ask("GET", data, "/.meshcache/invalidate/a").await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    assert_eq!(ask("POST", data, "/.meshcache/invalidate").await.status, 400, "no target");
    assert!(test_peers::stored(&cache, "/a").is_some());
    assert_eq!(ask("POST", data, "/.meshcache/invalidate/a").await.status, 204);
    assert_eq!(test_peers::stored(&cache, "/a"), None);
    cache.set_groups(Arc::default()).unwrap();
    assert_eq!(ask("POST", data, "/.meshcache/invalidate/a").await.status, 421, "no group");
}

#[tokio::test]
async fn a_proxy_that_has_seen_a_key_change_is_not_given_what_is_older() {
    let _stopped = stop_time();
    let origin = Counted::origin("new").await;
    origin.open();
    let cache = test_peers::cache("me", 1 << 20, &origin.url());
    let data = data_port(&cache).await;
    test_peers::store(&cache, "/a", "old", 5000);
    assert_eq!(question(&cache, data, "/a", "").await.body, "old");
    assert_eq!(question(&cache, data, "/a", "changed=6000").await.body, "old", "it has come after the change");
    assert_eq!(question(&cache, data, "/a", "changed=1000").await.body, "new");
    assert_eq!((question(&cache, data, "/a", "").await.body, origin.count()), ("new".into(), 1), "it is stored");
}

#[tokio::test]
async fn a_load_under_way_is_not_joined_after_an_invalidation_and_not_stored() {
    let _stopped = stop_time();
    let origin = Counted::gated(|n| {
        let mut response = Response::new(Body::from(format!("version {n}")));
        response.headers_mut().insert("cache-control", http::HeaderValue::from_static("max-age=3600"));
        response
    })
    .await;
    for (headers, target) in [(&[][..], "/a?b=1"), (&["x-language"], "/a?b=2")] {
        let cache = test_peers::cache("me", 1 << 20, &origin.url());
        let fields = serde_json::json!({"origin": {"url": origin.url()}, "key": {"headers": headers}});
        test_peers::configure(&cache, fields);
        let (data, before) = (data_port(&cache).await, origin.count());
        let first = tokio::spawn(async move { test_peers::get(data, target).await.body });
        until("it is being loaded", || origin.count() == before + 1).await;
        let call = format!("/.meshcache/invalidate{target}");
        assert_eq!(ask("POST", data, &call).await.status, 204);
        let second = tokio::spawn(async move { test_peers::get(data, target).await.body });
        until("it is loaded anew", || origin.count() == before + 2).await;
        origin.gate.add_permits(2);
        let bodies = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(bodies, (format!("version {before}").into(), format!("version {}", before + 1).into()));
        assert_eq!(test_peers::get(data, target).await.body, bodies.1);
        origin.gate.forget_permits(2);
    }
}
