//! More loads than a coordinator may have under way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::herd::Gathered;
use meshcache_tests::wait::SOON;
use meshcache_tests::{Ask, Gate, Mesh, Reply, await_until};
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
            await_until(async || mesh.origin.under_way() == 20, SOON, "all are at the origin: two as loads, the others by themselves").await;
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
            await_until(async || Ask::get("busy.test", &path(0)).send(to).await.unwrap().cache_status().contains("; hit"), SOON, "the cache caches again")
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
