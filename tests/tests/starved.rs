//! A mesh that gets a tenth of its CPU: it is slow, and still no herd reaches the service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::{Ask, Mesh, Reply, herd::Gathered, process::Starved};
use serde_json::json;

const CLIENTS: usize = 400;
const KEYS: usize = 20;
const ORIGIN_TIME: Duration = Duration::from_millis(500);

/// All coordinators and Envoys are stopped for 90 ms of each 100.
fn starve(mesh: &Mesh) -> Starved {
    let coordinators = mesh.coordinators.all.iter().map(|coordinator| coordinator.process.pid());
    let pids = coordinators.chain(mesh.envoys.iter().map(|envoy| envoy.process.pid())).collect();
    Starved::begin(pids, Duration::from_millis(90), Duration::from_millis(10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_with_a_tenth_of_its_cpu_does_not_let_go_of_the_herd() {
    // A fifth of the usual patience: a test has not the thousands of clients that make a second of silence.
    let mesh = Mesh::of(3, 2).groups(|groups| groups.plus("starved", json!({"patience": "200ms"}))).start().await;
    let targets = [mesh.fronts(), mesh.fronts(), mesh.coordinators.data()].concat();
    for round in 0..3 {
        let path = |i: usize| format!("/starved/{round}/{}", i % KEYS);
        (0..KEYS).for_each(|i| {
            mesh.origin.always(&path(i), Reply::fresh(60, path(i)).delay(ORIGIN_TIME));
        });
        let waiting = Gathered::gather(CLIENTS, &targets, |i| Ask::get("starved.test", &path(i))).await;
        let starved = starve(&mesh);
        let herd = waiting.go().await;
        drop(starved);
        herd.expect_all_ok();
        for (i, (answer, _)) in herd.results.iter().enumerate() {
            assert_eq!(answer.as_ref().unwrap().text(), path(i));
        }
        let loads: usize = (0..KEYS).map(|i| mesh.origin.hits(&path(i))).sum();
        assert!(
            loads * 10 <= KEYS * 12,
            "round {round}: {loads} loads of {KEYS} keys in {:?}{}",
            herd.elapsed,
            mesh.counts().await
        );
    }
}
