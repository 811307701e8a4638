//! The hot cache: what a proxy answers from its own memory, and for how long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use meshcache_tests::{
    Answer, Ask, Connection, Mesh, Reply, Shared, Stopwatch, artifact, await_until,
    load::{Until, load},
    run,
    wait::SOON,
};
use serde_json::json;

static MESH: Shared<Mesh> = Shared::new();

/// A group for each test, so that its counters are its own.
async fn mesh() -> Arc<Mesh> {
    let groups = ["still", "aging", "ending", "head", "vary", "passing", "attacked", "status"];
    let mesh = || {
        Mesh::of(3, 1).groups(|all| {
            groups.iter().fold(all, |all, name| all.plus(name, json!({}))).plus("short", json!({"hot": {"ttl": "1s"}}))
        })
    };
    MESH.get(async || mesh().start().await).await
}

/// Asks until the proxy answers from its own memory.
async fn make_hot(mesh: &Mesh, ask: &Ask) -> Answer {
    let answer = std::sync::Mutex::new(None);
    let hot = async || {
        let got = ask.send(mesh.fronts()[0]).await.unwrap();
        assert_eq!(got.status, 200, "{got:?}");
        let hot = is_hot(&got);
        *answer.lock().unwrap() = Some(got);
        hot
    };
    await_until(hot, SOON, "it is in the hot cache").await;
    answer.into_inner().unwrap().unwrap()
}

fn is_hot(answer: &Answer) -> bool {
    answer.cache_status().contains("; hit") && answer.cache_status().contains("detail=proxy")
}

/// The number behind `ttl=` in Cache-Status.
fn ttl(answer: &Answer) -> i64 {
    let status = answer.cache_status();
    let ttl = status.split("; ").find_map(|part| part.strip_prefix("ttl="));
    ttl.and_then(|ttl| ttl.parse().ok()).unwrap_or_else(|| panic!("no ttl in {status}"))
}

#[test]
fn a_variant_that_passes_leaves_the_hot_copies_of_others_where_they_are() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/passing", |request| {
            let language = request.header("accept-language");
            let control = if language == "fr" { "private" } else { "max-age=3600" };
            Reply::ok(language).header("vary", "accept-language").header("cache-control", control)
        });
        let ask = |language: &str| Ask::get("passing.test", "/passing").header("accept-language", language);
        make_hot(&mesh, &ask("de")).await;
        for _ in 0..3 {
            let private = ask("fr").send(mesh.fronts()[0]).await.unwrap();
            assert_eq!((private.status, private.text()), (200, "fr".to_owned()));
            let german = ask("de").send(mesh.fronts()[0]).await.unwrap();
            assert!(is_hot(&german) && german.text() == "de", "{german:?}");
        }
        // Nor do others pass with it that nobody has asked for yet.
        for came in ["fwd=", "; hit"] {
            let italian = ask("it").send(mesh.fronts()[0]).await.unwrap();
            assert!(italian.cache_status().contains(came) && !italian.cache_status().contains("bypass"), "{italian:?}");
        }
    });
}

#[test]
fn requests_that_make_an_answer_private_do_not_switch_the_key_off_for_the_others() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/attacked", |request| {
            let control = if request.header("x-attack").is_empty() { "max-age=1" } else { "private" };
            Reply::ok("here").header("vary", "x-attack").header("cache-control", control)
        });
        let (honest, attack) =
            (Ask::get("attacked.test", "/attacked"), Ask::get("attacked.test", "/attacked").header("x-attack", "1"));
        let front = mesh.fronts()[0];
        let begun = Instant::now();
        // Each attack beside ten honest requests, for longer than the pass of one is remembered: the proxy tries it
        // again and again.
        while begun.elapsed() < Duration::from_secs(3) {
            assert_eq!(attack.send(front).await.unwrap().text(), "here");
            for _ in 0..10 {
                assert_eq!(honest.send(front).await.unwrap().text(), "here");
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let loads = mesh
            .origin
            .received()
            .iter()
            .filter(|request| request.uri.path() == "/attacked" && request.header("x-attack").is_empty())
            .count();
        // Without the attack it is one load each second, and the first.
        assert!(loads as f64 <= 3.0 * (seconds + 1.0), "{loads} honest loads in {seconds} s{}", mesh.counts().await);
    });
}

#[test]
fn a_hot_hit_sends_no_packet_to_a_coordinator() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/still", Reply::fresh(3600, "still here"));
        let ask = Ask::get("still.test", "/still");
        make_hot(&mesh, &ask).await;
        let counters = ["groupcache_gets_total", "groupcache_server_requests_total", "meshcache_requests_total"];
        let asked = async || {
            let mut sum = 0.0;
            for counter in counters {
                sum += mesh.coordinators.sum(counter, &[("group", "still")]).await;
            }
            sum
        };
        let before = asked().await;
        assert!(before > 0.0, "the counters do not count");
        let mut connection = Connection::open(mesh.fronts()[0]).await.unwrap();
        for _ in 0..200 {
            let answer = connection.send(&ask).await.unwrap();
            assert!(is_hot(&answer) && answer.text() == "still here", "{answer:?}");
        }
        assert_eq!(asked().await, before);
        assert_eq!(mesh.origin.hits("/still"), 1);
        // What the proxy did by itself is known all the same: it rides on the feed.
        let told =
            async || mesh.coordinators.sum("meshcache_proxy_requests_total", &[("group", "still")]).await >= 200.0;
        await_until(told, SOON, "the coordinators hear of the proxy's hits").await;
    });
}

#[test]
fn age_and_ttl_count_on_in_the_proxy() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/aging", Reply::fresh(3600, "x").header("age", "100"));
        let ask = Ask::get("aging.test", "/aging");
        let loaded = Instant::now();
        make_hot(&mesh, &ask).await;
        let older = async || {
            let answer = ask.send(mesh.fronts()[0]).await.unwrap();
            let (age, most) = (answer.header("age").parse::<u64>().expect("an Age"), 101 + loaded.elapsed().as_secs());
            assert!((100..=most).contains(&age), "Age {age}, at most {most}");
            assert!((ttl(&answer) - (3600 - age as i64)).abs() <= 1, "{answer:?}");
            is_hot(&answer) && age >= 102
        };
        await_until(older, SOON, "a hot answer grows older").await;
        assert_eq!(mesh.origin.hits("/aging"), 1);
    });
}

#[test]
fn cache_status_tells_where_an_answer_came_from() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/status", Reply::fresh(3600, "x").header("cache-status", "nearer; hit"));
        let ask = Ask::get("status.test", "/status");
        let first = ask.send(mesh.fronts()[0]).await.unwrap();
        let members = first.header("cache-status");
        let own = members
            .strip_prefix("nearer; hit, ")
            .unwrap_or_else(|| panic!("not behind the nearer cache's own: {members}"));
        assert!(
            own.starts_with("meshcache; fwd=uri-miss") && own.contains("; fwd-status=200") && own.contains("; stored"),
            "{own}"
        );
        let second = ask.send(mesh.fronts()[0]).await.unwrap();
        assert!(second.cache_status().starts_with("meshcache; hit; ttl=3"), "{second:?}");
        let hot = make_hot(&mesh, &ask).await;
        assert!(hot.header("cache-status").starts_with("nearer; hit, meshcache; hit; ttl=3"), "{hot:?}");
        assert!(hot.header("cache-status").ends_with("; detail=proxy"), "{hot:?}");
        // A coordinator says so too, to clients without an Envoy.
        let plain = ask.send(mesh.coordinators.data()[0]).await.unwrap();
        assert!(plain.cache_status().starts_with("meshcache; hit; ttl=3"), "{plain:?}");
    });
}

#[test]
fn a_ttl_that_ends_is_one_load_more_and_nothing_stale() {
    run(async {
        let mesh = mesh().await;
        let begun = Instant::now();
        // The body tells when it was made.
        mesh.origin.on("/ending", move |_| Reply::fresh(2, begun.elapsed().as_millis().to_string()));
        let ask = Ask::get("ending.test", "/ending");
        make_hot(&mesh, &ask).await;
        assert_eq!(mesh.origin.hits("/ending"), 1);
        let again = async || {
            let asked = begun.elapsed();
            let answer = ask.send(mesh.fronts()[0]).await.unwrap();
            let made = Duration::from_millis(answer.text().parse().unwrap());
            let old = asked.saturating_sub(made);
            assert!(old < Duration::from_millis(2_300), "an answer for 2 s is {old:?} old: {answer:?}");
            assert!(!answer.cache_status().contains("vary-miss"), "what is over is no other variant: {answer:?}");
            mesh.origin.hits("/ending") >= 3
        };
        await_until(again, SOON, "it ends twice").await;
        assert!(begun.elapsed() > Duration::from_secs(4), "it was loaded 3 times in {:?}", begun.elapsed());
    });
}

#[test]
fn a_hot_copy_is_used_for_no_longer_than_the_group_says() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/short", Reply::fresh(3600, "x"));
        let ask = Ask::get("short.test", "/short");
        make_hot(&mesh, &ask).await;
        let asked = async || mesh.coordinators.sum("groupcache_gets_total", &[("group", "short")]).await;
        let before = asked().await;
        let begun = Stopwatch::start();
        let asks_again = async || {
            ask.send(mesh.fronts()[0]).await.unwrap();
            asked().await > before
        };
        await_until(asks_again, SOON, "the proxy asks the owner again").await;
        assert!(begun.elapsed() < Duration::from_millis(2_500), "a copy for 1 s was used for {:?}", begun.elapsed());
        assert_eq!(mesh.origin.hits("/short"), 1);
    });
}

#[test]
fn a_head_is_answered_from_a_stored_get() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/head", Reply::fresh(3600, "twelve bytes").header("etag", "\"e\""));
        let get = make_hot(&mesh, &Ask::get("head.test", "/head")).await;
        let (hot, owner) = (mesh.fronts()[0], mesh.coordinators.data()[0]);
        for to in [hot, owner] {
            let head = Ask::new("HEAD", "head.test", "/head").send(to).await.unwrap();
            assert_eq!(
                (head.status, head.body.len(), head.header("content-length")),
                (200, 0, "12".to_owned()),
                "{head:?}"
            );
            assert_eq!(
                (head.header("etag"), head.header("cache-control")),
                (get.header("etag"), get.header("cache-control"))
            );
            assert!(head.cache_status().contains("; hit"), "{head:?}");
        }
        assert_eq!(mesh.origin.hits("/head"), 1);
    });
}

#[test]
fn a_proxy_keeps_the_variants_of_a_key_apart() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/vary", |request| {
            Reply::fresh(3600, request.header("accept-language")).header("vary", "accept-language")
        });
        let ask = |language: &str| Ask::get("vary.test", "/vary").header("accept-language", language);
        for language in ["de", "en", "fr"] {
            assert_eq!(make_hot(&mesh, &ask(language)).await.text(), language);
        }
        for language in ["fr", "de", "en", "de"] {
            let answer = ask(language).send(mesh.fronts()[0]).await.unwrap();
            assert!(is_hot(&answer) && answer.text() == language, "{answer:?}");
        }
        // Neither of the stored ones is for a request without.
        let none = Ask::get("vary.test", "/vary").send(mesh.fronts()[0]).await.unwrap();
        assert_eq!((none.status, none.text()), (200, String::new()));
        assert_eq!(mesh.origin.hits("/vary"), 4);
    });
}

/// Several thousand keys, many times as much as the hot cache may hold, each asked for often enough to be wanted in it.
async fn sweep(mesh: &Mesh) {
    mesh.origin.forget_heads().always("*", Reply::fresh(3600, vec![b'x'; 16 * 1024]));
    let asks: Vec<Ask> =
        (0..2_000).flat_map(|i| (0..3).map(move |_| Ask::get("shop.example.com", &format!("/swept/{i}")))).collect();
    let load = load(&mesh.fronts(), &asks, 4, Until::Requests(8_000)).await;
    assert_eq!((load.requests, load.errors), (8_000, vec![]));
}

#[test]
fn the_hot_cache_is_bounded() {
    run(async {
        let small = |configuration: &mut serde_json::Value| configuration["hot_bytes_per_worker"] = json!("512KiB");
        let mesh = Mesh::of(1, 1).envoy(|envoy| envoy.filter(small)).start().await;
        let before = mesh.envoys[0].process.rss();
        sweep(&mesh).await;
        let grown = mesh.envoys[0].process.rss().saturating_sub(before) >> 20;
        // 2,000 times 16 KiB are 32 MiB.
        assert!(grown < 20, "Envoy grew by {grown} MiB");
        // It is no smaller than it says either: a few keys fit.
        let few: Vec<Ask> = (0..8).map(|i| Ask::get("shop.example.com", &format!("/swept/{i}"))).collect();
        for ask in &few {
            make_hot(&mesh, ask).await;
        }
    });
}

#[test]
fn without_room_there_is_no_hot_cache() {
    run(async {
        let none = |configuration: &mut serde_json::Value| configuration["hot_bytes_per_worker"] = json!("0");
        let mesh = Mesh::of(1, 1).envoy(|envoy| envoy.filter(none)).start().await;
        mesh.origin.always("/cold", Reply::fresh(3600, "x"));
        let mut connection = Connection::open(mesh.fronts()[0]).await.unwrap();
        connection.send(&Ask::get("shop.example.com", "/cold")).await.unwrap();
        for _ in 0..50 {
            let answer = connection.send(&Ask::get("shop.example.com", "/cold")).await.unwrap();
            assert!(answer.cache_status().contains("detail=owner"), "{answer:?}");
        }
        assert_eq!(mesh.origin.hits("/cold"), 1);
    });
}

/// Each proxy fetches and compiles it.
#[test]
fn the_wasm_filter_is_at_most_a_mebibyte() {
    let size = std::fs::metadata(artifact::filter()).unwrap().len();
    assert!(size <= 1 << 20, "{size} bytes");
}
