//! Coordinators that find each other by gossip: what comes, goes, dies, freezes and returns, and what clients see of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use meshcache_tests::{
    Ask, Coordinator, Mesh, Reply, await_until, client,
    coordinator::ADMIN_TOKEN,
    groups::SHOP,
    load::{Until, load},
    purging::order,
    wait::SOON,
};
use serde_json::{Value, json};

/// All who reach each other have equal rings after this time.
const SETTLED: Duration = Duration::from_secs(15);

/// Coordinators whose seeds are these. No proxy is there, and each path of the origin is fresh for an hour.
async fn mesh(seeds: &[&[usize]]) -> Mesh {
    let mesh = Mesh::of(seeds.len(), 0)
        .seeds(seeds)
        .groups(|groups| groups.set("shop", "/origin/maxLoads", json!(512)))
        .start_cold()
        .await;
    mesh.origin.forget_heads().on("*", |received| Reply::fresh(3600, received.uri.path().to_owned()));
    mesh
}

/// The names in a ring as it is shown, and its version.
fn ring(shown: &Value) -> (BTreeSet<String>, String) {
    let name = |peer: &Value| peer["name"].as_str().unwrap().to_owned();
    (shown["peers"].as_array().unwrap().iter().map(name).collect(), shown["ring"].as_str().unwrap().to_owned())
}

/// Waits until the rings of these coordinators have these members, and are equal.
async fn await_ring(mesh: &Mesh, at: &[usize], members: &[usize]) {
    let names: BTreeSet<String> = members.iter().map(|i| mesh.coordinators.all[*i].name.clone()).collect();
    let settled = async || {
        let mut versions = BTreeSet::new();
        for i in at {
            let (ring, version) = ring(&mesh.coordinators.all[*i].peers().await);
            versions.insert(version);
            if ring != names {
                return false;
            }
        }
        versions.len() == 1
    };
    await_until(settled, SETTLED, &format!("the rings of {at:?} are {names:?}")).await;
}

/// One member of the list that GET /peers shows with its state.
async fn member(at: &Coordinator, name: &str) -> Value {
    let shown = at.peers().await;
    shown["members"].as_array().into_iter().flatten().find(|member| member["name"] == name).cloned().unwrap_or_default()
}

fn asks(keys: usize) -> Vec<Ask> {
    (0..keys).map(|i| Ask::get(SHOP, &format!("/warm/{i}"))).collect()
}

/// Asks for every key once at these coordinators.
async fn warm(mesh: &Mesh, asks: &[Ask], at: &[usize]) {
    let load = load(&targets(mesh, at), asks, 16, Until::Requests(asks.len() as u64)).await;
    assert_eq!((load.requests, load.errors), (asks.len() as u64, vec![]));
}

fn targets(mesh: &Mesh, at: &[usize]) -> Vec<SocketAddr> {
    at.iter().map(|i| mesh.coordinators.all[*i].ports.data).collect()
}

/// Clients that ask for these keys in turn, again and again, until they are told to stop.
struct Herd {
    over: Arc<AtomicBool>,
    asking: tokio::task::JoinHandle<(u64, Vec<String>)>,
}

impl Herd {
    fn at(targets: Vec<SocketAddr>, asks: &[Ask]) -> Herd {
        let (over, asks) = (Arc::new(AtomicBool::new(false)), asks.to_vec());
        let is_over = over.clone();
        let asking = tokio::spawn(async move {
            let (mut requests, mut errors) = (0, Vec::new());
            while !is_over.load(Ordering::SeqCst) {
                let load = load(&targets, &asks, 8, Until::Requests(asks.len() as u64)).await;
                requests += load.requests;
                errors.extend(load.errors);
            }
            (requests, errors)
        });
        Herd { over, asking }
    }

    /// None of them had an error.
    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        let (requests, errors) = self.asking.await.unwrap();
        assert!(requests > 0);
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_that_know_one_of_them_have_one_ring_and_a_killed_one_costs_each_of_its_keys_one_load() {
    let mut mesh = mesh(&[&[0][..]; 5]).await;
    await_ring(&mesh, &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]).await;
    let (asks, others) = (asks(200), [0, 1, 2, 3]);
    warm(&mesh, &asks, &others).await;
    assert_eq!(mesh.origin.total(), asks.len());
    let herd = Herd::at(targets(&mesh, &others), &asks);
    mesh.coordinators.all[4].kill();
    await_ring(&mesh, &others, &others).await;
    herd.end().await;
    let most = asks.iter().map(|ask| mesh.origin.hits(ask.path())).max();
    assert_eq!(most, Some(2), "a key of the killed one is loaded once more");
    let lost = asks.iter().filter(|ask| mesh.order(SHOP, ask.path())[0] == 4).count();
    assert_eq!(mesh.origin.total(), asks.len() + lost, "and no other one");
    let log = mesh.coordinators.all[0].process.log();
    assert!(log.contains("member is removed member=peer-4"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_knows_only_one_of_three_is_known_to_all() {
    let mesh = mesh(&[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[0]]).await;
    await_ring(&mesh, &[0, 1, 2, 3], &[0, 1, 2, 3]).await;
    let all_count = async || {
        for at in &mesh.coordinators.all {
            for name in ["peer-0", "peer-1", "peer-2", "peer-3"] {
                if member(at, name).await["agreed"] != true {
                    return false;
                }
            }
        }
        true
    };
    await_until(all_count, SETTLED, "each counts for the majority, at each").await;
    let (status, report) = order(&mesh.coordinators.all[3], r#"{"group": "shop"}"#).await;
    assert_eq!((status, &report["unreached"]), (200, &json!([])), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_one_is_out_where_most_are_and_gives_nothing_that_was_purged_when_it_is_back() {
    let mesh = mesh(&[&[0][..]; 3]).await;
    await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
    let path = mesh.owned_by(2, SHOP, "/kept");
    mesh.origin.on(&path, |request| Reply::fresh(3600, request.nth.to_string()));
    let body = async |at: usize| Ask::get(SHOP, &path).send(mesh.coordinators.data()[at]).await.unwrap().text();
    assert_eq!(body(2).await, "1");
    mesh.coordinators.all[2].freeze();
    // Named for as long as it is one of them.
    let purge = json!({"group": "shop", "paths": [path]}).to_string();
    let (status, report) = order(&mesh.coordinators.all[0], &purge).await;
    assert_eq!((status, &report["unreached"]), (202, &json!(["peer-2"])), "{report}");
    await_ring(&mesh, &[0, 1], &[0, 1]).await;
    let (status, report) = order(&mesh.coordinators.all[0], &purge).await;
    assert_eq!((status, &report["unreached"]), (200, &json!([])), "{report}");
    mesh.coordinators.all[2].thaw();
    assert_ne!(body(2).await, "1", "it asks first what it missed");
    await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
    assert_ne!(body(2).await, "1");
    let log = mesh.coordinators.all[0].process.log();
    for line in
        ["member does not answer member=peer-2", "member is removed member=peer-2", "member joins member=peer-2"]
    {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hears_only_a_few_keeps_all_in_its_ring_and_answers_nothing_from_its_store() {
    let mesh = mesh(&[&[0][..]; 3]).await;
    await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
    let path = mesh.owned_by(2, SHOP, "/alone");
    warm(&mesh, &[Ask::get(SHOP, &path)], &[2]).await;
    mesh.coordinators.all[0].freeze();
    mesh.coordinators.all[1].freeze();
    let at = &mesh.coordinators.all[2];
    // Longer than what a majority takes to go on without one.
    let long_silent = async || {
        let states = [member(at, "peer-0").await, member(at, "peer-1").await];
        states.iter().all(|member| member["state"] == "gone" && member["silentSeconds"].as_u64() > Some(16))
    };
    await_until(long_silent, 2 * SETTLED, "it misses both of them").await;
    assert_eq!(ring(&at.peers().await).0.len(), 3, "for all it knows they go on without it");
    let answer = Ask::get(SHOP, &path).send(at.ports.data).await.unwrap();
    assert!(answer.status == 200 && answer.cache_status().contains("detail=purge-lag"), "{answer:?}");
    mesh.coordinators.all[0].thaw();
    mesh.coordinators.all[1].thaw();
    await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_cannot_agree_the_operator_says_which_is_gone() {
    let mesh = mesh(&[&[0][..]; 2]).await;
    await_ring(&mesh, &[0, 1], &[0, 1]).await;
    let at = &mesh.coordinators.all[0];
    let path = mesh.owned_by(0, SHOP, "/left");
    let ask = async || Ask::get(SHOP, &path).send(at.ports.data).await.unwrap();
    ask().await;
    mesh.coordinators.all[1].freeze();
    let passes = async || ask().await.cache_status().contains("detail=purge-lag");
    await_until(passes, SOON, "one of two cannot know whether the other purges").await;
    for (body, words) in [
        (r#"{"forget": ["peer-9"]}"#, "`peer-9` is no member"),
        (r#"{"forget": ["peer-0"]}"#, "`peer-0` is this coordinator"),
        (r#"{"forget": ["peer-1", "peer-9"]}"#, ""),
        (r#"{"forget": "peer-1"}"#, "invalid type: string"),
        (r#"{"forgets": ["peer-1"]}"#, "unknown field `forgets`"),
        (r#"{"forget": []}"#, "forget: expected at least one name"),
        ("forget", "expected"),
    ] {
        let (status, said) = at.admin("POST", "/peers", body).await;
        let error = said["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(words) && !error.contains('\n'), "{body}: {status} {said}");
    }
    assert_eq!(ring(&at.peers().await).0.len(), 2, "nothing of that changed anything");
    let is_silent = async || member(at, "peer-1").await["state"] != "alive";
    await_until(is_silent, SOON, "it is missed").await;
    let (status, said) = at.admin("POST", "/peers", r#"{"forget": ["peer-1"]}"#).await;
    assert_eq!((status, &said["forgotten"]), (200, &json!(["peer-1"])), "{said}");
    let hits = async || ask().await.cache_status().contains("; hit");
    await_until(hits, SOON, "it goes on alone").await;
    await_ring(&mesh, &[0], &[0]).await;
    assert!(at.process.log().contains("member is forgotten, as POST /peers says"), "{}", at.process.log());
    let unproven = client::get(at.ports.admin, "/peers").await.unwrap();
    assert_eq!(unproven.status, 401, "only with the token: {ADMIN_TOKEN}");
    // It was not gone after all.
    mesh.coordinators.all[1].thaw();
    await_ring(&mesh, &[0, 1], &[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_restart_in_turn_under_load_fail_nobody_and_load_hardly_anything_again() {
    let mut mesh = mesh(&[&[0, 1, 2][..]; 3]).await;
    await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
    let asks = asks(1000);
    warm(&mesh, &asks, &[0, 1, 2]).await;
    assert_eq!(mesh.origin.total(), asks.len());
    for i in 0..3 {
        let others: Vec<usize> = (0..3).filter(|other| *other != i).collect();
        let herd = Herd::at(targets(&mesh, &others), &asks);
        mesh.coordinators.all[i].terminate(SOON).await;
        await_ring(&mesh, &others, &others).await;
        mesh.coordinators.restart(i).await;
        await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
        herd.end().await;
    }
    warm(&mesh, &asks, &[0, 1, 2]).await;
    let again = mesh.origin.total() - asks.len();
    println!("{again} of {} keys were loaded again", asks.len());
    assert!(again <= asks.len() / 50, "{again} of {} keys were loaded again", asks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_with_one_name_the_later_is_in_the_ring_and_both_say_so() {
    let mesh = mesh(&[&[0][..]; 3]).await;
    await_ring(&mesh, &[0, 1, 2], &[0, 1, 2]).await;
    let seeds = [mesh.coordinators.all[0].ports.peer];
    let token = mesh.coordinators.file("peer-token");
    let later = mesh.coordinators.start_beside("peer-2", &seeds, &["--peer-token-file", &token]).await;
    let at = later.ports.data.to_string();
    let is_later = async || {
        for i in [0, 1] {
            let shown = mesh.coordinators.all[i].peers().await;
            if !shown["peers"].as_array().unwrap().iter().any(|peer| peer["name"] == "peer-2" && peer["data"] == at) {
                return false;
            }
        }
        true
    };
    await_until(is_later, SETTLED, "the later one is in the ring").await;
    for process in [&mesh.coordinators.all[2].process, &later.process] {
        let said = async || process.log().contains("has this --name");
        await_until(said, SETTLED, "it says so").await;
    }
    assert!(is_later().await, "it stays so");
    let rings = mesh.coordinators.all[0].process.log().matches(" ring peers=").count();
    assert!(rings <= 5, "and does not change to and fro: {}", mesh.coordinators.all[0].process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_another_token_is_in_no_ring_is_not_ready_and_says_why_once() {
    let mesh = mesh(&[&[0][..]; 2]).await;
    await_ring(&mesh, &[0, 1], &[0, 1]).await;
    let seed = mesh.coordinators.all[0].ports.peer;
    let token = mesh.coordinators.file("admin-token");
    let stranger = mesh.coordinators.start_beside("stranger", &[seed], &["--peer-token-file", &token]).await;
    let refused = format!("{seed} refuses this coordinator's token");
    await_until(async || stranger.process.log().contains(&refused), SOON, "it names the address").await;
    let ready = client::get(stranger.ports.status, "/readyz").await.unwrap();
    assert!(ready.status == 503 && ready.text().contains("token"), "{ready:?}");
    await_ring(&mesh, &[0, 1], &[0, 1]).await;
    assert_eq!(stranger.process.log().matches(&refused).count(), 1);
}
