//! What Envoy's routes say holds with the filter in front of them, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{
    Ask, EnvoyConfig, Groups, Mesh, Reply, await_until, coordinator::ADMIN_TOKEN, groups::SHOP, wait::SOON,
};
use serde_json::{Value, json};

/// Routes before the example's own, in its first virtual host.
fn with_routes(mut envoy: EnvoyConfig, routes: &Value) -> EnvoyConfig {
    let manager =
        &mut envoy.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let own = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
    own.splice(0..0, routes.as_array().unwrap().iter().cloned());
    envoy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_leads_to_no_service_is_answered_by_envoy_itself() {
    let routes = json!([
        {"match": {"path": "/internal"}, "direct_response": {"status": 403, "body": {"inline_string": "not for you"}}},
        {"match": {"path": "/old"}, "redirect": {"path_redirect": "/new"}},
        {"match": {"path": "/chosen"}, "route": {"cluster_header": "x-cluster"}},
        {"match": {"path": "/closed", "headers": [{"name": "x-closed", "present_match": true}]}, "direct_response": {"status": 403}},
        {"match": {"path": "/never"}, "non_forwarding_action": {}},
    ]);
    let observed = json!({"mode": "observe"});
    let mesh = Mesh::of(2, 1)
        .groups(|groups| groups.plus("observed", observed))
        .envoy(|envoy| with_routes(envoy, &routes))
        .start()
        .await;
    mesh.origin.always("*", Reply::fresh(3600, "from the service"));
    let front = mesh.fronts()[0];
    for (path, status) in [("/internal", 403), ("/old", 301), ("/chosen", 503), ("/never", 503)] {
        for _ in 0..3 {
            let answer = Ask::get(SHOP, path).send(front).await.unwrap();
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert!(
                answer.cache_status().contains("detail=route") && !answer.text().contains("from the service"),
                "{path}: {answer:?}"
            );
            assert_eq!(mesh.origin.hits(path), 0, "{path} is not loaded either");
        }
        // In a group that only observes, nothing says otherwise and nothing is counted as what the cache would have
        // answered.
        assert_eq!(Ask::get("observed.test", path).send(front).await.unwrap().status, status);
    }
    // The same path, and what is hot: the request's own route counts.
    let open = async || Ask::get(SHOP, "/closed").send(front).await.unwrap();
    await_until(async || open().await.cache_status().contains("detail=proxy"), SOON, "it is hot").await;
    let closed = Ask::get(SHOP, "/closed").header("x-closed", "1").send(front).await.unwrap();
    assert_eq!((closed.status, mesh.origin.hits("/closed")), (403, 1), "{closed:?}");
    // Four paths four times, and this one.
    let counted = async || mesh.envoys[0].stats().await.sum("meshcache_filter_pass_route", &[]) == 17.0;
    await_until(counted, SOON, "each is counted as what it is").await;
    let outcomes = async |outcome| {
        mesh.coordinators.sum("meshcache_proxy_requests_total", &[("group", "observed"), ("outcome", outcome)]).await
    };
    await_until(async || outcomes("pass").await == 4.0, SOON, "and told").await;
    assert_eq!(outcomes("observed").await, 0.0, "nothing of it would have been looked up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_different_routes_are_told_apart_where_the_group_says_so() {
    let by =
        |version: &str| json!({"prefix": "/v", "headers": [{"name": "x-version", "string_match": {"exact": version}}]});
    let routes = json!([
        {"match": by("2"), "route": {"cluster": "canary"}},
        {"match": by("3"), "name": "third", "route": {"cluster": "canary"}},
        {"match": by("4"), "name": "third", "route": {"cluster": "service"}},
    ]);
    let second = |mut envoy: EnvoyConfig| {
        let clusters = envoy.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
        let mut canary = clusters.iter().find(|cluster| cluster["name"] == "service").unwrap().clone();
        canary["name"] = json!("canary");
        clusters.push(canary);
        envoy
    };
    let groups = |groups: Groups| groups.plus("keyed", json!({"key": {"route": true}})).plus("shared", json!({}));
    let mesh = Mesh::of(2, 1).groups(groups).envoy(|envoy| with_routes(second(envoy), &routes)).start().await;
    mesh.origin.on("*", |request| Reply::fresh(3600, request.header("x-version")));
    let front = mesh.fronts()[0];
    let ask = async |host: &str, path: &str, version: &str| {
        Ask::get(host, path).header("x-version", version).send(front).await.unwrap()
    };
    for version in ["1", "2", "3", "4"] {
        let hot = async || {
            let answer = ask("keyed.test", "/v/keyed", version).await;
            assert_eq!(answer.text(), version, "{answer:?}");
            answer.cache_status().contains("detail=proxy")
        };
        await_until(hot, SOON, "each has a hot answer of its own").await;
    }
    assert_eq!(mesh.origin.hits("/v/keyed"), 4, "one load for each cluster and name");
    for version in ["1", "2", "3", "4"] {
        assert_eq!(ask("shared.test", "/v/shared", version).await.text(), "1");
    }
    assert_eq!(mesh.origin.hits("/v/shared"), 1, "without it they are one");
    // Purges mean them all.
    let purge = json!({"group": "keyed", "paths": ["/v/keyed"]});
    let purged = Ask::new("POST", "admin", "/purge")
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", "application/json");
    assert_eq!(purged.body(purge.to_string()).send(mesh.coordinators.all[0].ports.admin).await.unwrap().status, 200);
    let gone = async || ask("keyed.test", "/v/keyed", "2").await.status == 200 && mesh.origin.hits("/v/keyed") == 5;
    await_until(gone, SOON, "what was purged is loaded again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_routes_rewrite_nothing_is_answered_and_all_is_observed() {
    let routes = json!([{
        "match": {"prefix": "/api"},
        "route": {"cluster": "service", "prefix_rewrite": "/v2"},
        "request_headers_to_add": [{"header": {"key": "x-tenant", "value": "of the route"}}],
        "response_headers_to_add": [{"header": {"key": "x-route", "value": "api"}}],
    }]);
    let rewriting =
        |envoy: EnvoyConfig| with_routes(envoy, &routes).filter(|filter| filter["routes"] = json!("rewriting"));
    let mesh = Mesh::of(2, 1).envoy(rewriting).start_cold().await;
    mesh.origin.on("*", |request| Reply::fresh(3600, format!("{} {}", request.uri.path(), request.header("x-tenant"))));
    let asked = std::cell::Cell::new(0);
    let observed = async || {
        let answer = Ask::get(SHOP, "/api/x").send(mesh.fronts()[0]).await.unwrap();
        asked.set(asked.get() + 1);
        assert_eq!(
            (answer.text(), answer.header("x-route"), answer.cache_status()),
            ("/v2/x of the route".into(), "api".into(), String::new()),
            "{answer:?}"
        );
        mesh.coordinators.sum("meshcache_proxy_requests_total", &[("group", "shop"), ("outcome", "observed")]).await
            >= 5.0
    };
    await_until(observed, SOON, "the filter knows the group and observes").await;
    assert_eq!(mesh.origin.hits("/v2/x"), asked.get());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_route_rewrites_is_found_out_before_anything_is_shared() {
    let routes = json!([{"match": {"prefix": "/api"}, "route": {"cluster": "service", "prefix_rewrite": "/v2"}}]);
    let observed = || json!({"mode": "observe"});
    let groups = |groups: Groups| groups.plus("rewritten", observed()).plus("as-it-is", observed());
    let mesh = Mesh::of(2, 1).groups(groups).envoy(|envoy| with_routes(envoy, &routes)).start().await;
    mesh.origin.on("*", |request| Reply::fresh(3600, request.uri.path().to_owned()));
    let sum = async |name: &str, group: &str| mesh.coordinators.sum(name, &[("group", group)]).await;
    for (host, group, path) in [("as-it-is.test", "as-it-is", "/plain"), ("rewritten.test", "rewritten", "/api/x")] {
        // The hundredth request is asked of the owner, too.
        for _ in 0..150 {
            let answer = Ask::get(host, path).send(mesh.fronts()[0]).await.unwrap();
            assert!(answer.status == 200 && !answer.has("cache-status"), "{answer:?}");
        }
        await_until(async || sum("groupcache_loads_total", group).await >= 1.0, SOON, "the owner was asked").await;
    }
    await_until(
        async || sum("meshcache_observe_mismatch_total", "rewritten").await >= 1.0,
        SOON,
        "what it loads is another answer",
    )
    .await;
    assert_eq!(mesh.origin.hits("/api/x"), 1, "loaded by the path that the client wrote, once");
    assert_eq!(
        (mesh.origin.hits("/v2/x"), mesh.origin.hits("/plain")),
        (150, 151),
        "all went its ordinary way, and one was loaded beside them"
    );
    let told = async || {
        mesh.coordinators.sum("meshcache_proxy_requests_total", &[("outcome", "observed"), ("group", "as-it-is")]).await
    };
    await_until(async || told().await == 150.0, SOON, "all is told").await;
    assert_eq!(
        sum("meshcache_observe_mismatch_total", "as-it-is").await,
        0.0,
        "and a route that changes nothing is not accused"
    );
}
