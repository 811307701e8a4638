//! What may befall coordinators, and what clients see of it: their answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use meshcache_tests::{
    Ask, Connection, Coordinator, Gate, Groups, Mesh, Reply, Stopwatch, await_until,
    change::until_back,
    client,
    groups::SHOP,
    herd,
    herd::Gathered,
    load::{Until, load},
    process::Signal,
    purging::order,
    wait::SOON,
};
use serde_json::json;

/// An owner that says nothing for so long is taken for dead.
const PATIENCE: Duration = Duration::from_millis(400);
/// What a busy machine may add to any time.
const SLACK: Duration = Duration::from_millis(1_500);

fn impatient(groups: Groups) -> Groups {
    groups.set("shop", "/patience", json!("400ms"))
}

/// So many clients that wait in an Envoy for one key whose load is held back at the origin.
async fn waiting_herd(mesh: &Mesh, n: usize, path: &str) -> tokio::task::JoinHandle<herd::Herd> {
    let waiting = Gathered::gather(n, &mesh.fronts(), |_| Ask::get(SHOP, path)).await;
    let herd = tokio::spawn(waiting.go());
    let active = async || {
        mesh.envoys[0]
            .stats()
            .await
            .sum("envoy_http_downstream_rq_active", &[("envoy_http_conn_manager_prefix", "front")])
    };
    await_until(async || active().await == n as f64 && mesh.origin.hits(path) == 1, SOON, "all wait for one load")
        .await;
    herd
}

/// Strikes a key's owner while a herd waits for its load: the next peer loads it within that time, once, and all have
/// their answer.
async fn strike_in_flight(mesh: &mut Mesh, stem: &str, strike: impl FnOnce(&mut Coordinator), within: Duration) {
    let path = mesh.owned_by(0, SHOP, stem);
    let gate = Gate::shut();
    mesh.origin.always(&path, Reply::fresh(60, "alive").behind(&gate));
    let herd = waiting_herd(mesh, 50, &path).await;
    strike(&mut mesh.coordinators.all[0]);
    let struck = Stopwatch::start();
    await_until(async || mesh.origin.hits(&path) == 2, SOON, "the next peer loads it").await;
    assert!(struck.elapsed() < within, "the next peer loaded it after {:?}", struck.elapsed());
    gate.open();
    let herd = herd.await.unwrap();
    herd.expect_all_ok();
    assert!(herd.answers().all(|answer| answer.text() == "alive"));
    assert_eq!(mesh.origin.hits(&path), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_dies_with_a_flight_open_costs_a_second_load_and_no_answer() {
    let mut mesh = Mesh::of(3, 1).start().await;
    strike_in_flight(&mut mesh, "/dies", |owner| owner.kill(), SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_dead_already_is_replaced_by_its_next() {
    let mut mesh = Mesh::of(3, 1).start().await;
    mesh.coordinators.all[0].kill();
    for i in 0..10 {
        let path = mesh.owned_by(0, SHOP, &format!("/dead-{i}"));
        mesh.origin.always(&path, Reply::fresh(60, "alive"));
        let begun = Stopwatch::start();
        for to in [mesh.fronts()[0], mesh.coordinators.data()[1], mesh.coordinators.data()[2]] {
            let answer = Ask::get(SHOP, &path).send(to).await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "alive".to_owned()));
        }
        assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
        assert_eq!(mesh.origin.hits(&path), 1, "the next peer has it for all of them");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_is_waited_for_no_longer_than_the_patience() {
    let mesh = Mesh::of(3, 1).groups(impatient).start().await;
    let path = mesh.owned_by(0, SHOP, "/frozen");
    mesh.origin.always(&path, Reply::fresh(60, "alive"));
    mesh.coordinators.all[0].freeze();
    let begun = Stopwatch::start();
    let answer = Ask::get(SHOP, &path).send(mesh.fronts()[0]).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "alive".to_owned()));
    assert!(begun.elapsed() < PATIENCE + SLACK, "{:?}", begun.elapsed());
    // It came from the next peer, which has it now; a client without Envoy at the third one finds it there too.
    let order = mesh.order(SHOP, &path);
    let next = Ask::get(SHOP, &path).send(mesh.coordinators.data()[order[1]]).await.unwrap();
    assert!(next.cache_status().contains("; hit"), "{next:?}");
    let begun = Stopwatch::start();
    let third = Ask::get(SHOP, &path).send(mesh.coordinators.data()[order[2]]).await.unwrap();
    assert_eq!((third.status, third.text()), (200, "alive".to_owned()));
    assert!(begun.elapsed() < PATIENCE + SLACK, "{:?}", begun.elapsed());
    assert_eq!(mesh.origin.hits(&path), 1);
    mesh.coordinators.all[0].thaw();
    let path = mesh.owned_by(0, SHOP, "/thawed");
    mesh.origin.always(&path, Reply::fresh(60, "alive"));
    let back = async || {
        Ask::get(SHOP, &path).send(mesh.fronts()[0]).await.unwrap();
        Ask::get(SHOP, &path)
            .header("cache-control", "only-if-cached")
            .send(mesh.coordinators.data()[0])
            .await
            .unwrap()
            .status
            == 200
    };
    await_until(back, SOON, "the owner is asked again when it lives").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_freezes_with_a_flight_open_costs_a_second_load_and_no_answer() {
    let mut mesh = Mesh::of(3, 1).groups(impatient).start().await;
    strike_in_flight(&mut mesh, "/freezes", |owner| owner.freeze(), PATIENCE + SLACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_coordinator_the_service_answers_and_when_they_are_back_the_cache_does() {
    let mut mesh = Mesh::of(3, 1).start().await;
    mesh.origin.always("/kept", Reply::fresh(3600, "kept")).always("/other", Reply::fresh(3600, "other"));
    let front = mesh.fronts()[0];
    let ask = async |path: &str| Ask::get(SHOP, path).send(front).await.unwrap();
    let hot = async || ask("/kept").await.cache_status().contains("detail=proxy");
    await_until(hot, SOON, "it is hot").await;
    // The proxy will remember a purge that nobody else remembers then.
    let (status, report) = order(&mesh.coordinators.all[0], r#"{"group": "shop", "paths": ["/kept"]}"#).await;
    assert_eq!(status, 200, "{report}");
    await_until(async || !hot().await, SOON, "the proxy hears of it").await;
    await_until(hot, SOON, "it is hot again").await;
    mesh.coordinators.all.iter_mut().for_each(Coordinator::kill);
    let down = Stopwatch::start();
    for i in 1..=20 {
        let begun = Stopwatch::start();
        let answer = ask("/other").await;
        assert_eq!((answer.status, answer.text(), mesh.origin.hits("/other")), (200, "other".to_owned(), i));
        assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    }
    // Hot copies end: nobody would tell of a purge.
    let ended = async || {
        let answer = ask("/kept").await;
        assert_eq!((answer.status, answer.text()), (200, "kept".to_owned()));
        !answer.cache_status().contains("; hit")
    };
    await_until(ended, SOON, "the hot copy is used no more").await;
    assert!(down.elapsed() < Duration::from_secs(3) + SLACK, "hot copies were used for {:?}", down.elapsed());
    // It asks none of them now for each request: only whether they are back.
    let asked = async || {
        mesh.envoys[0].stats().await.sum("envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", "meshcache")])
    };
    let before = asked().await;
    let load = load(&[front], &[Ask::get(SHOP, "/other")], 4, Until::Requests(100)).await;
    assert_eq!((load.requests, load.errors), (100, vec![]));
    let questions = asked().await - before;
    assert!(questions < 50.0, "{questions} questions to nobody for 500 requests");
    let back = until_back(&mut mesh).await;
    assert!(back < Duration::from_secs(3) + SLACK, "the cache answered again after {back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_whose_coordinators_were_all_replaced_finds_the_new_ones() {
    // The third is in a ring of its own: the first two never tell of it.
    let mut mesh = Mesh::of(3, 1).views(&[&[0, 1], &[0, 1], &[2]]).start_cold().await;
    mesh.coordinators.all[2].kill();
    mesh.wait_cached().await;
    mesh.coordinators.restart(2).await;
    mesh.coordinators.all[..2].iter_mut().for_each(Coordinator::kill);
    mesh.origin.always("/found", Reply::fresh(60, "found"));
    let (front, ask) = (mesh.fronts()[0], Ask::get(SHOP, "/found"));
    let cached = async || ask.send(front).await.unwrap().cache_status().contains("; hit");
    await_until(cached, SOON, "the third is asked, of which only Envoy knows").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_coordinator_a_hot_copy_stands_in_for_a_service_that_fails_for_three_seconds() {
    let brief = |groups: Groups| {
        groups.set("shop", "/freshness/staleIfError", json!("1h")).set("shop", "/hot/ttl", json!("200ms"))
    };
    let mut mesh = Mesh::of(2, 1).groups(brief).start().await;
    let front = mesh.fronts()[0];
    let ask = async |path: &str| Ask::get(SHOP, path).send(front).await.unwrap();
    mesh.origin
        .always("/spare", Reply::fresh(1, "spare"))
        .always("/strict", Reply::ok("strict").header("cache-control", "max-age=1, stale-if-error=0"));
    let hot = async || {
        ask("/strict").await.cache_status().contains("detail=proxy")
            && ask("/spare").await.cache_status().contains("detail=proxy")
    };
    await_until(hot, SOON, "both are hot").await;
    mesh.coordinators.all.iter_mut().for_each(Coordinator::kill);
    let down = Instant::now();
    // The service is well: its own answers are better than what is hot and old.
    let passes = async || ask("/spare").await.cache_status().contains("fwd=bypass");
    await_until(passes, SOON, "the service is asked").await;
    mesh.origin
        .always("*", Reply::status(503))
        .always("/spare", Reply::status(503))
        .always("/strict", Reply::status(503));
    let (mut stood_in, mut last) = (0, down);
    loop {
        let asked = Instant::now();
        let (spare, strict) = (ask("/spare").await, ask("/strict").await);
        assert!(strict.status == 503 || strict.cache_status().contains("detail=proxy"), "{strict:?}");
        if spare.status == 503 && asked > down + Duration::from_secs(3) {
            break;
        }
        if spare.status == 200 {
            assert_eq!(
                (spare.text(), spare.cache_status().contains("; hit; ttl=")),
                ("spare".to_owned(), true),
                "{spare:?}"
            );
            assert_eq!(spare.header("cache-control"), "max-age=1", "{spare:?}");
            stood_in += usize::from(spare.cache_status().contains("detail=origin-error"));
            last = asked;
        }
    }
    assert!(stood_in > 0, "nothing stood in");
    assert!(last < down + Duration::from_secs(3) + SLACK, "hot copies stood in for {:?}", last - down);
    let stats = async || mesh.envoys[0].stats().await.sum("meshcache_filter_stale_if_error", &[]) == stood_in as f64;
    await_until(stats, SOON, "each is counted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_origin_is_waited_for_and_never_asked_twice() {
    // A group of its own with the usual patience of 1 s.
    let mesh = Mesh::of(3, 1).groups(|groups| groups.plus("slow", json!({}))).start().await;
    let path = mesh.owned_by(0, "slow.test", "/slow");
    mesh.origin.always(&path, Reply::fresh(60, "at last").delay(Duration::from_secs(5)));
    let targets = [mesh.fronts(), mesh.coordinators.data()].concat();
    let begun = Stopwatch::start();
    let herd = herd(40, &targets, |_| Ask::get("slow.test", &path)).await;
    herd.expect_all_ok();
    assert!(herd.answers().all(|answer| answer.text() == "at last"));
    assert!(begun.elapsed() < Duration::from_secs(5) + SLACK, "{:?}", begun.elapsed());
    assert_eq!(mesh.origin.hits(&path), 1);
    let loads: Vec<f64> = mesh
        .coordinators
        .metrics()
        .await
        .iter()
        .map(|of| of.sum("groupcache_local_load_total", &[("group", "slow")]))
        .collect();
    assert_eq!(loads, [1.0, 0.0, 0.0], "it was its owner's load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_that_do_not_agree_who_is_there_load_once_for_each_view() {
    for (views, most) in
        [([&[0, 1, 2][..], &[0, 1], &[0, 1, 2]], 2), ([&[0, 1], &[1, 2], &[2, 0]], 3), ([&[0], &[1], &[2]], 3)]
    {
        let mesh = Mesh::of(3, 1).views(&views).start().await;
        let targets = [mesh.fronts(), mesh.coordinators.data()].concat();
        for i in 0..10 {
            let path = format!("/view-{i}");
            mesh.origin.always(&path, Reply::fresh(60, path.clone()).delay(Duration::from_millis(100)));
            for _ in 0..2 {
                let begun = Stopwatch::start();
                let herd = herd(20, &targets, |_| Ask::get(SHOP, &path)).await;
                herd.expect_all_ok();
                assert!(herd.answers().all(|answer| answer.text() == path));
                assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            }
            assert!(mesh.origin.hits(&path) <= most, "{} loads of {path} for {views:?}", mesh.origin.hits(&path));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_told_to_stop_ends_what_it_has_begun() {
    let mut mesh = Mesh::of(1, 0).start().await;
    let gate = Gate::shut();
    mesh.origin.always("/last", Reply::fresh(60, "the last one").behind(&gate));
    let mut connection = Connection::open(mesh.coordinators.data()[0]).await.unwrap();
    let last = tokio::spawn(async move { connection.send(&Ask::get(SHOP, "/last")).await });
    await_until(async || mesh.origin.hits("/last") == 1, SOON, "it is loading").await;
    let coordinator = &mut mesh.coordinators.all[0];
    coordinator.process.signal(Signal::TERM);
    let leaving =
        async || !client::get(coordinator.ports.status, "/readyz").await.is_ok_and(|answer| answer.status == 200);
    await_until(leaving, SOON, "it is ready no more").await;
    assert!(coordinator.process.exited().is_none(), "it did not wait for what it had begun");
    gate.open();
    let answer = last.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "the last one".to_owned()));
    assert!(coordinator.process.exit(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_that_are_replaced_one_by_one_cost_no_answer() {
    let mut mesh = Mesh::of(3, 1).start().await;
    mesh.origin.forget_heads().always("*", Reply::fresh(1, "here"));
    let fronts = mesh.fronts();
    let asks: Vec<Ask> = (0..97).map(|i| Ask::get(SHOP, &format!("/rolling/{i}"))).collect();
    let (done, mut over) = tokio::sync::watch::channel(false);
    let clients = tokio::spawn(async move {
        let mut rounds = 0;
        while !*over.borrow_and_update() {
            let load = load(&fronts, &asks, 8, Until::Requests(100)).await;
            assert_eq!((load.requests, load.errors), (100, vec![]));
            rounds += 1;
        }
        rounds
    });
    for i in 0..3 {
        mesh.coordinators.all[i].terminate(SOON).await;
        mesh.coordinators.restart(i).await;
    }
    done.send_replace(true);
    assert!(clients.await.unwrap() > 3);
}
