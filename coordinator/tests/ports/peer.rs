//! The peer port, and purges between coordinators.

use crate::{
    ADMIN, PEER,
    support::{
        Running, file,
        port::{self, Refused},
        send, until,
    },
};
use serde_json::json;

#[tokio::test]
async fn the_peer_port_needs_a_token() {
    let (_folder, token) = file("peer-token");
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--peer-token-file", &token]).await;
    let call = r#"{"purge": {"source": "other.1", "n": 1, "what": {"all": true}}}"#;
    let single = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    for (method, path) in
        [("POST", "/.meshcache/purge"), ("POST", "/.meshcache/purges"), ("GET", "/a"), ("GET", "/.meshcache/none")]
    {
        for (at, headers) in [
            (running.ports.peer, &[][..]),
            (running.ports.peer, ADMIN),
            (single.ports.peer, PEER),
            (single.ports.peer, &[("authorization", "Bearer ")]),
        ] {
            let reply = send(at, method, path, headers, call).await;
            assert!(
                reply.status == 401 && reply.body.contains("--peer-token-file") && !reply.body.contains("other.1"),
                "{method} {path}: {reply:?}"
            );
        }
    }
    let done = send(running.ports.peer, "POST", "/.meshcache/purge", PEER, call).await;
    assert_eq!((done.status, done.json()["entries"].as_u64()), (200, Some(0)));
    assert_eq!(send(running.ports.peer, "POST", "/.meshcache/purge", PEER, "x").await.status, 400);
    let later = call.replace(r#""n": 1"#, r#""n": 3"#);
    assert_eq!(
        send(running.ports.peer, "POST", "/.meshcache/purge", PEER, &later).await.status,
        409,
        "the second one has to come first"
    );
    let asked = async |position: &str| {
        send(running.ports.peer, "POST", "/.meshcache/purges", PEER, &json!({"position": position}).to_string()).await
    };
    assert_eq!(
        asked("").await.json()["purges"],
        json!([{"source": "other.1", "n": 1, "what": {"all": true}, "soft": false}])
    );
    assert_eq!((&asked("other.1:1").await.json()["purges"], asked("nonsense").await.status), (&json!([]), 400));
    assert_eq!(send(running.ports.peer, "GET", "/.meshcache/purge", PEER, "").await.status, 405);
    assert_eq!(send(running.ports.peer, "GET", "/.meshcache/none", PEER, "").await.status, 404);
}

#[tokio::test]
async fn a_purge_reaches_every_peer_and_names_those_that_it_does_not() {
    let (_folder, token) = file("peer-token");
    let refused = Refused::new();
    let gone = refused.addr;
    let ports: Vec<u16> = (0..4).map(|_| port::unused().port()).collect();
    let peers = format!(
        "a=127.0.0.1:{}/{},b=127.0.0.1:{}/{},c=127.0.0.1:{}/{}",
        ports[0],
        ports[1],
        ports[2],
        ports[3],
        gone.port(),
        gone.port()
    );
    let start = async |name: &str, data: u16, peer: u16| {
        let (data, peer) = (format!("127.0.0.1:{data}"), format!("127.0.0.1:{peer}"));
        Running::start(&[
            "--origin",
            "http://127.0.0.1:9",
            "--peer-token-file",
            &token,
            "--name",
            name,
            "--peers",
            &peers,
            "--listen",
            &data,
            "--peer-listen",
            &peer,
        ])
        .await
    };
    let (a, b) = (start("a", ports[0], ports[1]).await, start("b", ports[2], ports[3]).await);
    let done = send(a.ports.admin, "POST", "/purge", &[], r#"{"group": "default"}"#).await;
    assert_eq!((done.status, &done.json()["unreached"]), (202, &json!(["c"])));
    let mut feed = json!(null);
    until("proxies get the purge", async || {
        feed = send(b.ports.data, "POST", "/.meshcache/feed", &[], r#"{"wire": 1}"#).await.json();
        feed["news"].is_object()
    })
    .await;
    assert_eq!(
        (&feed["news"]["position"], &feed["news"]["purges"][0]["what"]),
        (&done.json()["id"], &json!({"group": "default"}))
    );
    // Each coordinator numbers its own purges.
    let second = send(b.ports.admin, "POST", "/purge", &[], r#"{"group": "default"}"#).await.json();
    assert!(second["id"].as_str().is_some_and(|id| id.starts_with("b.") && id.ends_with(":1")), "{second}");
    assert!(a.metrics().await.contains("meshcache_purges_total 2"));
}
