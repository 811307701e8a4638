//! What administrators see while it happens: `GET /tail` and `GET /top`; and what is stored: `GET /keys`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use support::{Origin, Running, file, get, port::unused, send, until};
use tokio::net::TcpStream;

/// A client that tails.
struct Tail {
    body: Incoming,
    read: Vec<u8>,
}

impl Tail {
    async fn try_open(at: SocketAddr, query: &str) -> Result<Self, (u16, String)> {
        let stream = TokioIo::new(TcpStream::connect(at).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get(format!("/tail{query}")).header("host", at.to_string());
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        // The connection ends with the body.
        let (head, body) = response.into_parts();
        if head.status != 200 {
            let why = body.collect().await.unwrap().to_bytes();
            return Err((head.status.as_u16(), String::from_utf8_lossy(&why).into_owned()));
        }
        assert_eq!(head.headers["content-type"], "application/x-ndjson");
        Ok(Self { body, read: Vec::new() })
    }

    async fn open(at: SocketAddr, query: &str) -> Self {
        Self::try_open(at, query).await.unwrap()
    }

    /// The next request; none: the tail has ended as it should.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if line != b"\n" {
                    return Some(serde_json::from_slice(&line).unwrap());
                }
                continue;
            }
            let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame()).await.expect("a line");
            self.read.extend(frame?.expect("no cut").into_data().unwrap());
        }
    }

    /// The next requests, as `path outcome reason`.
    async fn words(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            let line = self.next().await.unwrap();
            let word = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            all.push([word("path"), word("outcome"), word("reason")].join(" "));
        }
        all
    }
}

async fn one(origin: &Origin) -> Running {
    Running::start(&["--origin", &origin.url]).await
}

/// Two coordinators that answer from their stores.
async fn two(origin: &Origin) -> ([Running; 2], tempfile::TempDir) {
    let (folder, token) = file("token");
    let ports = [(unused(), unused()), (unused(), unused())];
    let [(a, a_peer), (b, b_peer)] = ports;
    let peers = format!("a={a}/{},b={b}/{}", a_peer.port(), b_peer.port());
    let start = async |name: &str, (data, peer): (SocketAddr, SocketAddr)| {
        let (data, peer) = (data.to_string(), peer.to_string());
        let own = ["--name", name, "--listen", &data, "--peer-listen", &peer, "--peers", &peers];
        Running::start(&[&own[..], &["--peer-token-file", &token, "--origin", &origin.url]].concat()).await
    };
    let both = [start("a", ports[0]).await, start("b", ports[1]).await];
    for running in &both {
        until("it answers from its store", async || {
            asks(running, "/first").await.contains("; hit") && asks(running, "/first").await.contains("; hit")
        })
        .await;
    }
    (both, folder)
}

async fn asks(running: &Running, target: &str) -> String {
    send(running.ports.data, "GET", target, &[("host", "h")], "").await.header("cache-status").to_owned()
}

async fn json(running: &Running, target: &str) -> Value {
    get(running.ports.admin, target).await.json()
}

/// The names of a table's rows that have come, in their order.
fn names(top: &Value) -> Vec<&str> {
    top["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tail_tells_each_request_as_it_ends_with_what_the_cache_did_and_why() {
    let origin = Origin::start().await;
    let running = one(&origin).await;
    asks(&running, "/before").await;
    let (mut all, mut passes) =
        (Tail::open(running.ports.admin, "").await, Tail::open(running.ports.admin, "?outcome=pass&status=2xx").await);
    for target in ["/a?token=s3cret", "/a?token=s3cret", "/private", "/private"] {
        asks(&running, target).await;
    }
    send(running.ports.data, "POST", "/a", &[("host", "h")], "").await;
    let first = all.next().await.unwrap();
    assert!(!first.to_string().contains("s3cret"), "{first}");
    assert_eq!(
        ["at", "by", "method", "host", "path", "status", "bytes", "group", "outcome", "leftOut"]
            .map(|name| &first[name]),
        [
            &json!("me"),
            &json!("client"),
            &json!("GET"),
            &json!("h"),
            &json!("/a"),
            &json!(200),
            &json!(5),
            &json!("default"),
            &json!("miss"),
            &json!(0)
        ]
    );
    assert!(first["took"].as_f64().unwrap() > 0.0 && first["ago"].as_u64().is_some());
    assert_eq!(all.words(4).await, ["/a hit -", "/private pass private", "/private pass private", "/a pass method"]);
    assert_eq!(passes.words(3).await, ["/private pass private", "/private pass private", "/a pass method"]);
}

#[tokio::test]
async fn one_tail_has_the_requests_of_all_coordinators_each_once() {
    let origin = Origin::start().await;
    let (both, _token) = two(&origin).await;
    let mut tail = Tail::open(both[0].ports.admin, "").await;
    let mut asked = Vec::new();
    for n in 0..10 {
        for (running, name) in both.iter().zip(["a", "b"]) {
            asks(running, &format!("/{n}")).await;
            asked.push(format!("/{n} {name}"));
        }
    }
    let mut told = Vec::new();
    for _ in &asked {
        let line = tail.next().await.unwrap();
        assert_eq!(line["by"], "client", "no hop between coordinators: {line}");
        told.push(format!("{} {}", line["path"].as_str().unwrap(), line["at"].as_str().unwrap()));
    }
    told.sort();
    asked.sort();
    assert_eq!(told, asked);
}

#[tokio::test]
async fn what_is_too_much_for_a_tail_is_left_out_and_counted() {
    let origin = Origin::start().await;
    let (both, _token) = two(&origin).await;
    let ask = async |after: Option<u64>| {
        let question = json!({"tail": {"after": after, "path": "/burst"}}).to_string();
        let proof = [("authorization", "Bearer token")];
        send(both[0].ports.peer, "POST", "/.meshcache/ask", &proof, &question).await.json()
    };
    let next = ask(None).await["next"].as_u64().unwrap();
    for n in 0..300 {
        asks(&both[0], &format!("/burst/{n}")).await;
        asks(&both[0], "/other").await;
    }
    let told = ask(Some(next)).await;
    let ended = told["ended"].as_array().unwrap();
    let left_out: u64 = ended.iter().map(|line| line["leftOut"].as_u64().unwrap()).sum();
    assert_eq!((ended.len(), left_out), (200, 100));
    assert_eq!(ended.last().unwrap()["path"], "/burst/299");
}

#[tokio::test]
async fn a_tail_that_nobody_reads_holds_up_neither_requests_nor_other_tails() {
    let origin = Origin::start().await;
    let running = one(&origin).await;
    let (_unread, mut read) = (Tail::open(running.ports.admin, "").await, Tail::open(running.ports.admin, "").await);
    let long = "x".repeat(900);
    let (mut seen, mut n) = (0, 0);
    while seen < 500 {
        for _ in 0..50 {
            asks(&running, &format!("/{n}/{long}")).await;
            n += 1;
        }
        while seen < n {
            let line = read.next().await.unwrap();
            seen += 1 + line["leftOut"].as_u64().unwrap();
        }
    }
}

#[tokio::test]
async fn a_coordinator_that_stops_ends_its_tails_and_does_not_wait_for_them() {
    let origin = Origin::start().await;
    let mut running = Running::start(&["--origin", &origin.url, "--drain-timeout", "1h"]).await;
    let (mut tail, _unread) = (Tail::open(running.ports.admin, "").await, Tail::open(running.ports.admin, "").await);
    asks(&running, "/a").await;
    assert_eq!(tail.words(1).await, ["/a miss -"]);
    running.stop();
    assert_eq!(tail.next().await, None, "a whole body, and no cut");
    running.ended().await;
}

#[tokio::test]
async fn at_most_sixteen_tail_and_who_leaves_makes_room() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Tail::open(running.ports.admin, "").await);
    }
    let refused = Tail::try_open(running.ports.admin, "").await.err().unwrap();
    assert!(refused.0 == 503 && refused.1.contains("16 tails are open here"), "{refused:?}");
    open.pop();
    until("a place is free", async || Tail::try_open(running.ports.admin, "").await.is_ok()).await;
}

#[tokio::test]
async fn top_has_what_is_asked_for_most_first_over_all_coordinators() {
    let origin = Origin::start().await;
    let (both, _token) = two(&origin).await;
    let begun = json(&both[0], "/top").await;
    assert_eq!((begun["seconds"].as_f64(), names(&begun)), (Some(0.0), vec![]), "counting has just begun: {begun}");
    json(&both[0], "/top?by=reasons").await;
    json(&both[0], "/top?by=groups").await;
    json(&both[0], "/top?by=origins").await;
    json(&both[0], "/top?path=/a").await;
    for n in 0..6 {
        for _ in 0..=n {
            asks(&both[n % 2], &format!("/a/{n}?q=s3cret")).await;
            asks(&both[(n + 1) % 2], &format!("/a/{n}?q=s3cret")).await;
        }
    }
    asks(&both[1], "/private").await;
    until("both have counted for a while", async || json(&both[0], "/top").await["seconds"].as_f64() > Some(0.0)).await;
    let top = json(&both[0], "/top?limit=3").await;
    assert_eq!(names(&top), ["h/a/5", "h/a/4", "h/a/3"], "{top}");
    let first = &top["rows"][0];
    assert!(first["rate"].as_f64() > Some(0.5) && first["hits"].as_f64() > Some(0.7), "{first}");
    assert!(first["rateError"] == 0.0 && first["group"] == "default" && first["told"] == false, "{first}");
    assert_eq!(top["unreached"], json!([]));
    assert!(!names(&json(&both[0], "/top?path=/a").await).contains(&"h/private"));
    assert_eq!(names(&json(&both[0], "/top?by=reasons").await), ["default private"]);
    assert_eq!(names(&json(&both[0], "/top?by=groups").await), ["default"]);
    let origins = json(&both[0], "/top?by=origins").await;
    assert_eq!(names(&origins), [origin.url.as_str()]);
    assert!(origins["rows"][0]["took"].as_f64() > Some(0.0), "{origins}");
}

#[tokio::test]
async fn what_proxies_answered_themselves_is_in_the_table_of_groups_as_told() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    json(&running, "/top?by=groups").await;
    let question =
        r#"{"wire": 1, "proxy": "p", "filter_version": "0.1.0", "requests": {"default": {"hot": 300, "pass": 5}}}"#;
    send(running.ports.data, "POST", "/.meshcache/feed", &[], question).await;
    until("it is in the table", async || names(&json(&running, "/top?by=groups").await) == ["default"]).await;
    let row = &json(&running, "/top?by=groups").await["rows"][0];
    assert_eq!((&row["told"], &row["hits"], &row["group"]), (&json!(true), &json!(1.0), &json!("default")), "{row}");
}

#[tokio::test]
async fn a_parameter_that_is_not_understood_is_refused_with_what_to_write() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    for (target, why) in [
        ("/tail?grup=default", "no parameter `grup`: there are group, outcome, reason, status, path"),
        ("/tail?by=keys", "no parameter `by`"),
        ("/tail?status=40x", "status: `40x` is no status: write 404, or 5xx"),
        ("/tail?group=other", "group: no group `other`; there are: default"),
        ("/top?by=key", "by: `key` is none of keys, groups, reasons, origins"),
        ("/top?by=origins&status=404", "by=origins is filtered by group alone"),
        ("/top?limit=many", "limit: `many` is no number"),
        ("/keys?prefix=a", "prefix: it does not begin with a slash"),
        ("/keys?path=/a", "no parameter `path`: there are group, prefix, limit"),
    ] {
        let refused = get(running.ports.admin, target).await;
        assert_eq!(refused.status, 400, "{target}");
        assert!(refused.json()["error"].as_str().unwrap().starts_with(why), "{target}: {refused:?}");
    }
}

#[tokio::test]
async fn the_keys_of_all_coordinators_are_told_by_url_without_a_value() {
    let origin = Origin::start().await;
    let (both, _token) = two(&origin).await;
    for n in 0..10 {
        asks(&both[n % 2], &format!("/a/{n}?token=s3cret&page=s3cret")).await;
    }
    asks(&both[0], "/b").await;
    let keys = json(&both[0], "/keys?prefix=/a/&group=default").await;
    assert!(!keys.to_string().contains("s3cret"), "{keys}");
    let urls: Vec<&str> = keys["keys"].as_array().unwrap().iter().map(|key| key["url"].as_str().unwrap()).collect();
    assert_eq!(urls, (0..10).map(|n| format!("http://h/a/{n}?token=…&page=…")).collect::<Vec<_>>());
    assert_eq!((&keys["total"], &keys["unreached"]), (&json!(10), &json!([])));
    let at: std::collections::BTreeSet<&str> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["at"].as_str().unwrap()).collect();
    assert_eq!(at.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    let first = &keys["keys"][0];
    assert_eq!(
        ["status", "keptAs", "group"].map(|name| &first[name]),
        [&json!(200), &json!("main"), &json!("default")]
    );
    assert!(first["ttl"].as_i64() > Some(0) && first["ttl"].as_i64() <= Some(60), "{first}");
    assert!(first["bytes"].as_u64() > Some(5), "{first}");
    let few = json(&both[1], "/keys?limit=2").await;
    assert!(few["keys"].as_array().unwrap().len() == 2 && few["total"].as_u64() >= Some(12), "{few}");
}
