//! Peers that die or freeze under load: what it costs, and that their keys come home warm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::{
    Ask, Coordinator, Mesh, Reply, Stopwatch, await_until,
    change::{ORIGIN, once, struck},
    client,
    groups::SHOP,
    wait::SOON,
};
use serde_json::json;

/// What a busy machine may add to any time.
const SLACK: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_killed_under_load_costs_one_load_for_each_of_its_keys() {
    let (mut mesh, asks, struck) = struck(600, "400ms", Coordinator::kill).await;
    let [before, first] = [&struck.before, &struck.first].map(|load| load.within(0.99));
    assert!(struck.loads * 100 <= struck.lost * 105, "{} loads for {} lost keys", struck.loads, struck.lost);
    assert!(first <= before + ORIGIN + Duration::from_millis(50) + SLACK, "{before:?}, {first:?}");
    // It is back, empty: the next peers have its keys, and it asks them.
    let loaded = mesh.origin.total();
    mesh.coordinators.restart(0).await;
    let home = async || {
        once(&mesh, &asks).await;
        mesh.coordinators.all[0].metrics().await.sum("groupcache_cache_items", &[("type", "main")])
            >= struck.lost as f64
    };
    await_until(home, SOON, "its keys come home").await;
    assert_eq!(mesh.origin.total() - loaded, 0, "keys that came home were loaded again");
    let told = |what: &str| {
        mesh.envoys[0].process.log().contains(&format!("coordinator {} {what}", mesh.coordinators.data()[0]))
    };
    let both = async || told("does not answer: its keys go to the next") && told("answers again");
    await_until(both, SOON, "Envoy's log says that it was gone, and that it is back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_freezes_under_load_is_waited_for_once() {
    let (mesh, _, struck) = struck(300, "100ms", |coordinator| coordinator.freeze()).await;
    let [before, first, then] = [&struck.before, &struck.first, &struck.then].map(|load| load.within(0.99));
    assert!(
        struck.loads * 100 <= struck.lost * 105,
        "{} loads for {} keys{}",
        struck.loads,
        struck.lost,
        mesh.counts().await
    );
    assert!(first <= ORIGIN + Duration::from_millis(250) + SLACK, "{first:?}");
    assert!(then <= before + SLACK, "{before:?}, {then:?}");
    // What was loaded elsewhere while it was frozen comes home without another load.
    let path = mesh.owned_by(0, SHOP, "/while-frozen");
    let ask = Ask::get(SHOP, &path);
    assert_eq!(ask.send(mesh.fronts()[0]).await.unwrap().status, 200);
    assert_eq!(mesh.origin.hits(&path), 1);
    mesh.coordinators.all[0].thaw();
    let home = async || {
        assert_eq!(ask.send(mesh.fronts()[0]).await.unwrap().status, 200);
        let there = ask.clone().header("cache-control", "only-if-cached").send(mesh.coordinators.data()[0]).await;
        there.is_ok_and(|answer| answer.status == 200 && answer.cache_status().contains("hit"))
    };
    await_until(home, SOON, "its keys come home").await;
    assert_eq!(mesh.origin.hits(&path), 1, "it asked the next peer, and not the origin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_hedges_does_not_wait_for_a_silent_owner() {
    let mesh = Mesh::of(3, 1)
        .groups(|groups| groups.plus("hedged", json!({"patience": "2s", "hedge": "50ms"})))
        .envoy(|envoy| envoy.filter(|filter| filter["hot_bytes_per_worker"] = json!(0)))
        .start()
        .await;
    // An owner whose origin is slow says so, and nobody else is asked.
    let slow = mesh.owned_by(0, "hedged.test", "/slow");
    mesh.origin.always(&slow, Reply::fresh(60, "slow").delay(Duration::from_millis(400)));
    for to in [mesh.fronts()[0], mesh.coordinators.data()[1]] {
        assert_eq!(Ask::get("hedged.test", &slow).send(to).await.unwrap().text(), "slow");
    }
    assert_eq!(mesh.origin.hits(&slow), 1);
    mesh.coordinators.all[0].freeze();
    for (i, to) in [mesh.fronts()[0], mesh.coordinators.data()[1], mesh.coordinators.data()[2]].into_iter().enumerate()
    {
        let path = mesh.owned_by(0, "hedged.test", &format!("/silent-{i}"));
        mesh.origin.always(&path, Reply::fresh(60, "alive"));
        let begun = Stopwatch::start();
        assert_eq!(Ask::get("hedged.test", &path).send(to).await.unwrap().text(), "alive");
        assert!(begun.elapsed() < Duration::from_millis(50) + 3 * SLACK, "{:?}", begun.elapsed());
    }
    let hedged = async || mesh.envoys[0].stats().await.sum("meshcache_filter_hedges", &[]) >= 1.0;
    await_until(hedged, SOON, "the filter says that it has hedged").await;
    let hedges = client::get(mesh.coordinators.all[1].ports.status, "/metrics").await.unwrap().text();
    assert!(hedges.contains("meshcache_hedges_total 1"), "{hedges}");
}
