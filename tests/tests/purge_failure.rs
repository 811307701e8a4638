//! Purges and those who do not hear of them: whoever sleeps, is gone or comes back never gives what was purged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use meshcache_tests::{
    Ask, Connection, Mesh, Reply, Stopwatch, await_until,
    coordinator::PEER_TOKEN,
    groups::SHOP,
    purging::{Storm, order},
    wait::SOON,
};
use serde_json::json;

async fn body(to: SocketAddr, path: &str) -> String {
    let answer = Ask::get(SHOP, path).send(to).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

fn url(path: &str) -> String {
    json!({"urls": [format!("http://{SHOP}{path}")]}).to_string()
}

/// A proxy's question, which tells of these purges.
fn telling(mesh: &Mesh, path: &str, purges: &str) -> Ask {
    let rules = mesh.rules();
    let rules = rules.named("shop").unwrap().digest();
    Ask::get(SHOP, path).header("meshcache-wire", format!("1; group=shop; rules={rules}; purge={purges}; hop"))
}

/// A purge as a proxy tells of it that a coordinator has told of it.
fn marked(purge: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, PEER_TOKEN.as_bytes());
    let tag = ring::hmac::sign(&key, format!("meshcache purge {purge}").as_bytes());
    let mark: String = tag.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{purge}; marks={mark}")
}

/// Things of this coordinator's own that count how often they were loaded, stored.
async fn stored(mesh: &Mesh, owner: usize, stem: &str) -> Vec<String> {
    let paths: Vec<String> = (0..10).map(|i| mesh.owned_by(owner, SHOP, &format!("{stem}-{i}"))).collect();
    for path in &paths {
        mesh.origin.on(path, |request| Reply::fresh(3600, request.nth.to_string()));
        for _ in 0..2 {
            assert_eq!(body(mesh.coordinators.data()[owner], path).await, "1");
        }
    }
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_slept_through_a_purge_is_named_and_never_gives_what_was_purged() {
    let mesh = Mesh::of(3, 1).start().await;
    let paths = stored(&mesh, 0, "/slept").await;
    // Connections that are there before, and questions that wait when it wakes: nothing of theirs may be answered from
    // before.
    let at = mesh.coordinators.data()[0];
    let mut waiting = Vec::new();
    for path in &paths {
        let mut connection = Connection::open(at).await.unwrap();
        assert_eq!(connection.send(&Ask::get(SHOP, path)).await.unwrap().text(), "1");
        waiting.push((connection, path.clone()));
    }
    mesh.coordinators.all[0].freeze();
    for path in paths.iter().take(2) {
        let begun = Stopwatch::start();
        let (status, report) = order(&mesh.coordinators.all[1], &url(path)).await;
        assert_eq!((status, &report["unreached"]), (202, &json!(["peer-0"])), "{report}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
    let (status, _) = order(&mesh.coordinators.all[2], r#"{"group": "shop", "prefixes": ["/slept"]}"#).await;
    assert_eq!(status, 202);
    let asked: Vec<_> = waiting
        .into_iter()
        .map(|(mut connection, path)| tokio::spawn(async move { connection.send(&Ask::get(SHOP, &path)).await }))
        .collect();
    mesh.coordinators.all[0].thaw();
    for path in paths.iter().rev() {
        assert_ne!(body(at, path).await, "1");
    }
    for asked in asked {
        let answer = asked.await.unwrap().unwrap();
        assert!(answer.status == 200 && answer.text() != "1", "{answer:?}");
    }
    let back = async || Ask::get(SHOP, &paths[0]).send(at).await.unwrap().cache_status().contains("; hit");
    await_until(back, SOON, "it caches again").await;
    let log = mesh.coordinators.all[0].process.log();
    assert!(log.contains("purge lease regained"), "{log}");
    assert_eq!(
        mesh.coordinators.all[0].metrics().await.get("meshcache_store_flushes_total", &[]),
        0.0,
        "it was told what it missed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_peer_does_not_keep_the_others_from_answering() {
    let mesh = Mesh::of(3, 1).start().await;
    let paths = stored(&mesh, 1, "/goes-on").await;
    mesh.coordinators.all[0].freeze();
    let silent = async || mesh.coordinators.all[1].metrics().await.get("meshcache_unresponsive_peers", &[]) == 1.0;
    await_until(silent, SOON, "it is missed").await;
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for path in &paths {
            let answer = Ask::get(SHOP, path).send(mesh.coordinators.data()[1]).await.unwrap();
            assert!(
                answer.text() == "1" && answer.cache_status().contains("; hit"),
                "two of three are enough: {answer:?}"
            );
        }
    }
    // Nor from purging: it is named, and has long since ceased to answer from its store.
    let begun = Stopwatch::start();
    for path in &paths {
        let (status, report) =
            order(&mesh.coordinators.all[1], &json!({"group": "shop", "paths": [path]}).to_string()).await;
        assert_eq!((status, &report["unreached"], report.get("asked")), (202, &json!(["peer-0"]), None), "{report}");
        assert_ne!(body(mesh.coordinators.data()[2], path).await, "1");
    }
    assert!(begun.elapsed() < Duration::from_secs(paths.len() as u64), "{:?}", begun.elapsed());
    mesh.coordinators.all[0].thaw();
    for path in &paths {
        assert_ne!(body(mesh.coordinators.data()[0], path).await, "1", "it asks first what it missed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_nobody_answers_nothing_from_its_store() {
    let mesh = Mesh::of(3, 1).start().await;
    let paths = stored(&mesh, 0, "/alone").await;
    let at = mesh.coordinators.data()[0];
    mesh.coordinators.all[1].freeze();
    mesh.coordinators.all[2].freeze();
    // For all it knows the other two purge what they like.
    let passes = async || Ask::get(SHOP, &paths[0]).send(at).await.unwrap().cache_status().contains("detail=purge-lag");
    await_until(passes, SOON, "everything passes").await;
    assert_eq!(mesh.coordinators.all[0].metrics().await.get("meshcache_purge_lease_held", &[]), 0.0);
    let feed = Ask::new("POST", "any", "/.meshcache/feed").body(r#"{"wire": 1}"#).send(at).await.unwrap();
    assert_eq!(feed.status, 503, "and proxies are not told to trust what they have");
    mesh.coordinators.all[1].thaw();
    mesh.coordinators.all[2].thaw();
    // What passes meanwhile is stored in the place of what was there: each path is asked for once.
    let sure = async || mesh.coordinators.all[0].metrics().await.get("meshcache_purge_lease_held", &[]) == 1.0;
    await_until(sure, SOON, "it knows again what was purged").await;
    let mut kept = 0;
    for path in &paths[1..] {
        let answer = Ask::get(SHOP, path).send(at).await.unwrap();
        kept += usize::from(answer.text() == "1" && answer.cache_status().contains("; hit"));
    }
    assert!(kept > 0, "it has what it had");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_anew_does_not_bring_back_what_was_purged() {
    let mut mesh = Mesh::of(3, 1).start().await;
    let paths = stored(&mesh, 0, "/restarted").await;
    let front = mesh.fronts()[0];
    for path in &paths {
        let hot = async || Ask::get(SHOP, path).send(front).await.unwrap().cache_status().contains("detail=proxy");
        await_until(hot, SOON, "it is hot").await;
    }
    mesh.coordinators.all[0].kill();
    let (status, report) = order(&mesh.coordinators.all[1], r#"{"group": "shop", "prefixes": ["/restarted"]}"#).await;
    assert_eq!((status, &report["unreached"]), (202, &json!(["peer-0"])), "{report}");
    mesh.coordinators.restart(0).await;
    for path in &paths {
        assert_ne!(body(mesh.coordinators.data()[0], path).await, "1");
        await_until(
            async || body(front, path).await != "1",
            Duration::from_millis(1_300),
            "nor does a hot cache, though its coordinator was killed",
        )
        .await;
    }
    // It numbers its own purges anew: they are no less heard for that.
    for path in &paths {
        let before = body(front, path).await;
        let (status, report) = order(&mesh.coordinators.all[0], &url(path)).await;
        assert_eq!(status, 200, "{report}");
        await_until(async || body(front, path).await != before, SOON, "it is gone everywhere").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_knows_more_than_a_coordinator_is_not_answered_from_before() {
    let mesh = Mesh::of(2, 0).start().await;
    let paths = stored(&mesh, 0, "/ahead").await;
    let at = mesh.coordinators.data()[0];
    let outcome =
        async |purges: &str| telling(&mesh, &paths[0], purges).send(at).await.unwrap().header("meshcache-outcome");
    assert!(outcome("").await.starts_with("hit"));
    let (_, report) = order(&mesh.coordinators.all[1], &url("/ahead/elsewhere")).await;
    let known = report["id"].as_str().unwrap();
    assert!(outcome(known).await.starts_with("hit"), "it has heard of that one");
    let next = format!("{}2", known.strip_suffix('1').unwrap());
    for ahead in [&next, "nonsense"] {
        assert_eq!(outcome(ahead).await, "pass; reason=purge-lag", "{ahead}");
    }
    assert!(outcome("").await.starts_with("hit"), "which is nobody else's business");
    let lost = async || outcome("peer-9.00000000000000ff:1").await.starts_with("hit");
    await_until(
        lost,
        SOON,
        "a purge of one who is gone, that nobody knows who is there, keeps nobody from the cache for ever",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_only_a_frozen_peer_may_know_costs_the_store_and_not_the_cache() {
    let mesh = Mesh::of(3, 0).start_cold().await;
    let paths = stored(&mesh, 0, "/hopeless").await;
    mesh.coordinators.all[2].freeze();
    let (told, invented) = (
        telling(&mesh, &paths[0], &marked("peer-2.00000000000000ff:7")),
        telling(&mesh, &paths[0], "peer-2.00000000000000ff:8"),
    );
    let of = async |ask: &Ask, coordinator: usize| {
        let answer = ask.send(mesh.coordinators.data()[coordinator]).await.unwrap();
        (answer.header("meshcache-outcome"), answer.text())
    };
    let answer = async || of(&told, 0).await;
    let behind = ("pass; reason=purge-lag".to_owned(), String::new());
    assert_eq!(of(&invented, 0).await, behind, "told first");
    assert_eq!(answer().await, ("pass; reason=purge-lag".to_owned(), String::new()), "the frozen one may know");
    await_until(
        async || answer().await.0.starts_with("hit"),
        SOON,
        "the cache answers, though that one is still frozen",
    )
    .await;
    assert_eq!(answer().await.1, "2", "and nothing of before");
    assert_eq!(of(&invented, 0).await, behind, "nobody else can tell of that one");
    assert_eq!(answer().await.1, "2", "and it costs nothing");
    mesh.coordinators.all[2].thaw();
    await_until(
        async || order(&mesh.coordinators.all[2], &url("/hopeless")).await.0 == 200,
        SOON,
        "it is one of them again",
    )
    .await;
    assert_eq!(answer().await.1, "2", "nothing was lost by that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_older_than_a_purge_a_second_after_it() {
    let mesh = Mesh::of(3, 2).start().await;
    // MESHCACHE_PURGES=10000: as many, under as much load as a small machine can.
    let wanted = std::env::var("MESHCACHE_PURGES").ok().map(|n| n.parse().expect("MESHCACHE_PURGES is a number"));
    let gentle = Storm { purges: 200, every: Duration::from_millis(20), clients: 8, pause: Duration::from_millis(2) };
    let storm = wanted.map_or(gentle, |purges| Storm {
        purges,
        every: Duration::from_millis(10),
        clients: 48,
        pause: Duration::from_millis(3),
    });
    let purges = storm.purges as u64;
    let storm = storm.blow(&mesh).await;
    println!(
        "{purges} purges in {:?}, {:.0} answers a second, the last old one {:?} after its purge",
        storm.lasted,
        storm.answers as f64 / storm.lasted.as_secs_f64(),
        storm.worst
    );
    let storm = meshcache_tests::purging::Calm { took: Vec::new(), ..storm };
    assert!(storm.answers > 1000 && storm.acknowledged == purges && storm.hits > storm.answers / 4, "{storm:?}");
    assert_eq!((storm.failed, storm.too_old), (0, 0), "{storm:?}");
}
