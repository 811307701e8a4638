//! The data port: the feed, bad requests, and limits on heads and bodies.

use crate::support::{Origin, Running, get, send, until};
use serde_json::json;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_feed_answers_news_at_once_and_otherwise_after_a_second() {
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
    assert!(begun.elapsed() >= std::time::Duration::from_millis(900), "without news the response comes after a second");
    assert_eq!((&alive["version"], alive.get("state")), (&json!(version), None));

    let (news, purged) =
        tokio::join!(ask(&version), send(running.ports.admin, "POST", "/purge", &[], r#"{"all": true}"#));
    assert_eq!(
        (&news.json()["news"]["position"], news.json().get("state")),
        (&purged.json()["id"], None),
        "news alone"
    );
    assert_eq!(news.json()["news"]["purges"][0]["what"], json!({"all": true}));
    let behind = ask(&version).await.json();
    assert_eq!(behind["news"], news.json()["news"], "news is repeated until the proxy acknowledges it");

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
async fn requests_counted_by_proxies_are_exported_with_known_labels() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    let question = json!({"wire": 1, "proxy": "p", "filter_version": "0.1.0", "panics": 2, "requests": {"default": {"hot": 3, "mismatch": 1, "not a word": 1}, "no-such-group": {"hot": 1}}});
    for _ in 0..2 {
        send(running.ports.data, "POST", "/.meshcache/feed", &[], &question.to_string()).await;
    }
    let page = running.metrics().await;
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("meshcache_prox")).collect();
    assert_eq!(
        lines,
        [
            r#"meshcache_proxies{filter_version="0.1.0"} 1"#,
            "meshcache_proxy_panics_total 4",
            r#"meshcache_proxy_requests_total{group="default",outcome="hot"} 6"#
        ]
    );
    assert!(
        page.contains(r#"meshcache_observe_mismatch_total{group="default"} 2"#) && !page.contains("no-such-group"),
        "{page}"
    );
}

#[tokio::test]
async fn bad_requests_are_answered_and_harm_no_others() {
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

/// Returns status and body of the response to a request with this many fields in all, over HTTP/2 or HTTP/1.1.
async fn status_of_fields(at: std::net::SocketAddr, http2: bool, lines: usize, more: &[(&str, &str)]) -> (u16, String) {
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
async fn fields_are_accepted_up_to_the_limit_over_either_version_of_http_and_one_more_is_counted() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    for http2 in [false, true] {
        for (lines, status) in [(120, 200), (256, 200), (257, 431)] {
            assert_eq!(
                status_of_fields(running.ports.data, http2, lines, &[]).await.0,
                status,
                "{lines} fields, HTTP/2: {http2}"
            );
        }
        assert_eq!(status_of_fields(running.ports.data, http2, 300, &[]).await, (431, "header-lines\n".into()));
        assert_eq!(status_of_fields(running.ports.status, http2, 300, &[]).await, (431, "header-lines\n".into()));
    }
    // hyper rejects what is far above the limit, without a text.
    assert_eq!(status_of_fields(running.ports.data, false, 1000, &[]).await.0, 431);
    let page = running.metrics().await;
    for line in [
        r#"meshcache_heads_refused_total{port="data"} 5"#,
        r#"meshcache_heads_refused_total{port="status"} 2"#,
        r#"meshcache_heads_refused_total{port="peer"} 0"#,
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    // A proxy passes the request on itself, and does not take this coordinator for dead.
    let (status, body) =
        status_of_fields(running.ports.data, true, 300, &[("meshcache-wire", "1; group=default")]).await;
    assert_eq!((status, body.as_str()), (204, ""));
}

#[tokio::test]
async fn unfinished_bodies_are_bounded_per_connection_and_complete_ones_are_answered_beside_them() {
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
