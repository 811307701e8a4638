//! Many clients at once: one load for all that may share it, each its own answer where they may not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use meshcache_tests::{
    Ask, Connection, Gate, Mesh, Reply, Shared, await_until, herd, herd::Gathered, origin::Received, run, wait::SOON,
};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

const ORIGIN_TIME: Duration = Duration::from_millis(500);

static MESH: Shared<Mesh> = Shared::new();
/// One herd at a time: they are told how long they may take.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn mesh() -> (Arc<Mesh>, MutexGuard<'static, ()>) {
    // With all of a small machine's time gone into clients, a second of silence says nothing about an owner.
    let fields = json!({"patience": "10s"});
    let groups = ["crowd", "mixed", "hangup", "private"];
    let mesh = || {
        Mesh::of(3, 2)
            .envoy(|envoy| envoy.concurrency(2))
            .groups(|all| groups.iter().fold(all, |all, name| all.plus(name, fields.clone())))
    };
    let mesh = MESH.get(async || mesh().start().await).await;
    (mesh, ALONE.lock().await)
}

#[test]
fn ten_thousand_clients_for_one_cold_key_are_one_load() {
    run(async {
        let (mesh, _alone) = mesh().await;
        mesh.origin.always("/crowd", Reply::fresh(60, vec![b'x'; 1024]).delay(ORIGIN_TIME));
        let herd = herd(10_000, &mesh.fronts(), |_| Ask::get("crowd.test", "/crowd")).await;
        herd.expect_all_ok();
        assert!(herd.answers().all(|answer| answer.body.len() == 1024));
        assert_eq!(mesh.origin.hits("/crowd"), 1, "{}", mesh.counts().await);
    });
}

#[test]
fn a_hundred_cold_keys_mixed_are_a_hundred_loads() {
    run(async {
        let (mesh, _alone) = mesh().await;
        let path = |i: usize| format!("/mixed/{}", i % 100);
        (0..100).for_each(|i| {
            mesh.origin.always(&path(i), Reply::fresh(60, path(i)).delay(ORIGIN_TIME));
        });
        let herd = herd(10_000, &mesh.fronts(), |i| Ask::get("mixed.test", &path(i))).await;
        herd.expect_all_ok();
        for (i, (answer, _)) in herd.results.iter().enumerate() {
            assert_eq!(answer.as_ref().unwrap().text(), path(i));
        }
        let loads: Vec<usize> = (0..100).map(|i| mesh.origin.hits(&path(i))).collect();
        assert_eq!(loads, vec![1; 100], "{}", mesh.counts().await);
    });
}

#[test]
fn who_waits_in_a_proxy_for_the_load_of_another_is_of_a_herd_and_counts_once() {
    run(async {
        let mesh = Mesh::of(2, 1).groups(|all| all.plus("crowd", json!({"patience": "10s"}))).start().await;
        mesh.origin.always("/told", Reply::fresh(60, "x").delay(ORIGIN_TIME));
        let sum = async |name: &str, labels: &[(&str, &str)]| {
            let mut sum = 0.0;
            for one in &mesh.coordinators.all {
                sum += one.metrics().await.sum(name, &[&[("group", "crowd")], labels].concat());
            }
            sum
        };
        herd(100, &mesh.fronts(), |_| Ask::get("crowd.test", "/told")).await.expect_all_ok();
        let told = async || sum("meshcache_client_requests_total", &[]).await == 100.0;
        await_until(told, SOON, "the proxy has told of all requests").await;
        // Whoever came too late to wait had a hit.
        let waited = sum("meshcache_client_requests_total", &[("outcome", "miss")]).await;
        assert!(waited >= 2.0, "{}", mesh.counts().await);
        assert_eq!(sum("meshcache_herd_loads_saved_total", &[]).await, waited - 1.0, "{}", mesh.counts().await);
        assert!(sum("meshcache_herds_total", &[]).await >= 1.0);
        assert_eq!(sum("meshcache_service_requests_total", &[]).await, 1.0, "{}", mesh.counts().await);
    });
}

/// One client asks, a hundred join its question when its load has begun, and the answer may not be used again without
/// validation.
async fn the_others_share_the_next_load(
    mesh: &Mesh,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
) {
    let (gate, front) = (Gate::shut(), mesh.fronts()[0]);
    let first = gate.clone();
    mesh.origin.on(path, move |request| {
        let reply = fields
            .iter()
            .fold(Reply::ok(format!("edition {}", request.nth)), |reply, (name, value)| reply.header(name, *value));
        if request.nth == 1 { reply.behind(&first) } else { reply.delay(Duration::from_millis(50)) }
    });
    let ask = Ask::get("crowd.test", path);
    let leader = {
        let (ask, mut leader) = (ask.clone(), Connection::open(front).await.unwrap());
        tokio::spawn(async move { leader.send(&ask).await.unwrap() })
    };
    await_until(async || mesh.origin.hits(path) == 1, SOON, "the first one's load is at the origin").await;
    let active = async || {
        mesh.envoys[0]
            .stats()
            .await
            .sum("envoy_http_downstream_rq_active", &[("envoy_http_conn_manager_prefix", "front")])
    };
    let others = tokio::spawn(Gathered::gather(100, &[front], |_| ask.clone()).await.go());
    await_until(async || active().await == 101.0, SOON, "the others wait").await;
    gate.open();
    let others = others.await.unwrap();
    others.expect_all_ok();
    assert_eq!(leader.await.unwrap().text(), "edition 1");
    let mut editions = BTreeMap::new();
    others.answers().for_each(|answer| *editions.entry(answer.text()).or_insert(0) += 1);
    assert_eq!(
        (editions, mesh.origin.hits(path)),
        ([("edition 2".to_owned(), 100)].into(), 2),
        "{fields:?}: {}",
        mesh.counts().await
    );
}

#[test]
fn through_an_envoy_a_failure_is_shared_once_a_second_load_has_brought_it_too() {
    run(async {
        let (mesh, _alone) = mesh().await;
        for status in [503, 404] {
            let path = format!("/failing-{status}");
            mesh.origin.always(&path, Reply::status(status).delay(ORIGIN_TIME));
            // Both Envoys and all their workers.
            let herd = herd(200, &mesh.fronts(), |_| Ask::get("crowd.test", &path)).await;
            assert_eq!(herd.statuses(), [(status, 200)].into(), "{}", mesh.counts().await);
            assert_eq!(mesh.origin.hits(&path), 2, "{status}: {}", mesh.counts().await);
        }
    });
}

#[test]
fn through_an_envoy_who_comes_when_a_load_has_begun_shares_the_next_for_what_must_be_validated() {
    run(async {
        // One worker, and so one question.
        let mesh = Mesh::of(3, 1).groups(|groups| groups.plus("crowd", json!({"patience": "10s"}))).start().await;
        the_others_share_the_next_load(&mesh, "/validated-etag", &[("etag", "\"e\"")]).await;
        the_others_share_the_next_load(
            &mesh,
            "/validated-max-age",
            &[("cache-control", "max-age=0"), ("etag", "\"e\"")],
        )
        .await;
        the_others_share_the_next_load(
            &mesh,
            "/validated-no-cache",
            &[("cache-control", "max-age=60, no-cache"), ("etag", "\"e\"")],
        )
        .await;
    });
}

/// One client asks, a hundred join it, the first hangs up, and only then the origin answers.
async fn the_first_of_101_hangs_up(
    mesh: &Mesh,
    to: SocketAddr,
    path: &str,
    asked: impl AsyncFn() -> f64,
    connections: impl AsyncFn() -> f64,
) {
    let gate = Gate::shut();
    mesh.origin.always(path, Reply::fresh(60, "for all").behind(&gate));
    let ask = Ask::get("hangup.test", path);
    let before = asked().await;
    let mut first = Connection::open(to).await.unwrap();
    let first = {
        let ask = ask.clone();
        tokio::spawn(async move { first.send(&ask).await })
    };
    await_until(async || mesh.origin.hits(path) == 1, SOON, "the first one's load is at the origin").await;
    let others = Gathered::gather(100, &[to], |_| ask.clone()).await;
    let others = tokio::spawn(others.go());
    await_until(async || asked().await == before + 101.0, SOON, "the others wait with it").await;
    let with_the_first = connections().await;
    first.abort();
    await_until(async || connections().await < with_the_first, SOON, "it is seen that the first one left").await;
    gate.open();
    let others = others.await.unwrap();
    others.expect_all_ok();
    assert!(others.answers().all(|answer| answer.text() == "for all"));
    assert_eq!(mesh.origin.hits(path), 1);
}

#[test]
fn through_an_envoy_the_first_of_101_hangs_up_and_the_others_have_their_answer_from_its_load() {
    run(async {
        let (mesh, _alone) = mesh().await;
        let of =
            async |name: &str| mesh.envoys[0].stats().await.sum(name, &[("envoy_http_conn_manager_prefix", "front")]);
        let asked = async || of("envoy_http_downstream_rq_total").await;
        let connections = async || of("envoy_http_downstream_cx_active").await;
        the_first_of_101_hangs_up(&mesh, mesh.fronts()[0], "/hangup", asked, connections).await;
    });
}

#[test]
fn at_a_coordinator_the_first_of_101_hangs_up_and_the_others_have_their_answer_from_its_load() {
    run(async {
        let (mesh, _alone) = mesh().await;
        let path = mesh.owned_by(1, "hangup.test", "/hangup-plain");
        let owner = &mesh.coordinators.all[1];
        let asked = async || owner.metrics().await.sum("groupcache_gets_total", &[("group", "hangup")]);
        let connections = async || owner.process.open_files() as f64;
        the_first_of_101_hangs_up(&mesh, owner.ports.data, &path, asked, connections).await;
    });
}

/// A thousand clients want what is private: each waits for another's load once, never twice.
async fn each_its_own(mesh: &Mesh, targets: &[SocketAddr], path: &str) {
    let private = |request: &Received| {
        let whose = request.header("x-client");
        Reply::ok(format!("only for {whose}")).header("cache-control", "private, max-age=60").delay(ORIGIN_TIME)
    };
    let mut slow = Vec::new();
    // A machine that is busy with something else in the meantime may be slow twice.
    for attempt in 0..3 {
        let path = format!("{path}-{attempt}");
        mesh.origin.on(&path, private).on("/alone", private);
        // An origin time is what the same thousand wait for when each asks the origin itself.
        let alone =
            herd(1_000, &[mesh.origin.addr], |i| Ask::get("private.test", "/alone").header("x-client", i.to_string()))
                .await;
        let herd = herd(1_000, targets, |i| Ask::get("private.test", &path).header("x-client", i.to_string())).await;
        herd.expect_all_ok();
        for (i, (answer, _)) in herd.results.iter().enumerate() {
            assert_eq!(answer.as_ref().unwrap().text(), format!("only for {i}"));
        }
        if herd.elapsed <= alone.elapsed * 2 + Duration::from_millis(300) {
            return;
        }
        slow.push((herd.elapsed, alone.elapsed));
    }
    panic!("(with the cache, alone): {slow:?}{}", mesh.counts().await);
}

#[test]
fn a_thousand_clients_for_one_private_answer_have_each_its_own_through_envoys() {
    run(async {
        let (mesh, _alone) = mesh().await;
        each_its_own(&mesh, &mesh.fronts(), "/private").await;
    });
}

#[test]
fn a_thousand_clients_for_one_private_answer_have_each_its_own_at_coordinators() {
    run(async {
        let (mesh, _alone) = mesh().await;
        each_its_own(&mesh, &mesh.coordinators.data(), "/private-plain").await;
    });
}
