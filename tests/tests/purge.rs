//! Purges: gone from every coordinator when it is answered, and from every hot cache within a second.
//!
//! Long: all run on one mesh, which takes seconds to start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use meshcache_tests::{
    Ask, Connection, Gate, Mesh, Reply, Shared, Stopwatch, await_until, coordinator::ADMIN_TOKEN, raw, run, wait::SOON,
};
use serde_json::{Value, json};

static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    let groups = [
        "urls", "paths", "prefixes", "whole", "other", "flight", "variants", "tags", "dry", "regex", "method", "keys",
        "more",
    ];
    let soft = json!({"freshness": {"staleWhileRevalidate": "60s", "staleIfError": "60s"}});
    let mesh = || {
        Mesh::of(3, 2).groups(|all| {
            let all = groups.iter().fold(all, |all, name| all.plus(name, json!({}))).plus("soft", soft);
            let all = all.plus("hosts", json!({"match": {"hosts": ["*.hosts.test"]}}));
            // An owner on a busy machine may be silent for a while.
            all.set("flight", "/patience", json!("20s"))
        })
    };
    MESH.get(async || mesh().start().await).await
}

async fn post(mesh: &Mesh, coordinator: usize, body: &str) -> (u16, Value) {
    let ask = Ask::new("POST", "admin", "/purge").header("content-type", "application/json").body(body.to_owned());
    administer(mesh, coordinator, ask).await
}

async fn administer(mesh: &Mesh, coordinator: usize, ask: Ask) -> (u16, Value) {
    let ask = ask.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let answer = ask.send(mesh.coordinators.all[coordinator].ports.admin).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

/// Things in every cache there is: their paths with host, and the version of each (the origin counts).
struct Stock<'m> {
    mesh: &'m Mesh,
    versions: BTreeMap<(&'static str, &'static str), String>,
}

impl Stock<'_> {
    async fn of<'m>(mesh: &'m Mesh, things: &[(&'static str, &'static str)]) -> Stock<'m> {
        let mut stock = Stock { mesh, versions: BTreeMap::new() };
        for (host, target) in things {
            let path = target.split('?').next().unwrap();
            mesh.origin.on(path, |request| Reply::fresh(3600, request.nth.to_string()));
            for front in mesh.fronts() {
                let hot = async || ask(front, host, target).await.1.contains("detail=proxy");
                await_until(hot, SOON, "it is hot in each proxy").await;
            }
            for coordinator in mesh.coordinators.data() {
                ask(coordinator, host, target).await;
            }
            let version = ask(mesh.fronts()[0], host, target).await.0;
            stock.versions.insert((host, target), version);
        }
        stock
    }

    /// Purges at one coordinator; then exactly these are gone, everywhere.
    async fn purge(&self, coordinator: usize, body: Value, gone: &[(&'static str, &'static str)]) {
        self.purge_by(coordinator, Ask::new("POST", "admin", "/purge").body(body.to_string()), gone).await;
    }

    /// Does so by this request.
    async fn purge_by(&self, coordinator: usize, order: Ask, gone: &[(&'static str, &'static str)]) {
        let (begun, body) = (Stopwatch::start(), format!("{order:?}"));
        let (status, report) = administer(self.mesh, coordinator, order).await;
        assert_eq!(status, 200, "{body}: {report}");
        assert!(report["id"].is_string() && report["unreached"] == json!([]), "{report}");
        assert!(
            report["entries"].as_u64() >= Some(gone.len() as u64) && report["bytes"].as_u64() > Some(0),
            "{report}"
        );
        for ((host, target), version) in &self.versions {
            let gone = gone.contains(&(host, target));
            for coordinator in self.mesh.coordinators.data() {
                assert_eq!(
                    ask(coordinator, host, target).await.0 != *version,
                    gone,
                    "{host}{target} at {coordinator} after {body}"
                );
            }
        }
        for ((host, target), version) in &self.versions {
            for front in self.mesh.fronts() {
                if gone.contains(&(host, target)) {
                    await_until(
                        async || ask(front, host, target).await.0 != *version,
                        SOON,
                        "it is gone from the hot cache",
                    )
                    .await;
                    assert!(
                        begun.elapsed() < Duration::from_secs(2),
                        "gone from the hot cache after {:?}",
                        begun.elapsed()
                    );
                } else {
                    assert_eq!(ask(front, host, target).await.0, *version, "{host}{target} was to stay after {body}");
                }
            }
        }
    }
}

/// The body and what Cache-Status says.
async fn ask(to: SocketAddr, host: &str, target: &str) -> (String, String) {
    let answer = Ask::get(host, target).send(to).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.text(), answer.cache_status())
}

#[test]
fn urls_go_whichever_group_they_are_in() {
    run(async {
        let mesh = mesh().await;
        let (query, plain, other) = (("urls.test", "/urls?a=1"), ("urls.test", "/urls"), ("other.test", "/urls-other"));
        let stock = Stock::of(&mesh, &[query, plain, other]).await;
        stock.purge(0, json!({"urls": ["http://urls.test/urls?a=1"]}), &[query]).await;
        let stock = Stock::of(&mesh, &[query, plain, other]).await;
        stock
            .purge(1, json!({"urls": ["http://URLS.test:80/urls", "http://other.test/urls-other"]}), &[plain, other])
            .await;
    });
}

#[test]
fn paths_go_with_exactly_their_query() {
    run(async {
        let mesh = mesh().await;
        let all = [("paths.test", "/paths?a=1"), ("paths.test", "/paths"), ("paths.test", "/paths/below")];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(2, json!({"group": "paths", "paths": ["/paths?a=1"]}), &all[..1]).await;
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(0, json!({"group": "paths", "paths": ["/paths", "/paths/nowhere"]}), &all[1..2]).await;
    });
}

#[test]
fn prefixes_take_all_below_them() {
    run(async {
        let mesh = mesh().await;
        let all = [
            ("prefixes.test", "/p/a"),
            ("prefixes.test", "/p/b?c"),
            ("prefixes.test", "/p2/a"),
            ("other.test", "/p/other"),
        ];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(0, json!({"group": "prefixes", "prefixes": ["/p/b?c"]}), &all[1..2]).await;
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(1, json!({"group": "prefixes", "prefixes": ["/p/"]}), &all[..2]).await;
    });
}

#[test]
fn what_a_regex_matches_as_a_whole_goes() {
    run(async {
        let mesh = mesh().await;
        let all = [
            ("regex.test", "/r/1.jpg"),
            ("regex.test", "/r/2.jpg?w=9"),
            ("regex.test", "/r/3.jpg.html"),
            ("other.test", "/r/4.jpg"),
        ];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(1, json!({"group": "regex", "regex": ["^/none$", r"/r/[0-9]+\.jpg(\?.*)?"]}), &all[..2]).await;
    });
}

#[test]
fn a_host_goes_with_or_without_a_group() {
    run(async {
        let mesh = mesh().await;
        let all =
            [("a.hosts.test", "/h/1"), ("b.hosts.test", "/h/1"), ("b.hosts.test:81", "/h/2"), ("other.test", "/h/3")];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(0, json!({"host": "a.hosts.test"}), &all[..1]).await;
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(2, json!({"hosts": ["*.hosts.test"], "group": "hosts", "regex": ["/h/1"]}), &all[..2]).await;
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(1, json!({"hosts": ["b.hosts.test", "none.test"]}), &all[1..3]).await;
    });
}

#[test]
fn purge_as_a_method_takes_the_url_of_its_host() {
    run(async {
        let mesh = mesh().await;
        let all = [("method.test", "/m?a=1"), ("method.test", "/m"), ("method.test", "/m2"), ("other.test", "/m3")];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge_by(2, Ask::new("PURGE", "METHOD.test:80", "/m"), &all[1..2]).await;
        let stock = Stock::of(&mesh, &all).await;
        stock.purge_by(0, Ask::new("PURGE", "method.test", "/m*"), &all[..3]).await;
    });
}

#[test]
fn purge_as_a_method_takes_what_has_a_tag_in_every_group() {
    run(async {
        let mesh = mesh().await;
        let all =
            [("keys.test", "/k/1", "k-red k-round"), ("more.test", "/k/2", "k-round"), ("keys.test", "/k/3", "k-blue")];
        for (_, path, tags) in all {
            mesh.origin
                .on(path, move |request| Reply::fresh(3600, request.nth.to_string()).header("surrogate-key", tags));
        }
        let ask_all = async |to| {
            let mut bodies = Vec::new();
            for (host, path, _) in all {
                bodies.push(ask(to, host, path).await.0);
            }
            bodies
        };
        for to in [mesh.coordinators.data(), mesh.fronts()].concat() {
            assert_eq!(ask_all(to).await, ["1"; 3]);
        }
        let by = |name: &str, tags: &str| Ask::new("PURGE", "any.test", "/").header(name, tags);
        for (nth, (order, expected)) in [
            (by("surrogate-key", "k-round k-none"), ["2", "2", "1"]),
            (by("xkey-purge", "k-blue"), ["2", "2", "2"]),
            (by("xkey", "k-red,k-blue"), ["3", "2", "3"]),
        ]
        .into_iter()
        .enumerate()
        {
            let (status, report) = administer(&mesh, nth, order).await;
            assert_eq!((status, &report["unreached"]), (200, &json!([])), "{report}");
            for to in mesh.coordinators.data() {
                assert_eq!(ask_all(to).await, expected);
            }
            for to in mesh.fronts() {
                await_until(async || ask_all(to).await == expected, SOON, "hot copies are gone").await;
            }
        }
        // Nothing of theirs is of use when stale, so a soft purge removes it.
        let (status, report) = administer(&mesh, 0, by("xkey-softpurge", "k-red")).await;
        assert_eq!((status, &report["entries"]), (200, &json!(1)), "{report}");
        assert_eq!(ask_all(mesh.coordinators.data()[1]).await, ["4", "2", "3"]);
    });
}

#[test]
fn a_group_goes_as_a_whole() {
    run(async {
        let mesh = mesh().await;
        let all = [("whole.test", "/w/1"), ("whole.test", "/w/2"), ("other.test", "/w/other")];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(2, json!({"group": "whole"}), &all[..2]).await;
    });
}

#[test]
fn all_is_everything() {
    run(async {
        // What others of these tests have stored goes too, so this one has a mesh of its own.
        let mesh = Mesh::of(2, 1).groups(|groups| groups.plus("one", json!({})).plus("two", json!({}))).start().await;
        let all = [("one.test", "/one"), ("two.test", "/two")];
        let stock = Stock::of(&mesh, &all).await;
        stock.purge(1, json!({"all": true}), &all).await;
    });
}

#[test]
fn all_variants_of_a_url_go() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/variants", |request| {
            Reply::fresh(3600, format!("{} {}", request.header("x-v"), request.nth)).header("vary", "x-v")
        });
        let ask = async |v: &str| {
            Ask::get("variants.test", "/variants")
                .header("x-v", v)
                .send(mesh.coordinators.data()[0])
                .await
                .unwrap()
                .text()
        };
        let before = [ask("a").await, ask("b").await];
        assert_eq!(before, [ask("a").await, ask("b").await]);
        let (status, report) = post(&mesh, 1, r#"{"urls": ["http://variants.test/variants"]}"#).await;
        assert_eq!((status, report["entries"].as_u64() >= Some(2)), (200, true), "{report}");
        let after = [ask("a").await, ask("b").await];
        assert!(after[0] != before[0] && after[1] != before[1], "{after:?}");
    });
}

#[test]
fn what_has_a_tag_goes() {
    run(async {
        let mesh = mesh().await;
        let all = [("/t/1", "red, round"), ("/t/2", "blue round"), ("/t/3", "blue"), ("/t/4", "")];
        for (path, tags) in all {
            mesh.origin
                .on(path, move |request| Reply::fresh(3600, request.nth.to_string()).header("surrogate-key", tags));
        }
        let ask_all = async |to| {
            let mut bodies = Vec::new();
            for (path, _) in all {
                let answer = Ask::get("tags.test", path).send(to).await.unwrap();
                assert!(answer.status == 200 && !answer.has("surrogate-key"), "tags are kept from clients: {answer:?}");
                bodies.push(answer.text());
            }
            bodies
        };
        for to in [mesh.coordinators.data(), mesh.fronts()].concat() {
            assert_eq!(ask_all(to).await, ["1"; 4]);
        }
        let (status, report) = post(&mesh, 0, r#"{"group": "tags", "tags": ["round", "nothing"]}"#).await;
        assert_eq!((status, &report["entries"]), (200, &json!(2)), "{report}");
        for to in mesh.coordinators.data() {
            assert_eq!(ask_all(to).await, ["2", "2", "1", "1"]);
        }
        assert_eq!(
            post(&mesh, 2, r#"{"group": "other", "tags": ["blue"]}"#).await.1["entries"],
            json!(0),
            "tags are their group's own"
        );
    });
}

#[test]
fn a_dry_run_counts_and_nothing_goes() {
    run(async {
        let mesh = mesh().await;
        let thing = ("dry.test", "/dry");
        let stock = Stock::of(&mesh, &[thing]).await;
        for body in [
            json!({"group": "dry"}),
            json!({"group": "dry", "paths": ["/dry"]}),
            json!({"urls": ["http://dry.test/dry"]}),
        ] {
            let (mut body, gone) = (body, 1);
            body["dryRun"] = json!(true);
            let (status, report) = post(&mesh, 1, &body.to_string()).await;
            assert_eq!((status, report["entries"].as_u64()), (200, Some(gone)), "{body}: {report}");
        }
        for to in [mesh.coordinators.data(), mesh.fronts()].concat() {
            assert_eq!(ask(to, thing.0, thing.1).await.0, stock.versions[&thing]);
        }
    });
}

#[test]
fn a_soft_purge_makes_stale_and_what_is_stale_is_used_as_the_group_allows() {
    run(async {
        let mesh = mesh().await;
        let down = Gate::shut();
        let held = down.clone();
        mesh.origin.on("/soft", move |request| match request.nth {
            1 => Reply::fresh(3600, "first").header("etag", "\"1\""),
            // Asked on condition; the client is not kept waiting for that.
            2 => Reply::status(304).header("etag", "\"1\"").header("cache-control", "max-age=3600").behind(&held),
            3 => Reply::status(503),
            _ => Reply::fresh(3600, "second"),
        });
        let owner = mesh.coordinators.data()[mesh.order("soft.test", "/soft")[0]];
        let soft = async || {
            let (status, report) = post(&mesh, 0, r#"{"urls": ["http://soft.test/soft"], "soft": true}"#).await;
            assert_eq!((status, &report["entries"]), (200, &json!(1)), "{report}");
        };
        assert_eq!(ask(owner, "soft.test", "/soft").await.0, "first");
        soft().await;
        let (body, status) = ask(owner, "soft.test", "/soft").await;
        // 0: stale since this millisecond.
        let is_stale = |status: &str| status.contains("; hit; ttl=-") || status.contains("; hit; ttl=0;");
        assert!(body == "first" && is_stale(&status), "given stale while it is revalidated: {status}");
        await_until(async || mesh.origin.hits("/soft") == 2, SOON, "it is revalidated").await;
        assert_eq!(mesh.origin.latest("/soft").header("if-none-match"), "\"1\"");
        down.open();
        let fresh = async || !is_stale(&ask(owner, "soft.test", "/soft").await.1);
        await_until(fresh, SOON, "it is fresh again").await;
        soft().await;
        assert_eq!(ask(owner, "soft.test", "/soft").await.0, "first", "the origin fails, and it stays");
        await_until(async || ask(owner, "soft.test", "/soft").await.0 == "second", SOON, "the origin is back").await;
    });
}

#[test]
fn a_purge_wins_over_a_load_that_is_under_way() {
    run(async {
        let mesh = mesh().await;
        let gate = Gate::shut();
        let held = gate.clone();
        mesh.origin.on("/flight", move |request| {
            let reply = Reply::fresh(3600, request.nth.to_string());
            if request.nth == 1 { reply.behind(&held) } else { reply }
        });
        let mut connection = Connection::open(mesh.fronts()[0]).await.unwrap();
        let first = tokio::spawn(async move { connection.send(&Ask::get("flight.test", "/flight")).await });
        await_until(async || mesh.origin.hits("/flight") == 1, SOON, "it is loading").await;
        let (status, report) = post(&mesh, 0, r#"{"urls": ["http://flight.test/flight"]}"#).await;
        assert_eq!(status, 200, "{report}");
        gate.open();
        assert_eq!(first.await.unwrap().unwrap().text(), "1", "it is answered");
        for to in [mesh.coordinators.data(), mesh.fronts()].concat() {
            assert_ne!(ask(to, "flight.test", "/flight").await.0, "1", "but not stored");
        }
    });
}

#[test]
fn what_is_no_purge_is_refused_and_does_nothing() {
    run(async {
        let mesh = mesh().await;
        let stock = Stock::of(&mesh, &[("other.test", "/kept")]).await;
        let bad = [
            "",
            "nonsense",
            "[]",
            "{}",
            "7",
            r#"{"all": false}"#,
            r#"{"all": "yes"}"#,
            r#"{"urls": "http://other.test/kept"}"#,
            r#"{"urls": []}"#,
            r#"{"urls": ["/kept"]}"#,
            r#"{"urls": ["ftp://other.test/kept"]}"#,
            r#"{"paths": ["/kept"]}"#,
            r#"{"prefixes": ["/"]}"#,
            r#"{"group": 7}"#,
            r#"{"group": "other", "paths": ["kept"]}"#,
            r#"{"group": "other", "colour": "blue"}"#,
            r#"{"all": true, "group": "other"}"#,
            r#"{"regex": ["/kept"]}"#,
            r#"{"group": "other", "regex": ["/kept", "(/ke"]}"#,
            r#"{"hosts": ["other.test/"]}"#,
            r#"{"host": "other.test", "all": true}"#,
            "{\"all\": true",
        ];
        for body in bad {
            let (status, report) = post(&mesh, 0, body).await;
            assert_eq!(status, 400, "{body}: {report}");
        }
        for ask in [
            Ask::new("PURGE", "other.test", "/kept").body("x"),
            Ask::new("PURGE", "other.test", "/kept").header("fastly-soft-purge", "true"),
            Ask::new("PURGE", "other.test", "/kept").header("surrogate-key", ","),
            Ask::new("PURGEKEYS", "other.test", "/kept"),
        ] {
            let (status, report) = administer(&mesh, 0, ask).await;
            assert_eq!(status, 400, "{report}");
        }
        let (status, report) = post(&mesh, 0, r#"{"group": "nobody"}"#).await;
        assert_eq!(status, 404, "{report}");
        let admin = mesh.coordinators.all[0].ports.admin;
        for (authorization, expected) in [("", 401), ("Bearer wrong", 401), ("Basic wrong", 401)] {
            let ask =
                Ask::new("POST", "admin", "/purge").header("authorization", authorization).body(r#"{"all": true}"#);
            assert_eq!(ask.send(admin).await.unwrap().status, expected);
        }
        let get = Ask::get("admin", "/purge")
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .send(admin)
            .await
            .unwrap();
        assert_eq!(get.status, 405);
        let huge = format!(r#"{{"urls": ["http://other.test/{}"]}}"#, "x".repeat(64 << 20));
        let huge =
            Ask::new("POST", "admin", "/purge").header("authorization", format!("Bearer {ADMIN_TOKEN}")).body(huge);
        // It may be refused before it has been sent in full.
        assert!([400, 413, 0].contains(&raw::status(admin, &huge.wire()).await));
        // Neither of the other ports takes a purge.
        for port in [mesh.coordinators.all[0].ports.status, mesh.coordinators.all[0].ports.data] {
            let ask = Ask::new("POST", "admin", "/purge")
                .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
                .body(r#"{"all": true}"#);
            assert!([404, 405, 421].contains(&ask.send(port).await.unwrap().status));
        }
        for ((host, target), version) in &stock.versions {
            for to in [mesh.coordinators.data(), mesh.fronts()].concat() {
                assert_eq!(ask(to, host, target).await.0, *version);
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_tells_whom_it_did_not_reach() {
    let mut mesh = Mesh::of(2, 0).start().await;
    mesh.coordinators.all[1].kill();
    let (status, report) = post(&mesh, 0, r#"{"all": true}"#).await;
    assert_eq!((status, &report["unreached"]), (202, &json!(["peer-1"])), "{report}");
}
