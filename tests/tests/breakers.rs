//! Peers that die or freeze under load: what it costs, and that their keys come home warm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use meshcache_tests::groups::SHOP;
use meshcache_tests::load::{Load, Until, load};
use meshcache_tests::wait::SOON;
use meshcache_tests::{Ask, Mesh, Reply, await_until, client};
use serde_json::json;

/// How long the origin takes.
const ORIGIN: Duration = Duration::from_millis(20);
/// What a busy machine may add to any time.
const SLACK: Duration = Duration::from_millis(500);
const SECOND: Until = Until::Elapsed(Duration::from_secs(1));

/// So many warm keys in a mesh whose proxies keep nothing themselves.
async fn warm(keys: usize, patience: &str) -> (Mesh, Vec<Ask>) {
    let mesh = Mesh::of(3, 1)
        .groups(|groups| groups.set("shop", "/patience", json!(patience)).set("shop", "/origin/maxLoads", json!(512)))
        .envoy(|envoy| envoy.filter(|filter| filter["hot_bytes_per_worker"] = json!(0)))
        .start()
        .await;
    mesh.origin.forget_heads().on("*", |received| Reply::fresh(3600, received.uri.path().to_owned()).delay(ORIGIN));
    let asks: Vec<Ask> = (0..keys).map(|i| Ask::get(SHOP, &format!("/warm/{i}"))).collect();
    once(&mesh, &asks).await;
    (mesh, asks)
}

/// Asks for every key once through the proxy.
async fn once(mesh: &Mesh, asks: &[Ask]) {
    let load = load(&mesh.fronts(), asks, 16, Until::Requests(asks.len() as u64)).await;
    assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
}

/// A second of load, in whose first tenth something befalls a coordinator.
async fn second(mesh: &mut Mesh, asks: &[Ask], befalls: impl FnOnce(&mut Mesh)) -> Load {
    let (fronts, all) = (mesh.fronts(), asks.to_vec());
    let under_load = tokio::spawn(async move { load(&fronts, &all, 8, SECOND).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    befalls(mesh);
    let load = under_load.await.unwrap();
    assert_eq!(load.errors, Vec::<String>::new());
    load
}

fn lost(mesh: &Mesh, asks: &[Ask], peer: usize) -> usize {
    asks.iter().filter(|ask| mesh.order(SHOP, ask.path())[0] == peer).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_killed_under_load_costs_one_load_for_each_of_its_keys() {
    let (mut mesh, asks) = warm(600, "400ms").await;
    let before = second(&mut mesh, &asks, |_| {}).await;
    let (lost, loaded) = (lost(&mesh, &asks, 0), mesh.origin.total());
    let after = second(&mut mesh, &asks, |mesh| mesh.coordinators.all[0].kill()).await;
    // Whoever asks for the rest, through Envoy or not, finds what was loaded instead.
    once(&mesh, &asks).await;
    for i in [1, 2] {
        let to = [mesh.coordinators.all[i].ports.data];
        let load = load(&to, &asks, 8, Until::Requests(asks.len() as u64)).await;
        assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
    }
    let loads = mesh.origin.total() - loaded;
    println!(
        "killed: {loads} loads for {lost} lost keys; p99 {:?} before, {:?} in the second after, {} requests",
        before.within(0.99),
        after.within(0.99),
        after.requests
    );
    assert!(loads * 100 <= lost * 105, "{loads} loads for {lost} lost keys");
    assert!(after.within(0.99) <= before.within(0.99) + ORIGIN + Duration::from_millis(50) + SLACK, "{:?}", after.within(0.99));
    // It is back, empty: the next peers have its keys, and it asks them.
    let loaded = mesh.origin.total();
    mesh.coordinators.restart(0).await;
    let home = async || {
        once(&mesh, &asks).await;
        mesh.coordinators.all[0].metrics().await.sum("groupcache_cache_items", &[("type", "main")]) >= lost as f64
    };
    await_until(home, SOON, "its keys come home").await;
    assert_eq!(mesh.origin.total() - loaded, 0, "keys that came home were loaded again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_freezes_under_load_is_waited_for_once() {
    let (mut mesh, asks) = warm(300, "100ms").await;
    let before = second(&mut mesh, &asks, |_| {}).await;
    let (lost, loaded) = (lost(&mesh, &asks, 0), mesh.origin.total());
    let first = second(&mut mesh, &asks, |mesh| mesh.coordinators.all[0].freeze()).await;
    let then = second(&mut mesh, &asks, |_| {}).await;
    let loads = mesh.origin.total() - loaded;
    println!(
        "frozen: {loads} loads for {lost} keys; p99 {:?} before, {:?} in the first second (slowest {:?}), {:?} in the next",
        before.within(0.99),
        first.within(0.99),
        first.within(1.0),
        then.within(0.99)
    );
    assert!(loads * 100 <= lost * 105, "{loads} loads for {lost} keys");
    assert!(first.within(0.99) <= ORIGIN + Duration::from_millis(250) + SLACK, "{:?}", first.within(0.99));
    assert!(then.within(0.99) <= before.within(0.99) + SLACK, "{:?}", then.within(0.99));
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
    for (i, to) in [mesh.fronts()[0], mesh.coordinators.data()[1], mesh.coordinators.data()[2]].into_iter().enumerate() {
        let path = mesh.owned_by(0, "hedged.test", &format!("/silent-{i}"));
        mesh.origin.always(&path, Reply::fresh(60, "alive"));
        let begun = std::time::Instant::now();
        assert_eq!(Ask::get("hedged.test", &path).send(to).await.unwrap().text(), "alive");
        assert!(begun.elapsed() < Duration::from_millis(50) + 3 * SLACK, "{:?}", begun.elapsed());
    }
    let hedged = async || mesh.envoys[0].stats().await.sum("meshcache_filter_hedges", &[]) >= 1.0;
    await_until(hedged, SOON, "the filter says that it has hedged").await;
    let hedges = client::get(mesh.coordinators.all[1].ports.status, "/metrics").await.unwrap().text();
    assert!(hedges.contains("meshcache_hedges_total 1"), "{hedges}");
}
