//! Loads that proxies fill, through real Envoys with mTLS: the coordinator is behind a sidecar that says who asks, and
//! reaches no service itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{
    Ask, Authority, Coordinators, Envoy, EnvoyConfig, Gate, Groups, Host, Identity, Origin, Reply, await_until,
    wait::SOON,
};
use serde_json::{Value, json};
use std::net::SocketAddr;

const HOST: &str = "filled.test";

fn cluster<'c>(config: &'c mut EnvoyConfig, name: &str) -> &'c mut Value {
    let clusters = config.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    clusters.iter_mut().find(|cluster| cluster["name"] == name).unwrap()
}

/// The coordinator's sidecar: what a caller says of itself is replaced by what it has proved.
async fn sidecar(me: &Identity, coordinator: SocketAddr) -> Envoy {
    let config = EnvoyConfig::example("sidecar.yaml").listeners_only(&["inbound"]).without_filter();
    let mut config = config.cluster("application", &[coordinator]).cluster("meshcache", &[coordinator]);
    let chain = &mut config.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["transport_socket"] = me.downstream();
    let manager = &mut chain["filters"][0]["typed_config"];
    manager["forward_client_cert_details"] = json!("SANITIZE_SET");
    manager["set_current_client_cert_details"] = json!({"uri": true});
    config.start().await
}

/// A coordinator whose group only `web` may fill, and proxies of workloads.
struct Mesh {
    origin: Origin,
    coordinators: Coordinators,
    cached: Envoy,
    web: Identity,
    other: Identity,
}

impl Mesh {
    async fn start() -> Self {
        let authority = Authority::default();
        let (web, other, cache) =
            (authority.of("shop", "web"), authority.of("shop", "other"), authority.of("x", "cache"));
        let origin = Origin::start().await;
        // Where nobody listens: the coordinator asks no service.
        let filled = json!({"fill": "proxy", "fillers": [web.name], "origin": {"url": "http://127.0.0.1:1"}});
        let groups = Groups::example().plus("filled", filled);
        let coordinators = Coordinators::start(1, &groups.yaml(), &["--identity", "xfcc"]).await;
        let cached = sidecar(&cache, coordinators.data()[0]).await;
        Self { origin, coordinators, cached, web, other }
    }

    /// The load that one proxy has left is this one's, while the gate is still shut.
    async fn fills_next(&self, proxy: &Envoy, gate: &Gate) {
        let to = proxy.listener("front");
        let waits = tokio::spawn(async move { Ask::get(HOST, "/a").send(to).await.unwrap() });
        await_until(async || self.origin.hits("/a") == 2, SOON, "the next one has passed").await;
        gate.open();
        let answer = waits.await.unwrap();
        assert!(answer.text() == "filled" && answer.cache_status().contains("detail=fill"), "{answer:?}");
    }

    /// A proxy that knows the groups.
    async fn proxy(&self, of: &Identity) -> Envoy {
        let mut config = EnvoyConfig::example("front.yaml")
            .cluster("service", &[self.origin.addr])
            .cluster("meshcache", &[self.cached.listener("inbound")]);
        cluster(&mut config, "meshcache")["transport_socket"] = of.upstream("h2");
        let envoy = config.start().await;
        self.origin.always("/private", Reply::ok("mine").header("cache-control", "private"));
        let ask = Ask::get(HOST, "/private");
        let knows = async || !ask.send(envoy.listener("front")).await.unwrap().cache_status().is_empty();
        await_until(knows, SOON, "it knows the groups").await;
        envoy
    }

    async fn await_lost(&self) {
        let is_lost = async || {
            let page = self.coordinators.metrics().await.remove(0);
            page.sum("meshcache_fills_total", &[("group", "filled"), ("outcome", "lost")]) >= 1.0
        };
        await_until(is_lost, SOON, "the grant that was lost is counted").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_proxy_fills_all_others_have() {
    let mesh = Mesh::start().await;
    let (web, other) = (mesh.proxy(&mesh.web).await, mesh.proxy(&mesh.other).await);
    let (web, other) = (web.listener("front"), other.listener("front"));
    mesh.origin.always("/a", Reply::fresh(60, "filled"));
    let ask = Ask::get(HOST, "/a");

    let passed = ask.send(other).await.unwrap();
    assert!(passed.cache_status().contains("detail=no-filler"), "it may not fill: {passed:?}");
    let filled = ask.send(web).await.unwrap();
    assert_eq!((filled.status, filled.text()), (200, "filled".to_owned()));
    assert!(filled.cache_status().contains("detail=fill"), "{filled:?}");
    assert_eq!(mesh.origin.latest("/a").header("cdn-loop"), "meshcache", "as a load says it");
    let hits = mesh.origin.hits("/a");
    let is_hit = async |to| ask.send(to).await.unwrap().cache_status().contains("hit");
    await_until(async || is_hit(other).await && is_hit(web).await, SOON, "both have it from the cache").await;
    let plain = ask.send(mesh.coordinators.data()[0]).await.unwrap();
    assert_eq!((plain.status, plain.text()), (200, "filled".to_owned()));
    assert!(mesh.origin.hits("/a") <= hits + 1, "the end of a copy may come a moment later");

    let alone = Ask::get(HOST, "/private").send(web).await.unwrap();
    assert_eq!((alone.text(), alone.has("age")), ("mine".to_owned(), false), "what is private stays so");
    let nowhere = Ask::get(HOST, "/b").send(mesh.coordinators.data()[0]).await.unwrap();
    assert_eq!(nowhere.status, 503, "a coordinator asks no service");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_waits_for_the_one_that_fills_and_has_all_of_it() {
    let mesh = Mesh::start().await;
    let (web, other) = (mesh.proxy(&mesh.web).await, mesh.proxy(&mesh.other).await);
    let gate = Gate::shut();
    let body = "0123456789abcdef".repeat(64 << 10);
    mesh.origin.always("/a", Reply::fresh(60, body.clone()).behind(&gate));
    let ask = |to: SocketAddr| tokio::spawn(async move { Ask::get(HOST, "/a").send(to).await.unwrap() });
    let mut all = vec![ask(web.listener("front"))];
    await_until(async || mesh.origin.hits("/a") == 1, SOON, "the first one has passed").await;
    for _ in 0..10 {
        all.extend([ask(web.listener("front")), ask(other.listener("front"))]);
    }
    gate.open();
    for answer in all {
        let answer = answer.await.unwrap();
        assert!(answer.status == 200 && answer.text() == body, "{:?}", answer.status);
    }
    assert_eq!(mesh.origin.hits("/a"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_dies_leaves_the_load_to_the_next_at_once() {
    if Host::Wasm.leaves_out("its call begins with the end of the response, so its grant ends by time") {
        return;
    }
    let mesh = Mesh::start().await;
    let (first, next) = (mesh.proxy(&mesh.web).await, mesh.proxy(&mesh.web).await);
    let gate = Gate::shut();
    mesh.origin.always("/a", Reply::fresh(60, "filled").behind(&gate));
    let to = first.listener("front");
    let dies = tokio::spawn(async move { Ask::get(HOST, "/a").send(to).await });
    await_until(async || mesh.origin.hits("/a") == 1, SOON, "the first one has passed").await;
    drop(first);
    assert!(dies.await.unwrap().is_err());
    mesh.fills_next(&next, &gate).await;
    mesh.await_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_leaves_the_load_to_the_next_at_once() {
    let mesh = Mesh::start().await;
    let (first, next) = (mesh.proxy(&mesh.web).await, mesh.proxy(&mesh.web).await);
    let gate = Gate::shut();
    mesh.origin.always("/a", Reply::fresh(60, "filled").behind(&gate));
    let to = first.listener("front");
    let leaves = tokio::spawn(async move { Ask::get(HOST, "/a").send(to).await });
    await_until(async || mesh.origin.hits("/a") == 1, SOON, "the first one has passed").await;
    leaves.abort();
    mesh.await_lost().await;
    mesh.fills_next(&next, &gate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_copy_reaches_everybody_whole() {
    let mesh = Mesh::start().await;
    let (web, other) = (mesh.proxy(&mesh.web).await, mesh.proxy(&mesh.other).await);
    let body = "0123456789abcdef".repeat((8 << 16) + 1);
    let told = Reply::fresh(60, body.clone());
    mesh.origin.always("/told", told.clone());
    mesh.origin.always("/untold", told.unannounced());
    for path in ["/told", "/untold"] {
        let ask = |to: SocketAddr| tokio::spawn(async move { Ask::get(HOST, path).send(to).await.unwrap() });
        for answer in [web.listener("front"), other.listener("front"), web.listener("front")].map(ask) {
            let answer = answer.await.unwrap();
            assert!(answer.status == 200 && answer.text() == body, "{path}: {:?}", answer.status);
        }
        let hits = mesh.origin.hits(path);
        Ask::get(HOST, path).send(web.listener("front")).await.unwrap();
        assert!(mesh.origin.hits(path) > hits, "{path} is stored nowhere");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_response_fills_nothing() {
    let mesh = Mesh::start().await;
    let envoy = mesh.proxy(&mesh.web).await;
    let web = envoy.listener("front");
    mesh.origin.always("/a", Reply::fresh(60, "0123456789").cut());
    let ask = Ask::get(HOST, "/a");
    assert!(ask.send(web).await.is_err(), "its client sees that it is cut");
    mesh.origin.always("/a", Reply::fresh(60, "whole"));
    let is_hit = async || {
        let answer = ask.send(web).await.unwrap();
        assert_eq!(answer.text(), "whole");
        answer.cache_status().contains("hit")
    };
    await_until(is_hit, SOON, "the next one has filled").await;
}
