//! Coordinators that come and go: what is cached stays cached.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use meshcache_tests::coordinator::PEER_TOKEN;
use meshcache_tests::groups::SHOP;
use meshcache_tests::load::{Until, load};
use meshcache_tests::wait::SOON;
use meshcache_tests::{Ask, Gate, Mesh, Reply, await_until};
use serde_json::json;

/// How many warm keys; the issue's figures are with 10,000.
fn keys() -> usize {
    std::env::var("MESHCACHE_TEST_KEYS").map_or(1000, |keys| keys.parse().unwrap())
}

/// A mesh whose origin has so many keys that are fresh for an hour, and the requests for them. No proxy keeps any.
async fn warm(coordinators: usize, views: &[&[usize]]) -> (Mesh, Vec<Ask>) {
    let mesh = Mesh::of(coordinators, 0).views(views).groups(|groups| groups.set("shop", "/origin/maxLoads", json!(512))).start_cold().await;
    mesh.origin.forget_heads().on("*", |received| Reply::fresh(3600, received.uri.path().to_owned()));
    let asks: Vec<Ask> = (0..keys()).map(|i| Ask::get(SHOP, &format!("/warm/{i}"))).collect();
    (mesh, asks)
}

/// Asks for every key once, at these coordinators in turn: how many were loaded for it.
async fn ask_all(mesh: &Mesh, asks: &[Ask], at: &[usize]) -> usize {
    let before = mesh.origin.total();
    let targets: Vec<_> = at.iter().map(|i| mesh.coordinators.all[*i].ports.data).collect();
    let load = load(&targets, asks, 4 * at.len(), Until::Requests(asks.len() as u64)).await;
    assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
    mesh.origin.total() - before
}

async fn peers(mesh: &Mesh, i: usize) -> f64 {
    mesh.coordinators.all[i].metrics().await.get("kubegroup_peers", &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_keeps_what_is_cached() {
    let all: &[usize] = &[0, 1, 2];
    let (mut mesh, asks) = warm(3, &[all; 3]).await;
    assert_eq!(ask_all(&mesh, &asks, all).await, asks.len());
    let begun = Instant::now();
    let mut loads = 0;
    for i in 0..3 {
        mesh.coordinators.all[i].terminate(SOON).await;
        let others: Vec<usize> = all.iter().copied().filter(|other| *other != i).collect();
        let away = ask_all(&mesh, &asks, &others).await;
        mesh.coordinators.restart(i).await;
        let back = ask_all(&mesh, &asks, all).await;
        println!("peer-{i}: {away} loaded again while it was away, {back} when it was back");
        loads += away + back;
    }
    println!("{loads} of {} keys loaded again over the whole restart, {:?}", asks.len(), begun.elapsed());
    assert!(loads * 50 <= asks.len(), "{loads} of {} loaded again", asks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_more_and_back_keeps_what_is_cached() {
    // The first three were never told of the fourth: it says itself that it comes and that it leaves.
    let three: &[usize] = &[0, 1, 2];
    let (mut mesh, asks) = warm(4, &[three, three, three, &[0, 1, 2, 3]]).await;
    await_until(async || peers(&mesh, 0).await == 4.0, SOON, "the fourth has joined").await;
    mesh.coordinators.all[3].terminate(SOON).await;
    assert_eq!(peers(&mesh, 0).await, 3.0, "it has left");
    assert_eq!(ask_all(&mesh, &asks, three).await, asks.len());
    mesh.coordinators.restart(3).await;
    for i in 0..4 {
        await_until(async || peers(&mesh, i).await == 4.0, SOON, "all know of all").await;
    }
    let more = ask_all(&mesh, &asks, &[0, 1, 2, 3]).await;
    let owned = mesh.coordinators.all[3].metrics().await.sum("groupcache_cache_items", &[("type", "main")]);
    assert!(owned > asks.len() as f64 / 6.0, "the fourth has {owned} keys");
    mesh.coordinators.all[3].terminate(SOON).await;
    let less = ask_all(&mesh, &asks, three).await;
    println!("3 to 4: {more} loaded again, 4 to 3: {less}, of {}", asks.len());
    assert!((more + less) * 100 <= asks.len(), "{more} and {less} of {} loaded again", asks.len());
}

/// Three coordinators, the third of which the others know only by its word. It has stopped.
async fn third_to_come() -> Mesh {
    let (mut mesh, _) = warm(3, &[&[0, 1], &[0, 1], &[0, 1, 2]]).await;
    await_until(async || peers(&mesh, 0).await == 3.0 && peers(&mesh, 1).await == 3.0, SOON, "the third has joined").await;
    mesh.coordinators.all[2].terminate(SOON).await;
    assert_eq!(peers(&mesh, 0).await, 2.0, "it has left");
    mesh
}

async fn joined(mesh: &Mesh) {
    for i in 0..3 {
        await_until(async || peers(mesh, i).await == 3.0, SOON, "all know of all").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_owner_joins_a_load_that_the_owner_before_has_begun() {
    let mut mesh = third_to_come().await;
    let path = mesh.owned_by(2, SHOP, "/loading");
    let before = mesh.order(SHOP, &path)[1];
    let gate = Gate::shut();
    mesh.origin.always(&path, Reply::fresh(60, "once").behind(&gate));
    let ask = Ask::get(SHOP, &path);
    let (first, to) = (ask.clone(), mesh.coordinators.all[before].ports.data);
    let first = tokio::spawn(async move { first.send(to).await.unwrap().text() });
    await_until(async || mesh.origin.hits(&path) == 1, SOON, "the owner before is loading").await;
    mesh.coordinators.restart(2).await;
    joined(&mesh).await;
    let (second, to) = (ask.clone(), mesh.coordinators.all[2].ports.data);
    let second = tokio::spawn(async move { second.send(to).await.unwrap().text() });
    let told = async || mesh.coordinators.all[before].metrics().await.get("meshcache_peeks_answered_total", &[("outcome", "loading")]) >= 1.0;
    await_until(told, SOON, "the new owner is told that it is loading").await;
    gate.open();
    assert_eq!((first.await.unwrap().as_str(), second.await.unwrap().as_str()), ("once", "once"));
    assert_eq!(mesh.origin.hits(&path), 1, "one load");
    let peeks = mesh.coordinators.all[2].metrics().await;
    assert_eq!(peeks.get("meshcache_peeks_total", &[("outcome", "found")]), 1.0, "one peek");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_over_keeps_its_age_and_its_variants() {
    let mut mesh = Mesh::of(2, 0).start_cold().await;
    let path = mesh.owned_by(0, SHOP, "/variants");
    mesh.origin.on(&path, |received| Reply::fresh(3600, received.header("x-lang")).header("vary", "x-lang").header("age", "100"));
    let short = mesh.owned_by(0, SHOP, "/short");
    mesh.origin.always(&short, Reply::ok("short").header("cache-control", "max-age=1"));
    let of = |lang: &str| Ask::get(SHOP, &path).header("x-lang", lang);
    for lang in ["de", "en"] {
        assert_eq!(of(lang).send(mesh.coordinators.data()[0]).await.unwrap().text(), lang);
    }
    Ask::get(SHOP, &short).send(mesh.coordinators.data()[0]).await.unwrap();
    let items = async || mesh.coordinators.all[0].metrics().await.sum("groupcache_cache_items", &[("type", "main")]);
    await_until(async || items().await == 2.0, SOON, "what is of no use any more is gone").await;
    mesh.coordinators.all[0].terminate(SOON).await;
    for lang in ["de", "en"] {
        let answer = of(lang).send(mesh.coordinators.data()[1]).await.unwrap();
        let age: u64 = answer.header("age").parse().unwrap();
        assert_eq!((answer.text().as_str(), answer.cache_status().contains("; hit")), (lang, true), "{answer:?}");
        assert!((101..3600).contains(&age), "{age}");
    }
    assert_eq!(mesh.origin.hits(&path), 2);
    let received = mesh.coordinators.all[1].metrics().await;
    assert_eq!(received.get("meshcache_received_entries_total", &[("outcome", "taken")]), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stops_does_not_wait_for_a_frozen_peer_longer_than_it_may() {
    let mut mesh = Mesh::of(2, 0).arguments(&["--drain-timeout", "2s"]).start_cold().await;
    mesh.origin.on("*", |_| Reply::fresh(3600, "kept"));
    for i in 0..20 {
        Ask::get(SHOP, &format!("/kept/{i}")).send(mesh.coordinators.data()[0]).await.unwrap();
    }
    mesh.coordinators.all[1].freeze();
    let begun = Instant::now();
    mesh.coordinators.all[0].terminate(SOON).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(mesh.coordinators.all[0].process.log().contains("handed over"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_pushes_and_peeks_need_the_token_and_are_read_strictly() {
    let mesh = Mesh::of(2, 0).start_cold().await;
    let to = mesh.coordinators.all[0].ports.peer;
    let bearer = format!("Bearer {PEER_TOKEN}");
    let word = |name: &str, does: &str| format!(r#"{{"peer": {{"name": "{name}", "data": "127.0.0.1:1", "peer": "127.0.0.1:2"}}, "does": "{does}"}}"#);
    let (join, own, bad) = (word("new", "join"), word("peer-0", "leave"), word("new", "dance"));
    for (path, body, status, says) in [
        ("word", bad.as_bytes(), 400, "dance"),
        ("word", br#"{"peer": {"name": "a", "data": "host:1", "peer": "127.0.0.1:2"}, "does": "join"}"#, 400, "bad-address"),
        ("word", own.as_bytes(), 204, ""),
        ("push", b"", 400, "a frame is cut"),
        ("push", b"\x09rubbish", 400, "version 9 of frames is not the one spoken here (1)"),
        ("push", b"\x01\x00\x00\x00\x00\xff\xff\xff\xff", 400, "longer than"),
        ("push", b"\x01\x00\x00\x00\x00", 200, r#"{"taken":0,"refused":{}}"#),
        ("peek", b"no key", 204, ""),
        ("word", join.as_bytes(), 204, ""),
    ] {
        let ask = Ask::new("POST", "peer-0", &format!("/.meshcache/{path}")).body(body.to_vec());
        assert_eq!(ask.send(to).await.unwrap().status, 401, "{path}");
        let answer = ask.header("authorization", &bearer).send(to).await.unwrap();
        assert_eq!(answer.status, status, "{path} {answer:?}");
        assert!(answer.text().contains(says), "{path} {answer:?}");
        let joined = if body == join.as_bytes() { 3.0 } else { 2.0 };
        assert_eq!(peers(&mesh, 0).await, joined, "{path}");
        let get = Ask::get("peer-0", &format!("/.meshcache/{path}")).header("authorization", &bearer);
        assert_eq!(get.send(to).await.unwrap().status, 405);
    }
    // A join that is not said again counts for ten seconds.
    await_until(async || peers(&mesh, 0).await == 2.0, SOON, "it is forgotten").await;
}
