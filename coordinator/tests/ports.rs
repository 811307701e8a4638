//! What each port answers, and to whom.
//!
//! Long: a test for each port.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use std::sync::atomic::Ordering;
use support::{
    Origin, Running, file, get,
    port::{self, Refused},
    send, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ADMIN: &[(&str, &str)] = &[("authorization", "Bearer admin-token")];
const PEER: &[(&str, &str)] = &[("authorization", "Bearer peer-token")];

#[tokio::test]
async fn health_metrics_and_the_filter_are_plain() {
    let (_folder, module) = file("\0asm not really");
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url, "--filter", &module]).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(running.ports.status, path).await.status, 200, "{path}");
    }
    for path in ["/filter/", "/filter/x.wasm", "/purge", "/"] {
        assert_eq!(get(running.ports.status, path).await.status, 404, "{path}");
    }
    use sha2::Digest;
    let digest: String = sha2::Sha256::digest(b"\0asm not really").iter().map(|b| format!("{b:02x}")).collect();
    let module = get(running.ports.status, &format!("/filter/{digest}.wasm")).await;
    assert_eq!(
        (module.status, module.header("content-type"), module.body.as_str()),
        (200, "application/wasm", "\0asm not really")
    );
    assert_eq!(get(running.ports.status, &format!("/filter/{}.wasm", digest.to_uppercase())).await.status, 404);
    assert_eq!(send(running.ports.status, "POST", "/metrics", &[], "").await.status, 405);
}

#[tokio::test]
async fn the_admin_port_is_for_who_has_the_token() {
    let (_folder, token) = file("admin-token\nolder-token\n");
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--admin-token-file", &token]).await;
    let at = running.ports.admin;
    for (method, path) in [("GET", "/"), ("GET", "/peers"), ("GET", "/groups"), ("POST", "/purge"), ("GET", "/nothing")]
    {
        for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic YTpi")]] {
            let reply = send(at, method, path, headers, r#"{"all": true}"#).await;
            assert!(
                reply.status == 401 && reply.body.contains("--admin-token-file") && reply.body.contains("Bearer TOKEN"),
                "{method} {path}: {reply:?}"
            );
            let challenges: Vec<&str> =
                reply.headers.get_all("www-authenticate").iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(challenges, [r#"Basic realm="meshcache", charset="UTF-8""#, r#"Bearer realm="meshcache""#]);
        }
    }
    // me:older-token
    for headers in [ADMIN, &[("authorization", "Basic bWU6b2xkZXItdG9rZW4=")]] {
        assert!(send(at, "GET", "/", headers, "").await.body.contains("<title>meshcache</title>"));
        let peers = send(at, "GET", "/peers", headers, "").await.json();
        assert_eq!(
            (&peers["name"], &peers["peers"][0]["name"], &peers["peers"][0]["data"]),
            (&json!("me"), &json!("me"), &json!(running.ports.data.to_string()))
        );
        assert_eq!(send(at, "GET", "/groups", headers, "").await.json()["groups"][0]["name"], "default");
        assert_eq!(send(at, "GET", "/purge", headers, "").await.status, 405);
    }
}

#[tokio::test]
async fn without_a_token_only_loopback_administers() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    assert_eq!(send(running.ports.admin, "POST", "/purge", &[], r#"{"all": true}"#).await.status, 200);
    let rebound = [("host", "evil.example:8081")];
    let refused = send(running.ports.admin, "GET", "/peers", &rebound, "").await;
    assert!(
        refused.status == 401 && refused.body.contains("--admin-token-file"),
        "a name that was made to lead here: {refused:?}"
    );
    let own = running.ports.admin.to_string();
    for (origin, status) in
        [("http://evil.example".to_owned(), 403), ("null".to_owned(), 403), (format!("http://{own}"), 200)]
    {
        assert_eq!(
            send(running.ports.admin, "POST", "/purge", &[("origin", &origin)], r#"{"all": true}"#).await.status,
            status,
            "{origin}"
        );
    }

    let asked_for_all = Running::start(&["--origin", "http://127.0.0.1:9", "--admin", "[::]:0"]).await;
    assert!(asked_for_all.ports.admin.ip().is_loopback(), "nobody else reaches it: {}", asked_for_all.ports.admin);
    assert_eq!(get(asked_for_all.ports.admin, "/peers").await.status, 200);
    let (_folder, token) = file("admin-token");
    let open =
        Running::start(&["--origin", "http://127.0.0.1:9", "--admin", "[::]:0", "--admin-token-file", &token]).await;
    assert!(open.ports.admin.ip().is_unspecified());
}

#[tokio::test]
async fn a_purge_says_what_it_did_or_why_not() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    let purge = async |body: &str| send(running.ports.admin, "POST", "/purge", &[], body).await;
    let done = purge(r#"{"group": "default", "paths": ["/a"]}"#).await;
    assert_eq!((done.status, done.json()["entries"].as_u64(), &done.json()["unreached"]), (200, Some(0), &json!([])));
    assert!(done.json()["id"].as_str().is_some_and(|id| id.starts_with("me.") && id.ends_with(":1")));
    for (body, status, part) in [
        ("", 400, "EOF"),
        ("{}", 400, "one way"),
        (r#"{"al": true}"#, 400, "unknown field `al`"),
        (r#"{"all": true, "soft": "yes"}"#, 400, "expected a boolean"),
        (r#"{"group": "h"}"#, 404, "no group `h`"),
    ] {
        let refused = purge(body).await;
        assert!(
            refused.status == status && refused.json()["error"].as_str().is_some_and(|error| error.contains(part)),
            "{body}: {refused:?}"
        );
    }
    assert_eq!(purge(&format!(r#"{{"urls": ["http://h/{}"]}}"#, "x".repeat(2 << 20))).await.status, 413);
}

#[tokio::test]
async fn the_peer_port_tells_nothing_without_a_token() {
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
        "the second has to be heard first"
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
    let mut told = json!(null);
    until("proxies are told", async || {
        told = send(b.ports.data, "POST", "/.meshcache/feed", &[], r#"{"wire": 1}"#).await.json();
        told["news"].is_object()
    })
    .await;
    assert_eq!(
        (&told["news"]["position"], &told["news"]["purges"][0]["what"]),
        (&done.json()["id"], &json!({"group": "default"}))
    );
    // Whoever orders the next one: each has its own numbers.
    let second = send(b.ports.admin, "POST", "/purge", &[], r#"{"group": "default"}"#).await.json();
    assert!(second["id"].as_str().is_some_and(|id| id.starts_with("b.") && id.ends_with(":1")), "{second}");
    assert!(a.metrics().await.contains("meshcache_purges_total 2"));
}

#[tokio::test]
async fn the_feed_answers_at_once_what_is_new_and_else_gives_a_sign_of_life() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--installation", "inst"]).await;
    let ask = async |version: &str| {
        let question = json!({"wire": 1, "proxy": "p", "filter_version": "0.1.0", "version": version});
        send(running.ports.data, "POST", "/.meshcache/feed", &[], &question.to_string()).await
    };
    let first = ask("").await;
    let state = &first.json()["state"];
    assert_eq!(first.header("meshcache-self"), running.ports.data.to_string());
    assert_eq!(
        (&state["installation"], &state["peers"][0]["name"], &state["config"]["groups"][0]["name"]),
        (&json!("inst"), &json!("me"), &json!("default"))
    );
    let version = first.json()["version"].as_str().unwrap().to_owned();

    let begun = std::time::Instant::now();
    let alive = ask(&version).await.json();
    assert!(begun.elapsed() >= std::time::Duration::from_millis(900), "a sign of life comes after a second");
    assert_eq!((&alive["version"], alive.get("state")), (&json!(version), None));

    let (news, purged) =
        tokio::join!(ask(&version), send(running.ports.admin, "POST", "/purge", &[], r#"{"all": true}"#));
    assert_eq!(
        (&news.json()["news"]["position"], news.json().get("state")),
        (&purged.json()["id"], None),
        "only what is new"
    );
    assert_eq!(news.json()["news"]["purges"][0]["what"], json!({"all": true}));
    let behind = ask(&version).await.json();
    assert_eq!(behind["news"], news.json()["news"], "who has not said that it knows is told again");

    for (method, path, body, status) in [
        ("POST", "/.meshcache/feed", "x", 400),
        ("POST", "/.meshcache/feed", r#"{"wire": 0}"#, 400),
        ("GET", "/.meshcache/feed", "", 405),
        ("GET", "/.meshcache/purge", "", 404),
        ("POST", "/.meshcache/", "", 404),
    ] {
        assert_eq!(send(running.ports.data, method, path, &[], body).await.status, status, "{method} {path} {body}");
    }
}

#[tokio::test]
async fn what_proxies_count_is_exported_by_words_that_are_known() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    let question = json!({"wire": 1, "proxy": "p", "filter_version": "0.1.0", "requests": {"default": {"hot": 3, "mismatch": 1, "not a word": 1}, "unknown": {"hot": 1}}});
    for _ in 0..2 {
        send(running.ports.data, "POST", "/.meshcache/feed", &[], &question.to_string()).await;
    }
    let page = running.metrics().await;
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("meshcache_prox")).collect();
    assert_eq!(
        lines,
        [
            r#"meshcache_proxies{filter_version="0.1.0"} 1"#,
            r#"meshcache_proxy_requests_total{group="default",outcome="hot"} 6"#
        ]
    );
    assert!(
        page.contains(r#"meshcache_observe_mismatch_total{group="default"} 2"#) && !page.contains("unknown"),
        "{page}"
    );
}

#[tokio::test]
async fn bad_requests_are_answered_and_harm_nobody() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    let raw = async |bytes: &[u8]| {
        let mut stream = tokio::net::TcpStream::connect(running.ports.data).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).map_or(0, |status| status.parse::<u16>().unwrap_or(0))
    };
    let many: String = (0..300).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(100_000)), 431),
        (format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n"), 431),
        ("nonsense\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".into(), 400),
    ] {
        assert_eq!(raw(request.as_bytes()).await, status, "{}", &request[..60.min(request.len())]);
    }
    assert_eq!(get(running.ports.status, "/healthz").await.status, 200);
    assert_eq!(origin.asked.load(Ordering::SeqCst), 0);
    until("all connections are closed", async || {
        running.metrics().await.contains("meshcache_connections{port=\"data\"} 0")
    })
    .await;
}

/// The status of a request with this many header lines in all, over HTTP/2 or HTTP/1.1.
async fn status_of_lines(at: std::net::SocketAddr, http2: bool, lines: usize, more: &[(&str, &str)]) -> (u16, String) {
    use http_body_util::{BodyExt, Empty};
    let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(at).await.unwrap());
    let mut request = http::Request::builder().uri(if http2 { format!("http://{at}/a") } else { "/a".into() });
    if !http2 {
        request = request.header("host", at.to_string());
    }
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    for n in more.len() + 1..lines {
        request = request.header(format!("x-{n}"), "1");
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn as_many_header_lines_are_taken_over_either_version_of_http_and_one_more_is_refused_and_counted() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    for http2 in [false, true] {
        for (lines, status) in [(120, 200), (256, 200), (257, 431)] {
            assert_eq!(
                status_of_lines(running.ports.data, http2, lines, &[]).await.0,
                status,
                "{lines} lines, HTTP/2: {http2}"
            );
        }
        assert_eq!(status_of_lines(running.ports.data, http2, 300, &[]).await, (431, "header-lines\n".into()));
        assert_eq!(status_of_lines(running.ports.status, http2, 300, &[]).await, (431, "header-lines\n".into()));
    }
    // So many that they are not even read.
    assert_eq!(status_of_lines(running.ports.data, false, 1000, &[]).await.0, 431);
    let page = running.metrics().await;
    for line in [
        r#"meshcache_heads_refused_total{port="data"} 5"#,
        r#"meshcache_heads_refused_total{port="status"} 2"#,
        r#"meshcache_heads_refused_total{port="peer"} 0"#,
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    // A proxy that asks for its client goes on by itself, and does not take this coordinator for dead.
    let (status, body) =
        status_of_lines(running.ports.data, true, 300, &[("meshcache-wire", "1; group=default")]).await;
    assert_eq!((status, body.as_str()), (204, ""));
}

#[tokio::test]
async fn bodies_that_do_not_end_are_bounded_on_a_connection_and_whole_ones_are_answered_beside_them() {
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(running.ports.data).await.unwrap());
    let (sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let unfinished = |n: usize| {
        let (uri, mut sender) = (format!("http://{}/.meshcache/feed", running.ports.data), sender.clone());
        async move {
            let first = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(
                bytes::Bytes::from_static(b"{"),
            ))]);
            let body = StreamBody::new(first.chain(futures_util::stream::pending()));
            (n, sender.send_request(http::Request::post(uri).body(body).unwrap()).await.unwrap())
        }
    };
    let mut asked: futures_util::stream::FuturesUnordered<_> = (0..40).map(unfinished).collect();
    for _ in 16..40 {
        let (n, refused) = asked.next().await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"), "{n}");
        let why = refused.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&why).contains("on this connection"), "{why:?}");
    }
    assert_eq!(asked.len(), 16);
    let whole = send(running.ports.data, "POST", "/.meshcache/feed", &[], r#"{"wire": 1, "at_once": true}"#).await;
    assert_eq!(whole.status, 200, "another connection: {whole:?}");
    assert!(running.metrics().await.contains("meshcache_limits_met_total{limit=\"bodies-of-connection\"} 24"));
}
