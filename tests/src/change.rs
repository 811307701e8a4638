//! Changes of a mesh, and what they cost: peers that are replaced, come, go, die and freeze. Tests hold it to its
//! limits with room for a busy machine, the bench as they are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    Ask, Coordinator, Mesh, Reply,
    groups::SHOP,
    load::{Load, Until, load},
    wait::{SOON, await_until},
};

/// The time that the origin takes where coordinators die or freeze.
pub const ORIGIN: Duration = Duration::from_millis(20);
const SECOND: Until = Until::Elapsed(Duration::from_secs(1));

/// A rolling restart.
#[derive(Debug)]
pub struct Restart {
    /// Of each coordinator: the keys that were loaded again while it was away, and once it was back.
    pub steps: Vec<[usize; 2]>,
    /// The duration of the whole change.
    pub took: Duration,
}

impl Restart {
    /// The number of keys that were loaded again.
    pub fn loads(&self) -> usize {
        self.steps.iter().flatten().sum()
    }
}

/// Restarts three coordinators one after another; each warm key is requested after every step.
pub async fn rolling_restart(keys: usize) -> Restart {
    let all: &[usize] = &[0, 1, 2];
    let (mut mesh, asks) = warm_keys(keys, &[all; 3]).await;
    assert_eq!(ask_all(&mesh, &asks, all).await, keys);
    let begun = Instant::now();
    let mut steps = Vec::new();
    for i in 0..3 {
        mesh.coordinators.all[i].terminate(SOON).await;
        let others: Vec<usize> = all.iter().copied().filter(|other| *other != i).collect();
        let away = ask_all(&mesh, &asks, &others).await;
        mesh.coordinators.restart(i).await;
        steps.push([away, ask_all(&mesh, &asks, all).await]);
    }
    Restart { steps, took: begun.elapsed() }
}

/// One coordinator more, and one less again.
#[derive(Debug)]
pub struct Scaled {
    /// Keys that the fourth came to have.
    pub owned: f64,
    /// Keys that were loaded again when it had come.
    pub more: usize,
    /// And when it had left.
    pub less: usize,
}

/// Runs three coordinators with warm keys, then a fourth that the others do not list, then three again.
pub async fn scale(keys: usize) -> Scaled {
    let three: &[usize] = &[0, 1, 2];
    let (mut mesh, asks) = warm_keys(keys, &[three, three, three, &[0, 1, 2, 3]]).await;
    await_until(async || peers(&mesh, 0).await == 4.0, SOON, "the fourth has joined").await;
    mesh.coordinators.all[3].terminate(SOON).await;
    assert_eq!(peers(&mesh, 0).await, 3.0, "it has left");
    assert_eq!(ask_all(&mesh, &asks, three).await, keys);
    mesh.coordinators.restart(3).await;
    for i in 0..4 {
        await_until(async || peers(&mesh, i).await == 4.0, SOON, "all know of all").await;
    }
    let more = ask_all(&mesh, &asks, &[0, 1, 2, 3]).await;
    let owned = mesh.coordinators.all[3].metrics().await.sum("groupcache_cache_items", &[("type", "main")]);
    mesh.coordinators.all[3].terminate(SOON).await;
    Scaled { owned, more, less: ask_all(&mesh, &asks, three).await }
}

/// A mesh whose origin has keys that are fresh for an hour, and the requests for them. No proxy keeps any.
pub async fn warm_keys(keys: usize, views: &[&[usize]]) -> (Mesh, Vec<Ask>) {
    let mesh = Mesh::of(views.len(), 0)
        .views(views)
        .groups(|groups| groups.set("shop", "/origin/maxLoads", json!(512)))
        .start_cold()
        .await;
    mesh.origin.forget_heads().on("*", |received| Reply::fresh(3600, received.uri.path().to_owned()));
    (mesh, asks(keys))
}

fn asks(keys: usize) -> Vec<Ask> {
    (0..keys).map(|i| Ask::get(SHOP, &format!("/warm/{i}"))).collect()
}

/// Asks for every key once, at these coordinators in turn: how many were loaded for it.
async fn ask_all(mesh: &Mesh, asks: &[Ask], at: &[usize]) -> usize {
    let before = mesh.origin.total();
    let targets: Vec<_> = at.iter().map(|i| mesh.coordinators.all[*i].ports.data).collect();
    let load = load(&targets, asks, 4 * at.len(), Until::Requests(asks.len() as u64)).await;
    assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
    mesh.origin.total() - before
}

/// The number of peers that this coordinator knows.
pub async fn peers(mesh: &Mesh, i: usize) -> f64 {
    mesh.coordinators.all[i].metrics().await.get("kubegroup_peers", &[])
}

/// Three coordinators and an Envoy under load, before the first of them is struck and after. No request failed.
#[derive(Debug)]
pub struct Struck {
    /// Its keys.
    pub lost: usize,
    /// Loads since it was struck, once every key was asked for through Envoy, and at each coordinator that answers.
    pub loads: usize,
    /// The second before.
    pub before: Load,
    /// The second in whose first tenth it was struck.
    pub first: Load,
    /// The second after that.
    pub then: Load,
}

/// A mesh and its warm keys, of which proxies keep none themselves; `strike` befalls its first coordinator.
pub async fn struck(keys: usize, patience: &str, strike: impl FnOnce(&mut Coordinator)) -> (Mesh, Vec<Ask>, Struck) {
    let mut mesh = Mesh::of(3, 1)
        .groups(|groups| groups.set("shop", "/patience", json!(patience)).set("shop", "/origin/maxLoads", json!(512)))
        .envoy(|envoy| envoy.filter(|filter| filter["hot_bytes_per_worker"] = json!(0)))
        .start()
        .await;
    mesh.origin.forget_heads().on("*", |received| Reply::fresh(3600, received.uri.path().to_owned()).delay(ORIGIN));
    let asks = asks(keys);
    once(&mesh, &asks).await;
    let before = second(&mut mesh, &asks, |_| {}).await;
    let lost = asks.iter().filter(|ask| mesh.order(SHOP, ask.path())[0] == 0).count();
    let loaded = mesh.origin.total();
    let first = second(&mut mesh, &asks, strike).await;
    let then = second(&mut mesh, &asks, |_| {}).await;
    once(&mesh, &asks).await;
    for i in [1, 2] {
        let to = [mesh.coordinators.all[i].ports.data];
        let load = load(&to, &asks, 8, Until::Requests(asks.len() as u64)).await;
        assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
    }
    let loads = mesh.origin.total() - loaded;
    (mesh, asks, Struck { lost, loads, before, first, then })
}

/// Asks for every key once through the proxy.
pub async fn once(mesh: &Mesh, asks: &[Ask]) {
    let load = load(&mesh.fronts(), asks, 16, Until::Requests(asks.len() as u64)).await;
    assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
}

/// A second of load, in whose first tenth something befalls a coordinator.
async fn second(mesh: &mut Mesh, asks: &[Ask], befalls: impl FnOnce(&mut Coordinator)) -> Load {
    let (fronts, all) = (mesh.fronts(), asks.to_vec());
    let under_load = tokio::spawn(async move { load(&fronts, &all, 8, SECOND).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    befalls(&mut mesh.coordinators.all[0]);
    let load = under_load.await.unwrap();
    assert_eq!(load.errors, Vec::<String>::new());
    load
}

/// Starts all coordinators again that have died: how long it takes from then on until every worker of every Envoy
/// answers from the cache.
pub async fn until_back(mesh: &mut Mesh) -> Duration {
    for i in 0..mesh.coordinators.all.len() {
        mesh.coordinators.restart(i).await;
    }
    let begun = Instant::now();
    mesh.wait_cached().await;
    begun.elapsed()
}
