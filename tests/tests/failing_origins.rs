//! Origins that fail: the right error or the service's own answer for everybody who waits, nothing bad stored, nothing
//! left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use meshcache_tests::{
    Ask, Gate, Mesh, Origin, Reply, Shared, Stopwatch, await_until,
    groups::SHOP,
    herd,
    origin::bad::{BadOrigin, Manner},
    port::{self, Refused},
    run,
    wait::SOON,
};
use serde_json::json;

fn says(text: &str) -> Manner {
    Manner::Says(text.replace('\n', "\r\n").into_bytes())
}

/// What a bad origin may do, and what a client without Envoy then gets; 0: a cut connection.
fn manners() -> Vec<(&'static str, Manner, &'static [u16])> {
    let good = "HTTP/1.1 200 OK\ncache-control: max-age=60\n";
    vec![
        ("reset", Manner::Reset, &[502]),
        ("reset-late", Manner::ResetAfterRequest, &[502]),
        ("silent", Manner::SaysThenSilence(Vec::new()), &[504]),
        ("half-head", says("HTTP/1.1 200 OK\ncache-con"), &[502]),
        ("half-head-silence", Manner::SaysThenSilence(b"HTTP/1.1 200 OK\r\ncache-con".to_vec()), &[504]),
        ("half-body", says(&format!("{good}content-length: 100\n\nhalf")), &[502, 0]),
        ("half-chunk", says(&format!("{good}transfer-encoding: chunked\n\n64\nhalf")), &[502, 0]),
        (
            "half-body-silence",
            Manner::SaysThenSilence(format!("{good}content-length: 100\n\nhalf").replace('\n', "\r\n").into_bytes()),
            &[504, 0],
        ),
        ("bad-chunk", says(&format!("{good}transfer-encoding: chunked\n\nnonsense\n")), &[502, 0]),
        ("endless", Manner::EndlessHeaders, &[502]),
        ("no-http", says("nonsense\n\n"), &[502]),
        ("bad-status", says("HTTP/1.1 ninety OK\n\n"), &[502]),
        ("bad-length", says(&format!("{good}content-length: many\n\nx")), &[502]),
        ("two-lengths", says(&format!("{good}content-length: 1\ncontent-length: 2\n\nxy")), &[502]),
        ("huge-head", says(&format!("{good}x-huge: {}\ncontent-length: 1\n\nx", "x".repeat(4 << 20))), &[502]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_origin_does_everybody_has_an_answer_and_nothing_is_stored_or_left() {
    let refusing = Refused::new();
    let mut origins = Vec::new();
    let mut mesh = Mesh::of(1, 1);
    let timeout = json!({"timeout": "1s"});
    for (name, manner, expected) in manners() {
        let origin = BadOrigin::start(manner).await;
        let addr = origin.addr;
        let fields =
            json!({"freshness": {"default": "1h"}, "origin": {"url": origin.url(), "timeout": timeout["timeout"]}});
        mesh =
            mesh.groups(|groups| groups.plus(name, fields)).envoy(|envoy| envoy.route(&format!("{name}.test"), addr));
        origins.push((name, Some(origin), expected));
    }
    let fields = json!({"origin": {"url": format!("http://{}", refusing.addr)}});
    mesh =
        mesh.groups(|groups| groups.plus("refused", fields)).envoy(|envoy| envoy.route("refused.test", refusing.addr));
    origins.push(("refused", None, &[502]));
    let mesh = mesh.start().await;
    mesh.origin.always("/well", Reply::fresh(3600, "well"));
    let coordinator = &mesh.coordinators.all[0];
    let open = async || {
        Ask::get(SHOP, "/well").send(mesh.fronts()[0]).await.unwrap();
        coordinator.process.open_files()
    };
    let (before, rss) = (open().await, coordinator.process.rss());
    for (name, _, expected) in &origins {
        let host = format!("{name}.test");
        for round in 0..2 {
            let begun = Stopwatch::start();
            let plain = herd(10, &mesh.coordinators.data(), |_| Ask::get(&host, "/bad")).await;
            assert!(
                plain.statuses().keys().all(|status| expected.contains(status)),
                "{name}, round {round}: {:?}",
                plain.statuses()
            );
            assert!(begun.elapsed() < Duration::from_secs(3), "{name}: {:?}", begun.elapsed());
            assert!(
                plain
                    .answers()
                    .all(|answer| !answer.cache_status().contains("; hit") && !answer.text().contains("half"))
            );
        }
        // Through Envoy it is the service's own answer: here Envoy's error for the same origin, or a cut connection.
        let begun = Stopwatch::start();
        let proxied = herd(10, &mesh.fronts(), |_| Ask::get(&host, "/bad")).await;
        assert!(
            proxied.statuses().keys().all(|status| [0, 502, 503, 504].contains(status)),
            "{name}: {:?}",
            proxied.statuses()
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}: {:?}", begun.elapsed());
    }
    for (name, origin, _) in &origins {
        let Some(origin) = origin else { continue };
        assert!(origin.accepted() > 0, "{name} was never asked");
        await_until(async || origin.connections() == 0, SOON, &format!("no connection to {name} is left")).await;
    }
    await_until(async || open().await <= before + 3, SOON, "connections are back to where they were").await;
    let grown = coordinator.process.rss().saturating_sub(rss) >> 20;
    assert!(grown < 40, "the coordinator grew by {grown} MiB");
    assert_eq!(mesh.origin.hits("/well"), 1, "what was stored before still is");
}

static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    let small = json!({"limits": {"object": "64KiB"}});
    let status = json!({"freshness": {"default": "1h", "status": {"404": "1h", "5xx": "1s"}}});
    let mesh = || {
        Mesh::of(3, 1).groups(|groups| {
            groups
                .plus("small", small)
                .plus("errors", json!({}))
                .plus("listed", status)
                .plus("never", json!({"origin": {"timeout": "1s"}}))
        })
    };
    MESH.get(async || mesh().start().await).await
}

#[test]
fn a_body_over_the_limit_is_served_and_never_stored() {
    run(async {
        let mesh = mesh().await;
        let body = vec![b'x'; 64 << 10];
        mesh.origin
            .always("/fits", Reply::fresh(3600, body.clone()).unannounced())
            .always("/fits-too", Reply::fresh(3600, body.clone()));
        let large = Reply::fresh(3600, body).repeated(16);
        mesh.origin.always("/large", large.clone()).always("/large-unannounced", large.unannounced());
        let targets = [mesh.fronts(), mesh.coordinators.data()].concat();
        for path in ["/fits", "/fits-too"] {
            Ask::get("small.test", path).send(targets[0]).await.unwrap();
        }
        for path in ["/large", "/large-unannounced"] {
            for to in &targets {
                for _ in 0..2 {
                    let before = mesh.origin.hits(path);
                    let answer = Ask::get("small.test", path).send(*to).await.unwrap();
                    assert_eq!((answer.status, answer.body.len()), (200, 1 << 20), "{path} at {to}");
                    assert!(
                        !answer.cache_status().contains("; hit") && !answer.cache_status().contains("; stored"),
                        "{answer:?}"
                    );
                    assert!(mesh.origin.hits(path) > before);
                }
            }
            let together = herd(30, &targets, |_| Ask::get("small.test", path)).await;
            together.expect_all_ok();
            assert!(together.answers().all(|answer| answer.body.len() == 1 << 20));
        }
        for path in ["/fits", "/fits-too"] {
            let answer = Ask::get("small.test", path).send(targets[0]).await.unwrap();
            assert!(answer.cache_status().contains("; hit"), "{path} is still there: {:?}", answer.headers);
            assert_eq!(mesh.origin.hits(path), 1);
        }
    });
}

#[test]
fn an_error_of_the_origin_is_given_as_it_is_and_not_stored() {
    run(async {
        let mesh = mesh().await;
        let targets = [mesh.fronts()[0], mesh.coordinators.data()[0], mesh.coordinators.data()[1]];
        for status in [400, 403, 404, 410, 429, 500, 502, 503, 504] {
            let path = format!("/error/{status}");
            mesh.origin.always(
                &path,
                Reply::fresh(3600, "its own words").with_status(status).header("x-own", "1").header("retry-after", "7"),
            );
            for to in targets {
                for _ in 0..2 {
                    let before = mesh.origin.hits(&path);
                    let answer = Ask::get("errors.test", &path).send(to).await.unwrap();
                    assert_eq!(
                        (answer.status, answer.text(), answer.header("x-own"), answer.header("retry-after")),
                        (status, "its own words".to_owned(), "1".to_owned(), "7".to_owned())
                    );
                    assert!(mesh.origin.hits(&path) > before, "{status} was stored");
                }
            }
        }
    });
}

#[test]
fn an_error_that_the_group_lists_is_stored_for_as_long_as_it_says() {
    run(async {
        let mesh = mesh().await;
        mesh.origin
            .always("/missing", Reply::ok("none here").with_status(404))
            .always("/broken", Reply::ok("broken").with_status(500));
        let ask = async |path: &str| Ask::get("listed.test", path).send(mesh.fronts()[0]).await.unwrap();
        for _ in 0..5 {
            let missing = ask("/missing").await;
            assert_eq!(
                (missing.status, missing.text(), mesh.origin.hits("/missing")),
                (404, "none here".to_owned(), 1)
            );
        }
        assert_eq!(ask("/broken").await.status, 500);
        await_until(
            async || ask("/broken").await.status == 500 && mesh.origin.hits("/broken") > 1,
            SOON,
            "a stored 500 ends",
        )
        .await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_is_down_is_an_error_until_it_is_back() {
    let origin = Origin::start_at(port::unused()).await;
    let (addr, url) = (origin.addr, origin.url());
    let down = json!({"freshness": {"default": "1h"}, "origin": {"url": url}});
    let mesh = Mesh::of(3, 1)
        .groups(|groups| groups.plus("down", down))
        .envoy(|envoy| envoy.route("down.test", addr))
        .start()
        .await;
    origin.always("/kept", Reply::fresh(3600, "kept"));
    let targets = [mesh.fronts(), mesh.coordinators.data()].concat();
    for to in &targets {
        assert_eq!(Ask::get("down.test", "/kept").send(*to).await.unwrap().status, 200);
    }
    origin.crash();
    for to in &targets {
        let kept = Ask::get("down.test", "/kept").send(*to).await.unwrap();
        assert_eq!((kept.status, kept.text()), (200, "kept".to_owned()), "what is fresh stays");
        let answer = Ask::get("down.test", "/new").send(*to).await.unwrap();
        assert!([502, 503].contains(&answer.status), "{answer:?}");
    }
    let origin = Origin::start_at(addr).await;
    origin.always("/new", Reply::fresh(3600, "new"));
    for to in &targets {
        let back = async || Ask::get("down.test", "/new").send(*to).await.unwrap().text() == "new";
        await_until(back, Duration::from_secs(3), "nobody remembers the failure for long").await;
    }
}

#[test]
fn an_origin_that_never_answers_is_not_asked_by_all_who_wait() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/never", Reply::fresh(3600, "never").behind(&Gate::shut()));
        let targets = [mesh.fronts(), mesh.coordinators.data()].concat();
        let herd = herd(40, &targets, |_| Ask::get("never.test", "/never")).await;
        assert_eq!(herd.statuses(), [(504, 40)].into());
        assert!(
            mesh.origin.hits("/never") < 5,
            "the herd was let loose on it: {} requests",
            mesh.origin.hits("/never")
        );
    });
}

#[test]
fn half_a_body_is_never_taken_for_the_whole() {
    run(async {
        let mesh = mesh().await;
        let targets = [mesh.fronts(), mesh.coordinators.data()].concat();
        for (path, size) in [("/cut", 1 << 10), ("/cut-large", 1 << 20)] {
            let cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
            let cuts = cut.clone();
            mesh.origin.on(path, move |_| {
                let reply = Reply::fresh(3600, vec![b'x'; size]);
                if cuts.load(std::sync::atomic::Ordering::SeqCst) { reply.cut() } else { reply }
            });
            let broken = herd(20, &targets, |_| Ask::get("small.test", path)).await;
            assert!(
                broken.statuses().keys().all(|status| [0, 502, 503].contains(status)),
                "{path}: {:?}",
                broken.statuses()
            );
            cut.store(false, std::sync::atomic::Ordering::SeqCst);
            for to in &targets {
                let whole = async || {
                    Ask::get("small.test", path)
                        .send(*to)
                        .await
                        .is_ok_and(|answer| answer.status == 200 && answer.body.len() == size)
                };
                await_until(whole, SOON, "the whole is served when there is one").await;
            }
        }
    });
}

#[test]
fn a_load_that_nobody_waits_for_any_more_is_stored_all_the_same() {
    run(async {
        let mesh = mesh().await;
        let gate = Gate::shut();
        mesh.origin.always("/left", Reply::fresh(3600, "for later").behind(&gate));
        for to in [mesh.fronts()[0], mesh.coordinators.data()[0]] {
            let client = tokio::spawn(async move { Ask::get(SHOP, "/left").send(to).await });
            await_until(async || mesh.origin.hits("/left") == 1, SOON, "it is loading").await;
            client.abort();
        }
        gate.open();
        await_until(async || mesh.origin.under_way() == 0, SOON, "it was loaded").await;
        assert_eq!(Ask::get(SHOP, "/left").send(mesh.fronts()[0]).await.unwrap().text(), "for later");
        assert_eq!(mesh.origin.hits("/left"), 1);
    });
}
