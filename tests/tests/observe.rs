//! `mode: observe`: a service that answers by what its key lacks is found out before anything is shared, and an honest
//! one is not accused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, sync::Arc};

use meshcache_tests::{Ask, Mesh, Reply, Shared, await_until, run, wait::SOON};
use serde_json::{Value, json};

static MESH: Shared<Mesh> = Shared::new();

/// How often each tenant asks.
const TIMES: usize = 12;

async fn mesh() -> Arc<Mesh> {
    let groups = |mode: &'static str| json!({"mode": mode, "limits": {"object": "64KiB"}});
    let keyed = json!({"mode": "observe", "key": {"headers": ["x-tenant"]}});
    let mesh = || {
        let mesh = Mesh::of(2, 1).groups(|all| {
            all.plus("tenants", groups("observe")).plus("honest", groups("observe")).plus("keyed", keyed.clone())
        });
        mesh.groups(|all| all.plus("plain", groups("observe")).plus("fair", groups("observe")))
    };
    MESH.get(async || mesh().start().await).await
}

async fn mismatches(mesh: &Mesh, group: &str) -> f64 {
    mesh.coordinators.sum("meshcache_observe_mismatch_total", &[("group", group)]).await
}

/// Requests of two tenants for one path, each answered as if there were no cache.
async fn ask(mesh: &Mesh, to: SocketAddr, host: &str, path: &str) {
    for _ in 0..TIMES {
        for tenant in ["a", "b"] {
            let before = mesh.origin.hits(path);
            let answer = Ask::get(host, path).header("x-tenant", tenant).send(to).await.unwrap();
            assert!(
                answer.status == 200 && answer.text().starts_with(&mesh.origin.latest(path).header("x-tenant")),
                "{answer:?}"
            );
            assert_eq!(mesh.origin.hits(path), before + 1, "nothing is answered from a cache");
        }
    }
}

#[test]
fn a_tenant_that_is_missing_in_the_key_is_found_out() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/who", |request| Reply::fresh(3600, request.header("x-tenant")));
        let front = mesh.fronts()[0];
        ask(&mesh, front, "tenants.test", "/who").await;
        // Those who would have had the answer of the tenant who came first.
        await_until(
            async || mismatches(&mesh, "tenants").await == TIMES as f64,
            SOON,
            "the coordinators tell how often",
        )
        .await;

        // With the tenant in the key, or in Vary, nothing differs.
        mesh.origin.on("/varies", |request| Reply::fresh(3600, request.header("x-tenant")).header("vary", "x-tenant"));
        ask(&mesh, front, "keyed.test", "/who").await;
        ask(&mesh, front, "keyed.test", "/varies").await;
        let seen = async || {
            mesh.coordinators
                .sum("meshcache_proxy_requests_total", &[("group", "keyed"), ("outcome", "observed")])
                .await
        };
        await_until(async || seen().await >= 4.0 * TIMES as f64, SOON, "all are counted").await;
        assert_eq!(mismatches(&mesh, "keyed").await, 0.0);
    });
}

#[test]
fn an_honest_service_is_not_accused() {
    run(async {
        let mesh = mesh().await;
        let (front, host) = (mesh.fronts()[0], "honest.test");
        // The same for all; and what is nobody else's, what is in parts or too large, what fails: all of them other
        // bytes each time.
        mesh.origin.on("/same", |_| Reply::fresh(3600, "the same for everybody"));
        mesh.origin.on("/private", |request| {
            Reply::ok(request.nth.to_string()).header("cache-control", "private, max-age=60")
        });
        mesh.origin.on("/nothing", |request| Reply::ok(request.nth.to_string()));
        mesh.origin.on("/large", |request| Reply::fresh(3600, format!("{:09}", request.nth).repeat(1000)).repeated(10));
        mesh.origin.on("/range", |request| {
            Reply::ok(request.nth.to_string())
                .with_status(206)
                .header("cache-control", "max-age=60")
                .header("content-range", "bytes 0-0/9")
        });
        mesh.origin.on("/fails", |request| match request.nth % 2 {
            0 => Reply::ok(request.nth.to_string()).with_status(503),
            _ => Reply::fresh(3600, "fine"),
        });
        mesh.origin.on("/coded", |request| match request.nth % 2 {
            0 => Reply::fresh(3600, "coded").header("content-encoding", "br"),
            _ => Reply::fresh(3600, "plain"),
        });
        mesh.origin.on("/changed", |request| Reply::fresh(3600, if request.nth > 1 { "new" } else { "old" }));
        let mut observed = 0.0;
        for path in ["/same", "/private", "/nothing", "/large", "/range", "/fails", "/coded"] {
            for _ in 0..TIMES {
                let answer = Ask::get(host, path).send(front).await.unwrap();
                assert!(!answer.has("cache-status") && answer.body.len() < 100_000, "{answer:?}");
                Ask::new("HEAD", host, path).send(front).await.unwrap();
                observed += 2.0;
            }
        }
        // What an unsafe request has changed is another answer, and no other tenant's.
        for method in ["GET", "POST", "GET"] {
            Ask::new(method, host, "/changed").send(front).await.unwrap();
        }
        observed += 2.0;
        let large = Ask::get(host, "/large").send(front).await.unwrap();
        assert_eq!(large.body.len(), 90_000);
        let counted = async || {
            mesh.coordinators
                .sum("meshcache_proxy_requests_total", &[("group", "honest"), ("outcome", "observed")])
                .await
        };
        await_until(async || counted().await >= observed, SOON, "all are counted").await;
        assert_eq!(mismatches(&mesh, "honest").await, 0.0);
    });
}

#[test]
fn what_passes_a_coordinator_for_plain_clients_is_watched_too() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/plain", |request| Reply::fresh(3600, request.header("x-tenant")));
        mesh.origin.on("/chunks", |request| {
            Reply::fresh(3600, format!("{} ", request.header("x-tenant"))).repeated(3).header("vary", "x-tenant")
        });
        let to = mesh.coordinators.data()[0];
        ask(&mesh, to, "plain.test", "/plain").await;
        assert_eq!(
            mesh.coordinators.all[0].metrics().await.get("meshcache_observe_mismatch_total", &[("group", "plain")]),
            TIMES as f64
        );
        ask(&mesh, to, "fair.test", "/chunks").await;
        assert_eq!(mismatches(&mesh, "fair").await, 0.0);
        let outcomes = mesh.coordinators.all[0].metrics().await;
        assert!(
            outcomes.get("meshcache_requests_total", &[("group", "fair"), ("outcome", "hit"), ("reason", "observe")])
                > 0.0,
            "{outcomes:?}"
        );
    });
}

/// How often each tenant asks, where what is said of it is looked at.
const ROUNDS: usize = 70;

/// Requests of three tenants with what clients send besides, none of which the service looks at.
async fn ask_as_clients_do(to: SocketAddr, host: &str, rounds: usize) {
    for n in 0..3 * rounds {
        let tenant = ["SECRET-a", "SECRET-b", "SECRET-c"][n % 3];
        let ask = Ask::get(host, "/seen?page=SECRET&SECRET").header("x-tenant", tenant);
        let ask =
            ask.header("x-id", format!("SECRET-{n}")).header("accept-language", ["SECRET-de", "SECRET"][n / 3 % 2]);
        ask.send(to).await.unwrap();
    }
}

#[test]
fn what_is_said_of_a_group_names_the_tenant_and_with_that_in_the_key_nothing_differs() {
    run(async {
        let observe = json!({"mode": "observe", "limits": {"object": "64KiB"}, "key": {"headers": ["x-region"]}});
        let mesh = Mesh::of(2, 1).groups(|all| all.plus("proxied", observe.clone()).plus("direct", observe.clone()));
        let mesh = mesh.start().await;
        mesh.origin.on("/seen", |request| Reply::fresh(3600, request.header("x-tenant")));
        let told = async || mesh.coordinators.all[0].admin("GET", "/mesh", "").await.1;
        // By the proxy, which tells one of the coordinators, and by one without a proxy.
        let (front, plain) = (mesh.fronts()[0], mesh.coordinators.data()[1]);
        let mut changed = mesh.groups.clone();
        for (group, to, is_told) in [("proxied", front, true), ("direct", plain, false)] {
            ask_as_clients_do(to, &format!("{group}.test"), ROUNDS).await;
            let counted = |all: &Value| all["observed"][group]["compared"].as_u64().unwrap_or_default();
            await_until(async || counted(&told().await) >= 3 * ROUNDS as u64 - 1, SOON, "all were compared").await;
            let all = told().await;
            let observed = &all["observed"][group];
            assert!(observed["mismatches"].as_u64().unwrap() >= 2 * ROUNDS as u64 - 2, "{observed}");
            let text = observed["verdict"]["text"].as_str().unwrap();
            assert!(text.starts_with("not: add x-tenant to key.headers ("), "{observed}");
            let last = &observed["last"][0];
            let url = format!("http://{group}.test/seen?page");
            assert_eq!((last["url"].as_str().unwrap(), &last["told"]), (&*url, &json!(is_told)), "{observed}");
            assert_eq!((&last["differs"], &last["candidates"][0]), (&json!(["body"]), &json!("header x-tenant")));
            assert!(!all.to_string().contains("SECRET"), "{all}");

            let yaml = observed["verdict"]["yaml"].as_str().unwrap();
            let amended: Value = serde_saphyr::from_str(yaml).unwrap();
            changed = changed.set(group, "/key", amended["key"].clone());
        }
        mesh.coordinators.configure(&changed.yaml());
        for (group, to) in [("proxied", front), ("direct", plain)] {
            let observed = async || told().await["observed"][group].clone();
            let compared = async || {
                ask_as_clients_do(to, &format!("{group}.test"), 10).await;
                observed().await["verdict"]["text"].as_str().is_some_and(|text| text.starts_with("not yet: "))
                    && observed().await["compared"].as_u64().is_some_and(|compared| compared >= 50)
            };
            await_until(compared, SOON, "by the new rules many were compared, and none differs").await;
            let observed = observed().await;
            assert_eq!((&observed["mismatches"], &observed["last"]), (&json!(0), &json!([])), "{observed}");
        }
    });
}
