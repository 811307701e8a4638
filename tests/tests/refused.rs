//! A caller whom a service refuses gets nothing of what is cached of it, whomever it asks: real Envoys with mTLS and
//! RBAC, as in a mesh.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use meshcache_tests::{
    Answer, Ask, Authority, Coordinators, Envoy, EnvoyConfig, Groups, Identity, Origin, Reply, await_until,
    groups::SHOP, wait::SOON,
};
use serde_json::{Value, json};

const HOST: &str = "config-server.platform";
const PATH: &str = "/develop/secret.yaml";
const SECRET: &str = "the secret of the config server";

fn cluster<'c>(config: &'c mut EnvoyConfig, name: &str) -> &'c mut Value {
    config.bootstrap["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|cluster| cluster["name"] == name)
        .unwrap()
}

/// An inbound sidecar of a workload: mTLS, then who may call (`None`: everybody), then the filter with these groups
/// (none: no filter), then `to`.
async fn inbound(
    me: &Identity,
    callers: Option<&[&Identity]>,
    groups: &[&str],
    to: SocketAddr,
    coordinators: SocketAddr,
) -> Envoy {
    let config = EnvoyConfig::example("sidecar.yaml")
        .listeners_only(&["inbound"])
        .cluster("application", &[to])
        .cluster("meshcache", &[coordinators]);
    let mut config = if groups.is_empty() {
        config.without_filter()
    } else {
        config.filter(|filter| filter["groups"] = json!(groups))
    };
    cluster(&mut config, "meshcache")["transport_socket"] = me.upstream("h2");
    let chain = &mut config.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["transport_socket"] = me.downstream();
    let manager = &mut chain["filters"][0]["typed_config"];
    // As Istio's sidecars do: what a caller says of itself is replaced by what it has proved.
    manager["forward_client_cert_details"] = json!("SANITIZE_SET");
    manager["set_current_client_cert_details"] = json!({"uri": true});
    if let Some(callers) = callers {
        let principals: Vec<Value> =
            callers.iter().map(|caller| json!({"authenticated": {"principal_name": {"exact": caller.name}}})).collect();
        let policy = json!({"permissions": [{"any": true}], "principals": principals});
        let rbac = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {"policies": {"callers": policy}}});
        manager["http_filters"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"name": "envoy.filters.http.rbac", "typed_config": rbac}));
    }
    config.start().await
}

#[track_caller]
fn has_nothing(answer: &Answer) {
    assert!(
        !answer.text().contains(SECRET) && !answer.has("age") && !answer.cache_status().contains("hit"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_caller_gets_nothing_from_anybody() {
    let authority = Authority::default();
    let [web, evil, server, shop, cache] =
        [("shop", "web"), ("evil", "web"), ("platform", "config-server"), ("shop", "shop"), ("meshcache", "meshcache")]
            .map(|(ns, sa)| authority.of(ns, sa));
    let (secrets, goods) = (Origin::start().await, Origin::start().await);
    secrets.always(PATH, Reply::ok(SECRET));
    goods.always("*", Reply::fresh(3600, "goods for everybody"));
    // Those whom the service lets in, and the service's own proxy, which asks for them.
    let groups = Groups::example().origin("config-server", &secrets.url()).origin("shop", &goods.url());
    let groups = groups.set("config-server", "/callers", json!([web.name, server.name]));
    let coordinators = Coordinators::start(1, &groups.yaml(), &["--identity", "xfcc"]).await;
    let cached = inbound(&cache, None, &[], coordinators.data()[0], coordinators.data()[0]).await;
    let cached = cached.listener("inbound");
    let service = inbound(&server, Some(&[&web]), &["config-server"], secrets.addr, cached).await;
    let neighbour = inbound(&shop, None, &["shop"], goods.addr, cached).await;
    let (service, neighbour) = (service.listener("inbound"), neighbour.listener("inbound"));
    // The refused one's own proxy, with every group in it.
    let outbound = EnvoyConfig::example("sidecar.yaml")
        .listeners_only(&["outbound"])
        .cluster("config-server", &[service])
        .cluster("meshcache", &[cached]);
    let mut outbound = outbound.cluster("shop", &[neighbour]);
    for (name, protocol) in [("config-server", "http/1.1"), ("meshcache", "h2"), ("shop", "http/1.1")] {
        cluster(&mut outbound, name)["transport_socket"] = evil.upstream(protocol);
    }
    outbound.bootstrap["node"] = json!({"id": "evil", "cluster": "evil", "metadata": {"NAMESPACE": "evil", "SERVICE_ACCOUNT": "web", "MESH_ID": "cluster.local"}});
    let outbound = outbound.start().await;
    let outbound = outbound.listener("outbound");

    let ask = Ask::get(HOST, PATH);
    // It is hot at the service's proxy, and in the coordinator's store.
    let hot = async || web.send(&ask, service).await.unwrap().cache_status().contains("detail=proxy");
    await_until(hot, SOON, "who is let in has it from the proxy").await;
    assert!(web.send(&ask, cached).await.unwrap().cache_status().contains("hit"));
    let shop_ask = Ask::get(SHOP, "/goods");
    let hot = async || evil.send(&shop_ask, neighbour).await.unwrap().cache_status().contains("detail=proxy");
    await_until(hot, SOON, "the neighbour's proxy answers from its memory").await;
    let hot = async || shop_ask.send(outbound).await.unwrap().cache_status().contains("hit");
    await_until(hot, SOON, "the refused one's own proxy knows the groups").await;

    let loads = secrets.total();
    let forged = format!("By=x;URI={}", web.name);
    let asks = [ask.clone(), ask.clone().header("x-forwarded-client-cert", &forged)];
    for ask in &asks {
        // The service's proxy: refused before the filter sees it.
        let refused = evil.send(ask, service).await.unwrap();
        assert_eq!(refused.status, 403, "{refused:?}");
        has_nothing(&refused);
        // A coordinator, as a plain client and as a proxy that asks.
        let refused = evil.send(ask, cached).await.unwrap();
        assert_eq!(refused.status, 403, "{refused:?}");
        has_nothing(&refused);
        for question in ["1; group=config-server", "1; group=config-server; verified; hop"] {
            let question = ask.clone().header("meshcache-wire", question);
            let answer = evil.send(&question, cached).await.unwrap();
            assert!(answer.header("meshcache-outcome").starts_with("pass"), "{answer:?}");
            has_nothing(&answer);
        }
        // Another service's proxy, by this one's Host: its own application answers.
        let other = evil.send(ask, neighbour).await.unwrap();
        assert_eq!((other.status, other.text()), (200, "goods for everybody".to_owned()));
        has_nothing(&other);
        // Its own proxy: passes, and the service refuses.
        let refused = ask.send(outbound).await.unwrap();
        assert_eq!(refused.status, 403, "{refused:?}");
        has_nothing(&refused);
    }
    assert_eq!(secrets.total(), loads, "nobody has asked the service for them");
    assert_eq!(web.send(&ask, service).await.unwrap().text(), SECRET, "who is let in still has it");
}
