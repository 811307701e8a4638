//! Coordinators that come and go: what is cached stays cached.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::{
    Ask, Coordinator, Gate, Mesh, Origin, Reply, Stopwatch, await_until,
    change::{peers, rolling_restart, scale, warm_keys},
    coordinator::PEER_TOKEN,
    groups::SHOP,
    process::Signal,
    wait::SOON,
};

/// How many warm keys; the figures, with 10,000, are `make bench FIGURES=change`.
const KEYS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_keeps_what_is_cached() {
    let restart = rolling_restart(KEYS).await;
    assert!(restart.loads() * 50 <= KEYS, "{restart:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_more_and_back_keeps_what_is_cached() {
    let scaled = scale(KEYS).await;
    assert!(scaled.owned > KEYS as f64 / 6.0 && (scaled.more + scaled.less) * 100 <= KEYS, "{scaled:?}");
}

/// Three coordinators, the third of which the others know only by its word. It has stopped.
async fn third_to_come() -> Mesh {
    let (mut mesh, _) = warm_keys(0, &[&[0, 1], &[0, 1], &[0, 1, 2]]).await;
    await_until(async || peers(&mesh, 0).await == 3.0 && peers(&mesh, 1).await == 3.0, SOON, "the third has joined")
        .await;
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
    let told = async || {
        mesh.coordinators.all[before].metrics().await.get("meshcache_peeks_answered_total", &[("outcome", "loading")])
            >= 1.0
    };
    await_until(told, SOON, "the new owner is told that it is loading").await;
    gate.open();
    assert_eq!((first.await.unwrap().as_str(), second.await.unwrap().as_str()), ("once", "once"));
    assert_eq!(mesh.origin.hits(&path), 1, "one load");
    let peeks = mesh.coordinators.all[2].metrics().await;
    assert_eq!(peeks.get("meshcache_peeks_total", &[("outcome", "found")]), 1.0, "one peek");
}

/// Three coordinators that came one after another, and a path for which each was the owner when it came. The first
/// still has the answer that it loaded while it was alone; the second has seen it change since, and told the third.
async fn changed_behind_the_first() -> (Mesh, String) {
    let (mut mesh, _) = warm_keys(0, &[&[0], &[0, 1], &[0, 1, 2]]).await;
    joined(&mesh).await;
    for i in [2, 1] {
        mesh.coordinators.all[i].terminate(SOON).await;
    }
    assert_eq!(peers(&mesh, 0).await, 1.0, "the others have left");
    let mut paths = (0..).map(|i| format!("/changed-{i}"));
    let path = paths.find(|path| mesh.order(SHOP, path) == [1, 2, 0]).unwrap();
    mesh.origin.always(&path, Reply::fresh(3600, "old"));
    assert_eq!(Ask::get(SHOP, &path).send(mesh.coordinators.data()[0]).await.unwrap().text(), "old");
    mesh.coordinators.restart(1).await;
    await_until(async || peers(&mesh, 0).await == 2.0 && peers(&mesh, 1).await == 2.0, SOON, "the second has joined")
        .await;
    mesh.coordinators.restart(2).await;
    joined(&mesh).await;
    mesh.origin.always(&path, Reply::fresh(3600, "new"));
    let change = Ask::new("POST", SHOP, &path).body("x").send(mesh.coordinators.data()[1]).await.unwrap();
    assert_eq!(change.status, 200);
    (mesh, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_owner_does_not_take_what_it_has_seen_change_from_the_owner_before() {
    let (mesh, path) = changed_behind_the_first().await;
    let answer = Ask::get(SHOP, &path).send(mesh.coordinators.data()[1]).await.unwrap();
    assert_eq!(answer.text(), "new", "{answer:?}");
    let peeks = mesh.coordinators.all[1].metrics().await;
    assert_eq!(peeks.get("meshcache_peeks_total", &[("outcome", "found")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_that_one_leaves_and_hands_it_over() {
    let (mut mesh, path) = changed_behind_the_first().await;
    mesh.coordinators.all[0].terminate(SOON).await;
    let received = mesh.coordinators.all[1].metrics().await;
    assert_eq!(received.sum("meshcache_received_entries_total", &[]), 1.0, "it was handed over");
    assert_eq!(received.get("meshcache_received_entries_total", &[("outcome", "taken")]), 0.0, "and not taken");
    let answer = Ask::get(SHOP, &path).send(mesh.coordinators.data()[1]).await.unwrap();
    assert_eq!(answer.text(), "new", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_over_keeps_its_age_and_its_variants() {
    let mut mesh = Mesh::of(2, 0).start_cold().await;
    let path = mesh.owned_by(0, SHOP, "/variants");
    mesh.origin.on(&path, |received| {
        Reply::fresh(3600, received.header("x-lang")).header("vary", "x-lang").header("age", "100")
    });
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
    let begun = Stopwatch::start();
    mesh.coordinators.all[0].terminate(SOON).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(mesh.coordinators.all[0].process.log().contains("handed over"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_pushes_and_peeks_need_the_token_and_are_read_strictly() {
    let mesh = Mesh::of(2, 0).start_cold().await;
    let to = mesh.coordinators.all[0].ports.peer;
    let bearer = format!("Bearer {PEER_TOKEN}");
    let word = |name: &str, does: &str| {
        format!(r#"{{"peer": {{"name": "{name}", "data": "127.0.0.1:1", "peer": "127.0.0.1:2"}}, "does": "{does}"}}"#)
    };
    let (join, own, bad) = (word("new", "join"), word("peer-0", "leave"), word("new", "dance"));
    for (path, body, status, says) in [
        ("word", bad.as_bytes(), 400, "dance"),
        (
            "word",
            br#"{"peer": {"name": "a", "data": "host:1", "peer": "127.0.0.1:2"}, "does": "join"}"#,
            400,
            "bad-address",
        ),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_leaves_says_so_to_whoever_comes() {
    let mesh = Mesh::of(2, 0).start_cold().await;
    let gate = Gate::shut();
    mesh.origin.always("/held", Reply::fresh(60, "held").behind(&gate));
    let (leaving, held) = (&mesh.coordinators.all[0], Ask::get(SHOP, "/held"));
    let to = leaving.ports.data;
    let held = tokio::spawn(async move { held.send(to).await.unwrap().text() });
    await_until(async || mesh.origin.hits("/held") == 1, SOON, "a request keeps it from ending").await;
    leaving.process.signal(Signal::TERM);
    await_until(async || peers(&mesh, 1).await == 1.0, SOON, "the other one has heard of it").await;
    let joins = r#"{"peer": {"name": "new", "data": "127.0.0.1:1", "peer": "127.0.0.1:2"}, "does": "join"}"#;
    let ask = Ask::new("POST", "peer-0", "/.meshcache/word")
        .header("authorization", format!("Bearer {PEER_TOKEN}"))
        .body(joins);
    let answer = ask.send(leaving.ports.peer).await.unwrap();
    let said: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!((&said["peer"]["name"], &said["does"]), (&"peer-0".into(), &"leave".into()), "{answer:?}");
    gate.open();
    assert_eq!(held.await.unwrap(), "held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_left_and_are_back_hear_of_one_that_they_do_not_know() {
    let mut mesh = Mesh::of(3, 0).views(&[&[0, 1], &[0, 1], &[0, 1, 2]]).start_cold().await;
    joined(&mesh).await;
    for i in [0, 1] {
        mesh.coordinators.all[i].terminate(SOON).await;
    }
    await_until(async || peers(&mesh, 2).await == 1.0, SOON, "the third is alone").await;
    for i in [0, 1] {
        mesh.coordinators.restart(i).await;
    }
    // It does not wait until their last words no longer count, after ten seconds: it would have its own ring, and hear
    // of no purge.
    let agree = async || peers(&mesh, 0).await == 3.0 && peers(&mesh, 1).await == 3.0 && peers(&mesh, 2).await == 3.0;
    await_until(agree, Duration::from_secs(8), "all know of all again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_takes_that_for_its_word() {
    // A peer that says nothing of its own accord, and answers what one that leaves answers.
    let leaving = Origin::start().await;
    let port = leaving.addr.port();
    let word = format!(
        r#"{{"peer": {{"name": "leaving", "data": "127.0.0.1:{port}", "peer": "127.0.0.1:{port}"}}, "does": "leave"}}"#
    );
    leaving.always("/.meshcache/word", Reply::ok(word));
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, PEER_TOKEN).unwrap();
    let peers = format!("alone=127.0.0.1:1/1,leaving=127.0.0.1:{port}/{port}");
    let arguments = ["--peers", &peers, "--peer-token-file", token.path().to_str().unwrap()];
    let coordinator = Coordinator::in_front_of("http://127.0.0.1:1", &arguments).await;
    await_until(
        async || coordinator.metrics().await.get("kubegroup_peers", &[]) == 1.0,
        SOON,
        "it is alone in its ring",
    )
    .await;
}
