//! Proxies: they pass a group whose origin gets credentials, unless Envoy adds the same ones.

use meshcache_tests::{
    Ask, Coordinators, EnvoyConfig, Reply, artifact, await_until, coordinator::ADMIN_TOKEN, wait::SOON,
};
use serde_json::{Value, json};

use crate::{HOST, KEY, ask, groups, origin, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_pass_such_a_group_and_are_not_told_of_it() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    put(&folder.path().join("api-key"), KEY);
    let groups =
        groups(&origin.url(), folder.path(), json!({})).plus("plain", json!({"origin": {"url": origin.url()}}));
    let coordinators = Coordinators::start(1, &groups.yaml(), &[]).await;
    let ports = coordinators.all[0].ports;
    let envoy = EnvoyConfig::example("front.yaml")
        .cluster("service", &[origin.addr])
        .cluster("meshcache", &coordinators.data())
        .start()
        .await;
    let through = async |host: &str, path: &str| Ask::get(host, path).send(envoy.listener("front")).await.unwrap();
    let knows = async || through("plain.test", "/").await.has("cache-status");
    await_until(knows, SOON, "the filter knows its groups").await;
    let passed = through(HOST, "/a").await;
    assert!(passed.status == 401 && !passed.has("cache-status"), "{passed:?}");
    let feed = Ask::new("POST", HOST, "/.meshcache/feed").body("{\"wire\": 3}").send(ports.data).await.unwrap();
    assert!(feed.text().contains("\"plain\"") && !feed.text().contains("prices"), "{feed:?}");
    let page = Ask::get("localhost", "/groups").header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let page: Value = serde_json::from_str(&page.send(ports.admin).await.unwrap().text()).unwrap();
    let why = |n: usize| page["groups"][n]["notForProxies"].as_str().unwrap_or_default().to_owned();
    assert!(why(0).is_empty() && why(1).contains("origin.proxies: inject"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_envoy_injects_proxies_serve_the_group_and_what_they_pass_has_the_credential() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("api-key");
    put(&file, &format!("{KEY}\n"));
    let coordinators =
        Coordinators::start(1, &groups(&origin.url(), folder.path(), json!({"/origin/proxies": "inject"})).yaml(), &[])
            .await;
    let secret = folder.path().join("secret.yaml");
    let example = artifact::file("envoy/credentials-secret.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    put(&secret, &example.replace("/etc/meshcache/service/api-key", file.to_str().unwrap()));
    let envoy = EnvoyConfig::example("credentials.yaml")
        .cluster("service", &[origin.addr])
        .cluster("meshcache", &coordinators.data())
        .replace("envoy/credentials-secret.yaml", secret.to_str().unwrap())
        .start()
        .await;
    let send = async |ask: Ask| ask.send(envoy.listener("front")).await.unwrap();
    let cached = async || send(Ask::get(HOST, "/probe")).await.cache_status().contains("hit");
    await_until(cached, SOON, "the filter knows the group").await;
    assert_eq!(origin.latest("/probe").header("cdn-loop"), "meshcache", "a coordinator has loaded it");
    let forged = send(Ask::get(HOST, "/probe").header("x-api-key", "forged")).await;
    assert!(forged.cache_status().contains("hit"), "a client's own field is part of nothing: {forged:?}");
    for own in [None, Some("forged")] {
        let post = own.into_iter().fold(Ask::new("POST", HOST, "/write"), |post, own| post.header("x-api-key", own));
        assert_eq!(send(post).await.status, 200);
        let received = origin.latest("/write");
        assert_eq!((received.header("x-api-key").as_str(), received.header("cdn-loop").as_str()), (KEY, ""));
    }
    let own = send(Ask::get(HOST, "/probe").header("authorization", "Bearer mine")).await;
    assert!(own.status == 200 && !own.cache_status().contains("hit"), "{own:?}");
    assert_eq!(origin.latest("/probe").header("authorization"), "Bearer mine");
    // Both read a file that is replaced.
    put(&file, "another");
    let passed = async || {
        send(Ask::new("POST", HOST, "/write")).await;
        origin.latest("/write").header("x-api-key") == "another"
    };
    await_until(passed, SOON, "Envoy has read it").await;
    // A 401 is not stored, so each is a load.
    let loaded = async || {
        ask(&coordinators.all[0], Ask::get(HOST, "/new?live")).await;
        origin.latest("/new").header("x-api-key") == "another"
    };
    origin.on("/new", |_| Reply::status(401));
    await_until(loaded, SOON, "the coordinator has read it").await;
}
