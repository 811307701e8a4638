//! What takes more than one client, one cache, or an origin that looks at what it is asked.

use std::time::Duration;

use meshcache_tests::{Ask, Connection, Coordinator, Gate, Mesh, Origin, Reply, await_until, herd, wait::SOON};
use serde_json::json;

use super::row::HOST;

async fn alone() -> (Origin, Coordinator) {
    let origin = Origin::start().await;
    let cache = Coordinator::in_front_of(&origin.url(), &[]).await;
    (origin, cache)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_for_another_tag_is_asked_for_again_in_full() {
    let (origin, cache) = alone().await;
    origin.on("/", |request| match (request.nth, request.header("if-none-match").as_str()) {
        (1, _) => Reply::ok("old").header("cache-control", "max-age=10").header("age", "20").header("etag", "\"a\""),
        (_, "\"a\"") => Reply::status(304).header("etag", "\"b\""),
        _ => Reply::fresh(60, "new").header("etag", "\"b\""),
    });
    let ask = async || Ask::get(HOST, "/").send(cache.ports.data).await.unwrap();
    assert_eq!(ask().await.text(), "old");
    assert_eq!((ask().await.text(), origin.hits("/")), ("new".to_owned(), 3));
    assert_eq!((ask().await.text(), origin.hits("/")), ("new".to_owned(), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_that_names_no_variant_is_asked_for_again_in_full() {
    let (origin, cache) = alone().await;
    let tagged =
        |text: &'static str| Reply::fresh(60, text).header("vary", "x-v").header("etag", format!("\"{text}\""));
    for said in [None, Some("W/\"1\""), Some("\"2\"")] {
        let path = format!("/{}", said.unwrap_or("none").replace(['/', '"'], ""));
        origin.on(&path, move |request| {
            match (request.header("x-v").as_str(), request.header("if-none-match").as_str()) {
                ("1", _) => tagged("1"),
                (_, "\"1\"") => said.iter().fold(Reply::status(304), |reply, tag| reply.header("etag", *tag)),
                _ => tagged("other"),
            }
        });
        let ask = async |v: &str| Ask::get(HOST, &path).header("x-v", v).send(cache.ports.data).await.unwrap().text();
        assert_eq!(
            (ask("1").await, ask("2").await, ask("2").await, origin.hits(&path)),
            ("1".to_owned(), "other".to_owned(), "other".to_owned(), 3),
            "{said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_get_a_stale_answer_are_one_load_in_the_background() {
    let (origin, cache) = alone().await;
    let gate = Gate::shut();
    let behind = gate.clone();
    origin.on("/", move |request| match request.nth {
        1 => Reply::ok("old").header("cache-control", "max-age=10, stale-while-revalidate=600").header("age", "20"),
        _ => Reply::fresh(600, "new").behind(&behind),
    });
    assert_eq!(Ask::get(HOST, "/").send(cache.ports.data).await.unwrap().text(), "old");
    let stale = herd(200, &[cache.ports.data], |_| Ask::get(HOST, "/")).await;
    stale.expect_all_ok();
    gate.open();
    await_until(
        async || Ask::get(HOST, "/").send(cache.ports.data).await.unwrap().text() == "new",
        SOON,
        "it is refreshed",
    )
    .await;
    assert_eq!(origin.hits("/"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reloads_are_the_load_under_way_and_one_for_all_who_came_since() {
    let (origin, cache) = alone().await;
    let gate = Gate::shut();
    let behind = gate.clone();
    origin.on("/", move |request| {
        if request.nth == 1 {
            Reply::fresh(600, "1")
        } else {
            Reply::fresh(600, request.nth.to_string()).behind(&behind)
        }
    });
    let to = cache.ports.data;
    assert_eq!(Ask::get(HOST, "/").send(to).await.unwrap().text(), "1");
    let reload = Ask::get(HOST, "/").header("cache-control", "no-cache");
    let reloads: Vec<_> = (0..100)
        .map(|_| {
            let reload = reload.clone();
            tokio::spawn(async move { reload.send(to).await.unwrap() })
        })
        .collect();
    let waiting = async || cache.metrics().await.sum("meshcache_waiters", &[]) == 100.0;
    await_until(waiting, SOON, "all reloads wait").await;
    assert_eq!(
        Ask::get(HOST, "/").send(to).await.unwrap().text(),
        "1",
        "who does not reload is answered from the store"
    );
    gate.open();
    let mut bodies = std::collections::BTreeMap::new();
    for reload in reloads {
        *bodies.entry(reload.await.unwrap().text()).or_insert(0) += 1;
    }
    assert_eq!(origin.hits("/"), 3, "{bodies:?}");
    assert_eq!(bodies.values().sum::<usize>(), 100);
    assert!(!bodies.contains_key("1"), "{bodies:?}");
}

/// The owner says `loading`, the filter asks again, and says how long it has been waiting: so it stays with the load
/// that was begun for it. On a busy machine that may be over just then, or take so long that it counts as another's:
/// then there is one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_takes_longer_than_the_patience_is_not_made_again_and_again() {
    let slow = json!({"patience": "100ms", "origin": {"timeout": "1m"}, "freshness": {"requestDirectives": "obey"}});
    let mesh = Mesh::of(1, 1).groups(|groups| groups.plus("slow", slow)).start().await;
    let gate = Gate::shut();
    let behind = gate.clone();
    mesh.origin.on("/", move |request| {
        if request.nth == 1 {
            Reply::fresh(600, "1")
        } else {
            Reply::fresh(600, request.nth.to_string()).behind(&behind)
        }
    });
    let front = mesh.fronts()[0];
    assert_eq!(Ask::get("slow.test", "/").send(front).await.unwrap().text(), "1");
    let reload = tokio::spawn(async move {
        Ask::get("slow.test", "/").header("cache-control", "no-cache").send(front).await.unwrap()
    });
    let loading = async || {
        mesh.coordinators.all[0]
            .metrics()
            .await
            .sum("meshcache_requests_total", &[("group", "slow"), ("outcome", "loading")])
            >= 5.0
    };
    await_until(loading, SOON, "the owner has said five times that it is loading").await;
    gate.open();
    let answer = reload.await.unwrap();
    let hits = mesh.origin.hits("/");
    assert!(answer.text() != "1" && (2..=4).contains(&hits), "{hits}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_the_load_of_a_no_cache_answer_gets_one_that_was_asked_for_after_it_came() {
    let (origin, cache) = alone().await;
    let gates = [Gate::shut(), Gate::shut()];
    let [first, second] = gates.clone();
    origin.on("/", move |request| {
        let gate = if request.nth == 1 { &first } else { &second };
        Reply::ok(request.nth.to_string())
            .header("cache-control", "no-cache, max-age=60")
            .header("etag", format!("\"{}\"", request.nth))
            .behind(gate)
    });
    let to = cache.ports.data;
    let ask = || tokio::spawn(async move { Ask::get(HOST, "/").send(to).await.unwrap() });
    let mut asks = vec![ask()];
    // Who came before the load began may have its answer.
    await_until(async || origin.hits("/") == 1, SOON, "the first is loading").await;
    asks.extend((1..50).map(|_| ask()));
    let all_wait = async |n: f64| cache.metrics().await.sum("meshcache_waiters", &[]) == n;
    await_until(async || all_wait(50.0).await, SOON, "all wait").await;
    gates[0].open();
    await_until(async || all_wait(49.0).await && origin.hits("/") == 2, SOON, "all but the first wait again").await;
    gates[1].open();
    let mut bodies = std::collections::BTreeMap::new();
    for ask in asks {
        *bodies.entry(ask.await.unwrap().text()).or_insert(0) += 1;
    }
    assert_eq!((bodies.get("1"), bodies.get("2"), origin.hits("/")), (Some(&1), Some(&49), 2), "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debugger_sees_key_rule_and_tags() {
    let mesh = Mesh::of(1, 1)
        .groups(|groups| groups.plus("seen", json!({"freshness": {"default": "1m"}, "tags": {"strip": false}})))
        .start()
        .await;
    mesh.origin.always("/tagged", Reply::fresh(60, "x").header("surrogate-key", "a b"));
    mesh.origin.always("/silent", Reply::ok("x"));
    let ask = async |to, path: &str| {
        Ask::get("seen.test", path).header("meshcache-debug", "1").send(to).await.unwrap().cache_status()
    };
    let owner = mesh.coordinators.data()[0];
    for (path, why) in [("/tagged", "max-age"), ("/silent", "default")] {
        assert!(ask(owner, path).await.contains("key=\"seen http://seen.test/"), "a miss");
        let told = ask(owner, path).await;
        assert!(
            told.contains("hit")
                && told.contains(&format!("why={why}"))
                && told.contains(&format!("key=\"seen http://seen.test{path}\"")),
            "{told}"
        );
        let front = mesh.fronts()[0];
        let hot = async || ask(front, path).await.contains("detail=\"proxy why=");
        await_until(hot, SOON, "it is hot").await;
        let told = ask(front, path).await;
        assert!(
            told.contains(&format!("why={why}")) && told.contains(&format!("key=\"seen http://seen.test{path}\"")),
            "{told}"
        );
        assert!(
            !Ask::get("seen.test", path).send(front).await.unwrap().cache_status().contains("why="),
            "who does not ask is not told"
        );
    }
    assert!(ask(owner, "/tagged").await.contains("tags=a,b"));
}

/// Three coordinators, an Envoy of two workers: what one worker has seen change goes from the other's hot cache, and
/// from the owner's store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsafe_request_through_envoy_invalidates_in_all_its_workers_and_at_the_owner() {
    let mesh = Mesh::of(3, 1)
        .groups(|groups| groups.plus("changes", json!({"hot": {"ttl": "1h"}})))
        .envoy(|envoy| envoy.concurrency(2))
        .start()
        .await;
    let version = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(1));
    let (read, write) = (version.clone(), version.clone());
    mesh.origin.on("/thing", move |request| {
        if request.method == "PUT" {
            write.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return Reply::status(204);
        }
        Reply::fresh(3600, read.load(std::sync::atomic::Ordering::SeqCst).to_string())
    });
    let front = mesh.fronts()[0];
    // Connections are spread over the workers by chance: of so many both have some.
    let mut connections = Vec::new();
    for _ in 0..16 {
        connections.push(Connection::open(front).await.unwrap());
    }
    let ask = Ask::get("changes.test", "/thing");
    for round in 1..=3 {
        for connection in &mut connections {
            let hot = async |connection: &mut Connection| {
                let answer = connection.send(&ask).await.unwrap();
                assert_eq!(answer.text(), round.to_string(), "{answer:?}");
                answer.cache_status().contains("detail=proxy")
            };
            // Not before the owner must have heard of the last change.
            let end = tokio::time::Instant::now() + SOON;
            while !hot(connection).await {
                assert!(tokio::time::Instant::now() < end, "round {round}: hot again");
            }
        }
        let put = connections[0].send(&Ask::new("PUT", "changes.test", "/thing").body("x")).await.unwrap();
        assert_eq!(put.status, 204);
        let own = connections[0].send(&ask).await.unwrap();
        if round == 1 {
            assert_eq!(own.text(), "2", "at once for the worker that has seen it: {own:?}");
        }
        // A second call for the same key waits for the end of its second.
        let newer = async || {
            let mut all = true;
            for _ in 0..8 {
                all &= Ask::get("changes.test", "/thing").send(front).await.unwrap().text() == (round + 1).to_string();
            }
            all
        };
        await_until(newer, Duration::from_secs(5), "all workers and the owner have heard of it").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plain_client_changes_at_one_coordinator_is_invalid_at_the_owner() {
    let mesh = Mesh::of(3, 0).start_cold().await;
    mesh.origin.on("*", |request| {
        if request.method == "POST" { Reply::status(204) } else { Reply::fresh(600, request.nth.to_string()) }
    });
    let path = mesh.owned_by(0, meshcache_tests::groups::SHOP, "/owned");
    let ask = Ask::get(meshcache_tests::groups::SHOP, &path);
    let ports = mesh.coordinators.data();
    for to in &ports {
        assert_eq!(ask.send(*to).await.unwrap().text(), "1");
    }
    assert_eq!(
        Ask::new("POST", meshcache_tests::groups::SHOP, &path).body("x").send(ports[2]).await.unwrap().status,
        204
    );
    await_until(async || ask.send(ports[0]).await.unwrap().text() == "3", SOON, "the owner has heard of it").await;
}
