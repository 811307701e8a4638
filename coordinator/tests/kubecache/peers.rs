//! Pods among themselves, with and without a token.

use crate::{
    plane::{Origin, answer},
    pod::Pod,
    support::{self, get, port, send},
};

/// Three pods that know each other, without a token.
async fn three(origin: &Origin) -> Vec<Pod> {
    let places = ["a", "b", "c"].map(|name| (name, port::unused().port(), port::unused().port()));
    let peers: Vec<String> =
        places.iter().map(|(name, data, peer)| format!("{name}=127.0.0.1:{data}/{peer}")).collect();
    let mut pods = Vec::new();
    for (name, data, peer) in &places {
        let (listen, port) = (format!("127.0.0.1:{data}"), format!(":{peer}"));
        let variables = [
            ("MESHCACHE_NAME", *name),
            ("MESHCACHE_PEERS", &peers.join(",")),
            ("LISTEN_ADDR", &listen),
            ("GROUPCACHE_PORT", &port),
        ];
        pods.push(Pod::before(origin, &variables).await);
    }
    pods
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pods_without_a_token_load_a_key_once_and_go_on_after_a_purge() {
    let origin = Origin::new(|seen| async move { answer(200, &[], seen.n.to_string()) }).await;
    let pods = three(&origin).await;
    let ask_all = async || {
        for n in 0..8 {
            for pod in &pods {
                assert_eq!(pod.get(&format!("/prod/{n}")).await.status, 200);
            }
        }
    };
    ask_all().await;
    assert_eq!(origin.count(), 8, "one load a key");
    for pod in &pods {
        assert_eq!(pod.log().matches("whoever reaches the peer port").count(), 1, "{}", pod.log());
    }
    let purged = send(pods[0].port("admin"), "POST", "/purge", &[], r#"{"all": true}"#).await;
    let mut unreached: Vec<String> = serde_json::from_value(purged.json()["unreached"].clone()).unwrap();
    unreached.sort();
    assert_eq!((purged.status, unreached), (202, vec!["b".to_owned(), "c".to_owned()]));
    // What the first pod owned is loaded again. The others answer from their stores, the first one's questions too.
    ask_all().await;
    let after_purge = origin.count();
    assert!((9..16).contains(&after_purge), "{after_purge}");
    ask_all().await;
    assert_eq!(origin.count(), after_purge);
    let lease = "\nmeshcache_purge_lease_held 1\n";
    for pod in &pods {
        assert!(pod.metrics().await.contains(lease));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_peer_port_takes_nothing_that_changes_what_others_have() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let pod = Pod::before(&origin, &[]).await;
    pod.get("/prod/a").await;
    let peer = pod.port("peer");
    for (path, body) in [
        ("/.meshcache/purge", r#"{"purge": {"source": "other.1", "n": 1, "what": {"all": true}}}"#),
        ("/.meshcache/purges", r#"{"position": ""}"#),
        ("/.meshcache/push", "x"),
        (
            "/.meshcache/announce",
            r#"{"peer": {"name": "x", "data": "127.0.0.1:1", "peer": "127.0.0.1:2"}, "event": "join"}"#,
        ),
        ("/.meshcache/none", ""),
    ] {
        assert_eq!(send(peer, "POST", path, &[], body).await.status, 401, "{path}");
    }
    // Its purge position is a claim that counts for nothing: the store goes on answering.
    let question = [
        ("meshcache-wire", "1; group=path; hop; purge=x.1:7"),
        ("meshcache-authority", "h"),
        ("meshcache-scheme", "http"),
    ];
    let before = origin.count();
    let asked = send(peer, "GET", "/prod/a", &question, "").await;
    assert_eq!((asked.status, asked.body.as_str(), origin.count() - before), (200, "x", 0), "{asked:?}");
    assert_eq!(send(peer, "POST", "/.meshcache/peek", &[("meshcache-wire", "1")], "").await.status, 204);
    assert_eq!(pod.get("/prod/a").await.header("cache-status").split(';').nth(1), Some(" hit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_asks_by_groupcaches_protocol_is_told_400() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let pod = Pod::before(&origin, &[]).await;
    let asked = get(pod.port("peer"), "/_groupcache/path/GET%20%2Fprod%2Fa").await;
    assert_eq!((asked.status, origin.count()), (400, 0), "404 and 503 would be 500 for its client: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_peer_port_is_as_ever() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let (_folder, token) = support::file("peer-token");
    let pod = Pod::before(&origin, &[("MESHCACHE_PEER_TOKEN_FILE", &token)]).await;
    let question =
        [("meshcache-wire", "1; group=path; hop"), ("meshcache-authority", "h"), ("meshcache-scheme", "http")];
    assert_eq!(send(pod.port("peer"), "GET", "/prod/a", &question, "").await.status, 401);
    assert_eq!(send(pod.port("peer"), "POST", "/.meshcache/peek", &[], "").await.status, 401);
}
