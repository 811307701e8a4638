//! More loads than a coordinator may have under way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::{Ask, Gate, Mesh, Reply, await_until, herd::Gathered, wait::SOON};
use serde_json::json;

async fn mesh(overload: &str) -> Mesh {
    let fields = json!({"patience": "300ms", "overload": overload, "origin": {"maxLoads": 2}});
    Mesh::of(1, 1).groups(|groups| groups.plus("busy", fields)).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_place_in_time_goes_to_the_service_by_itself() {
    // `stale` without a stale answer is `pass`.
    for overload in ["pass", "stale"] {
        let mesh = mesh(overload).await;
        for (via, to) in [("envoy", mesh.fronts()[0]), ("plain", mesh.coordinators.data()[0])] {
            let gate = Gate::shut();
            let path = |i: usize| format!("/{overload}/{via}/{}", i % 20);
            (0..20).for_each(|i| {
                mesh.origin.always(&path(i), Reply::fresh(60, path(i)).behind(&gate));
            });
            let herd = tokio::spawn(Gathered::gather(20, &[to], |i| Ask::get("busy.test", &path(i))).await.go());
            await_until(
                async || mesh.origin.under_way() == 20,
                SOON,
                "all are at the origin: two as loads, the others by themselves",
            )
            .await;
            gate.open();
            let herd = herd.await.unwrap();
            herd.expect_all_ok();
            assert!(herd.results.iter().enumerate().all(|(i, (answer, _))| answer.as_ref().unwrap().text() == path(i)));
            let stored = herd.answers().filter(|answer| answer.cache_status().contains("; stored")).count();
            assert_eq!(stored, 2, "as many as may load at a time were stored");
            // Places are given back.
            for i in 0..20 {
                let answer = Ask::get("busy.test", &path(i)).send(to).await.unwrap();
                assert_eq!((answer.status, answer.text()), (200, path(i)));
            }
            await_until(
                async || Ask::get("busy.test", &path(0)).send(to).await.unwrap().cache_status().contains("; hit"),
                SOON,
                "the cache caches again",
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_place_gets_it_when_one_is_free() {
    let mesh = mesh("pass").await;
    let path = |i: usize| format!("/turns/{i}");
    (0..8).for_each(|i| {
        mesh.origin.always(&path(i), Reply::fresh(60, path(i)).delay(Duration::from_millis(20)));
    });
    // Four rounds of two loads are done well within the patience.
    let herd = meshcache_tests::herd(8, &mesh.coordinators.data(), |i| Ask::get("busy.test", &path(i))).await;
    herd.expect_all_ok();
    let stored = herd.answers().filter(|answer| answer.cache_status().contains("; stored")).count();
    assert_eq!((stored, mesh.origin.total() - mesh.origin.hits("/meshcache-tests-probe")), (8, 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_refuses_says_when_to_come_back_and_spares_its_origin() {
    let mesh = mesh("503").await;
    for (via, to) in [("envoy", mesh.fronts()[0]), ("plain", mesh.coordinators.data()[0])] {
        let gate = Gate::shut();
        let path = |i: usize| format!("/refused/{via}/{i}");
        (0..12).for_each(|i| {
            mesh.origin.always(&path(i), Reply::fresh(60, path(i)).behind(&gate));
        });
        let first = tokio::spawn(Gathered::gather(2, &[to], |i| Ask::get("busy.test", &path(i))).await.go());
        await_until(async || mesh.origin.under_way() == 2, SOON, "both places are taken").await;
        let refused = meshcache_tests::herd(10, &[to], |i| Ask::get("busy.test", &path(i + 2))).await;
        for answer in refused.answers() {
            assert_eq!((answer.status, answer.header("retry-after").as_str()), (503, "1"), "{answer:?}");
        }
        assert_eq!(mesh.origin.under_way(), 2, "nothing of it goes to the origin");
        gate.open();
        first.await.unwrap().expect_all_ok();
        await_until(
            async || Ask::get("busy.test", &path(5)).send(to).await.unwrap().status == 200,
            SOON,
            "it serves again",
        )
        .await;
    }
    assert!(mesh.coordinators.all[0].process.log().contains("more loads than maxLoads"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stale_is_given_while_there_is_no_place() {
    let mesh = mesh("stale").await;
    let (to, gate) = (mesh.coordinators.data()[0], Gate::shut());
    mesh.origin.always("/was", Reply::fresh(1, "before").header("etag", "\"1\""));
    let ask = async || Ask::get("busy.test", "/was").send(to).await.unwrap();
    assert_eq!(ask().await.text(), "before");
    let held = |i: usize| format!("/holds/{i}");
    (0..2).for_each(|i| {
        mesh.origin.always(&held(i), Reply::fresh(60, "").behind(&gate));
    });
    let holding = tokio::spawn(Gathered::gather(2, &[to], |i| Ask::get("busy.test", &held(i))).await.go());
    await_until(async || mesh.origin.under_way() == 2, SOON, "both places are taken").await;
    let stale = async || ask().await.cache_status().contains("detail=overload");
    await_until(stale, SOON, "it is given stale").await;
    assert_eq!((ask().await.text(), mesh.origin.hits("/was")), ("before".to_owned(), 1));
    let metrics = mesh.coordinators.all[0].metrics().await;
    assert_eq!(metrics.get("meshcache_loads", &[("group", "busy")]), 2.0);
    gate.open();
    holding.await.unwrap().expect_all_ok();
    let idle = async || mesh.coordinators.all[0].metrics().await.get("meshcache_loads", &[("group", "busy")]) == 0.0;
    await_until(idle, SOON, "the places are free").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_let_go_together_do_not_arrive_together() {
    let mesh = mesh("pass").await;
    let (to, gate) = (mesh.coordinators.data()[0], Gate::shut());
    let held = |i: usize| format!("/keeps/{i}");
    (0..2).for_each(|i| {
        mesh.origin.always(&held(i), Reply::fresh(60, "").behind(&gate));
    });
    let holding = tokio::spawn(Gathered::gather(2, &[to], |i| Ask::get("busy.test", &held(i))).await.go());
    await_until(async || mesh.origin.under_way() == 2, SOON, "both places are taken").await;
    mesh.origin.always("*", Reply::fresh(60, ""));
    let herd = meshcache_tests::herd(20, &[to], |i| Ask::get("busy.test", &format!("/goes/{i}"))).await;
    herd.expect_all_ok();
    let (first, last) = (herd.within(0.0), herd.within(1.0));
    assert!(
        first >= Duration::from_millis(250) && last - first >= Duration::from_millis(80),
        "from {first:?} to {last:?}"
    );
    gate.open();
    holding.await.unwrap().expect_all_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jitter_lets_what_came_together_end_apart() {
    let mesh =
        Mesh::of(1, 1).groups(|groups| groups.plus("apart", json!({"freshness": {"jitter": "50%"}}))).start().await;
    mesh.origin.always("*", Reply::fresh(1000, "x"));
    let mut left = std::collections::BTreeSet::new();
    for i in 0..20 {
        let ask = async || Ask::get("apart.test", &format!("/{i}")).send(mesh.fronts()[0]).await.unwrap();
        ask().await;
        let answer = ask().await;
        let ttl = answer
            .cache_status()
            .split("ttl=")
            .nth(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap());
        let ttl = ttl.unwrap_or_else(|| panic!("{answer:?}"));
        assert!((490..=1000).contains(&ttl), "{ttl}");
        left.insert(ttl / 50);
    }
    assert!(left.len() >= 4, "in twentieths of the whole: {left:?}");
}
