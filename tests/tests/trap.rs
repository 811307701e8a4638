//! A trap in the filter, or its memory exhausted: nobody hangs, and later requests go on without it.
//!
//! These need a filter that can be told to trap: the feature `trap`, which `make test` builds apart from the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::{
    Ask, Gate, Mesh, Reply, Stopwatch, artifact, await_until, groups::SHOP, herd::Gathered, wait::SOON,
};

/// Where the example says that the filter is.
const FILTER: &str = "target/wasm32-wasip1/wasm/meshcache_filter.wasm";

async fn nobody_hangs(trap: &str) {
    let mesh =
        Mesh::of(2, 1).envoy(|envoy| envoy.replace(FILTER, artifact::trapping().to_str().unwrap())).start().await;
    let gate = Gate::shut();
    mesh.origin.always("/held", Reply::fresh(60, "held").behind(&gate)).always("/later", Reply::fresh(60, "later"));
    let active = async || {
        mesh.envoys[0]
            .stats()
            .await
            .sum("envoy_http_downstream_rq_active", &[("envoy_http_conn_manager_prefix", "front")])
    };
    let waiting = tokio::spawn(Gathered::gather(50, &mesh.fronts(), |_| Ask::get(SHOP, "/held")).await.go());
    await_until(async || active().await == 50.0, SOON, "fifty are paused").await;
    let begun = Stopwatch::start();
    let trapped = Ask::get(SHOP, "/trap").header("x-trap", trap).send(mesh.fronts()[0]).await.unwrap();
    assert_eq!(trapped.status, 503, "{trapped:?}");
    let waiting = waiting.await.unwrap();
    assert_eq!(waiting.statuses(), [(503, 50)].into());
    // Envoy's own timeout would end them after 15 s; to exhaust 1 GiB takes a busy machine some of them.
    assert!(begun.elapsed() < Duration::from_secs(12), "they had it after {:?}", begun.elapsed());
    gate.open();
    for i in 1..=10 {
        let later = Ask::get(SHOP, "/later").send(mesh.fronts()[0]).await.unwrap();
        assert_eq!((later.status, later.text()), (200, "later".to_owned()));
        assert_eq!(mesh.origin.hits("/later"), i, "they go on without the filter");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_a_503_for_all_who_wait_and_for_nobody_after() {
    nobody_hangs("panic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_memory_is_a_503_for_all_who_wait_and_for_nobody_after() {
    nobody_hangs("memory").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_filter_cannot_be_told_to_trap() {
    let mesh = Mesh::of(1, 1).start().await;
    mesh.origin.always("/trap", Reply::fresh(60, "x"));
    for trap in ["panic", "memory"] {
        let answer = Ask::get(SHOP, "/trap").header("x-trap", trap).send(mesh.fronts()[0]).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "x".to_owned()));
    }
    assert_eq!(mesh.origin.hits("/trap"), 1);
    let module = std::fs::read(artifact::filter()).unwrap();
    assert!(!module.windows(6).any(|bytes| bytes == b"x-trap"), "the word is in the module");
}
