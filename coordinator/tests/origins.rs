//! Connections to origins: time limits, which connection takes a request, and the reasons of failures.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use bytes::Bytes;
use plane::{Front, Origin, answer, ask, read_head};
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// A load has less time than these origins take.
const TIMEOUT: &str = "500ms";
const LONGER: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_one_client_may_take_longer_than_a_load() {
    let origin = Origin::new(|seen| async move {
        sleep(LONGER).await;
        answer(200, &[("cache-control", "no-store")], format!("{} of {}", seen.method, seen.body.len()))
    })
    .await;
    let front = Front::new(&origin, json!({"bypass": {"query": ["past"]}, "origin": {"timeout": TIMEOUT}})).await;
    let posted = ask(front.data, "POST", "/", &[], Bytes::from_static(b"four")).await;
    assert_eq!((posted.status.as_u16(), posted.text()), (200, "POST of 4"));
    let passed = front.get("/?past").await;
    assert_eq!((passed.status.as_u16(), passed.text()), (200, "GET of 0"));
    let users = front.ask("GET", "/", &[("authorization", "Basic dTpw")]).await;
    assert_eq!((users.status.as_u16(), users.text()), (200, "GET of 0"));
    assert_eq!(front.get("/").await.status, 504, "others may wait for this one");
    front.reload(
        &origin,
        json!({"bypass": {"query": ["past"]}, "origin": {"timeout": TIMEOUT, "passTimeout": TIMEOUT}}),
    );
    assert_eq!(front.get("/?past").await.text(), "timeout\n", "unless the group has a limit for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_a_client_takes_to_send_is_not_the_origins() {
    let origin = Origin::new(|seen| async move { answer(200, &[], seen.body) }).await;
    for limit in ["0s", TIMEOUT] {
        let front = Front::new(&origin, json!({"origin": {"timeout": TIMEOUT, "passTimeout": limit}})).await;
        let mut client = TcpStream::connect(front.data).await.unwrap();
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 4\r\n\r\n")
            .await
            .unwrap();
        for byte in [b"s", b"l", b"o", b"w"] {
            sleep(LONGER / 4).await;
            client.write_all(byte).await.unwrap();
        }
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("slow"), "passTimeout {limit}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_may_be_quiet() {
    let origin = Origin::scripted(|_, mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(&[&head[..], b"data: 1\n\n"].concat()).await.unwrap();
        sleep(LONGER).await;
        let _ = stream.write_all(b"data: 2\n\n").await;
    })
    .await;
    let front = Front::new(&origin, json!({"origin": {"timeout": TIMEOUT}})).await;
    for fields in [&[("accept", "text/event-stream")][..], &[]] {
        let events = front.ask("GET", "/", fields).await;
        assert_eq!((events.is_cut, events.text()), (false, "data: 1\n\ndata: 2\n\n"), "asked for as {fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_is_not_an_origin_that_pauses() {
    const ALL: usize = 16 << 20;
    let origin = Origin::new(|_| async { answer(200, &[("cache-control", "no-store")], vec![7; ALL]) }).await;
    let front = Front::new(&origin, json!({"origin": {"timeout": TIMEOUT, "passTimeout": TIMEOUT}})).await;
    let mut client = TcpStream::connect(front.data).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut all, mut piece) = (0, vec![0; 1 << 20]);
    loop {
        // All buffers between are full meanwhile, and the origin waits.
        sleep(if all < 2 << 20 { LONGER } else { Duration::ZERO }).await;
        match client.read(&mut piece).await.unwrap() {
            0 => break,
            n => all += n,
        }
    }
    assert!(all > ALL, "{all} bytes");
}

#[tokio::test]
async fn a_failure_of_an_origin_has_its_reason_and_is_counted() {
    let refused = plane::port::Refused::new();
    let lines = |n: usize| (0..n).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let responds = |head: String| async move {
        Origin::scripted(move |_, mut stream| {
            let head = head.clone();
            async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(format!("HTTP/1.1 {head}\r\n").as_bytes()).await;
            }
        })
        .await
    };
    // What servers do with TLS where they expect HTTP.
    let plain = Origin::scripted(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let many = responds(format!("200 OK\r\ncontent-length: 0\r\n{}", lines(300))).await;
    let fits = responds(format!("200 OK\r\ncontent-length: 0\r\n{}", lines(250))).await;
    let large = responds(format!("200 OK\r\nx-large: {}\r\n", "x".repeat(1 << 20))).await;
    let upgrades = responds("101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n".into()).await;
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap().cert.pem();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&ca, certificate).unwrap();
    for (url, reason) in [
        (format!("http://{}", refused.addr), "connect"),
        (format!("https://{}", plain.address), "tls"),
        (many.url(), "too-many-headers"),
        (large.url(), "head-too-large"),
        (upgrades.url(), "unasked-upgrade"),
    ] {
        let front = Front::new(&fits, json!({"origin": {"url": url, "ca": ca.path()}})).await;
        let failed = front.get("/").await;
        assert_eq!((failed.status.as_u16(), failed.text()), (502, format!("{reason}\n").as_str()));
        assert!(failed.header("cache-status").ends_with(&format!("; detail={reason}")), "{failed:?}");
        // A response that is no good here may be good for the proxy.
        let is_for_all = matches!(reason, "connect" | "tls");
        let outcome = if is_for_all {
            format!("miss; reason={reason}; ttl=0; age=0; shared; waiters")
        } else {
            format!("error; reason={reason}")
        };
        assert_eq!(front.question("/", &[]).await.header("meshcache-outcome"), outcome);
        assert_eq!(ask(front.data, "POST", "/", &[], Bytes::new()).await.text(), format!("{reason}\n"), "passes, too");
        let page = String::from_utf8(front.metrics.page().unwrap()).unwrap();
        let line = format!("meshcache_origin_failures_total{{group=\"g\",reason=\"{reason}\"}} 3");
        assert!(page.contains(&line), "{line} in\n{page}");
    }
    let front = Front::new(&fits, json!({})).await;
    assert!(
        plane::raw(front.data, b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn connections_are_kept_idle_as_the_group_configures() {
    let origin = Origin::scripted(|n, mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let number = n.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: {}\r\n\r\n{number}",
                number.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
    })
    .await;
    let front = Front::new(&origin, json!({"origin": {"idle": "0s"}})).await;
    for n in 0..3 {
        assert_eq!(front.get("/").await.text(), n.to_string(), "one for each request");
    }
    front.reload(&origin, json!({}));
    for _ in 0..3 {
        assert_eq!(front.get("/").await.text(), "3", "one for all");
    }
    front.reload(&origin, json!({"patience": "2s"}));
    assert_eq!(front.get("/").await.text(), "3", "a reload keeps it");
    front.reload(&origin, json!({"origin": {"maxConnectionAge": "1ms"}}));
    front.get("/").await;
    sleep(Duration::from_millis(5)).await;
    assert_eq!(front.get("/").await.text(), "5", "the one before was too old");
}

#[tokio::test]
async fn an_origin_below_a_path_is_asked_there_and_clients_see_nothing_of_it() {
    let origin = Origin::new(|seen| async move {
        answer(
            200,
            &[("cache-control", "max-age=60"), ("location", "/new")],
            format!("{} {}", seen.method, seen.target),
        )
    })
    .await;
    let front = Front::new(&origin, json!({"origin": {"url": format!("{}/base/v1/", origin.url())}})).await;
    for target in ["/a?b=/../c", "/", "/%7ea"] {
        let sent = target.replace("%7e", "~");
        let loaded = front.get(target).await;
        assert_eq!((loaded.text(), loaded.header("location")), (&*format!("GET /base/v1{sent}"), "/new"), "a load");
        assert!(front.get(&sent).await.header("cache-status").contains("; hit"), "the key is the client's path");
        assert_eq!(
            ask(front.data, "POST", target, &[], Bytes::new()).await.text(),
            format!("POST /base/v1{target}"),
            "a pass"
        );
        assert!(!front.get(&sent).await.header("cache-status").contains("; hit"), "what a POST changed");
    }
    let count = origin.count();
    for target in ["/../secret", "/a/%2e%2e/%2e%2e/secret", "/a/..;/secret", "/..%2fsecret", "//secret", "*"] {
        let head = format!("OPTIONS {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let refused = plane::raw(front.data, head.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("detail=bad-request"), "{target}: {refused}");
    }
    assert_eq!(origin.count(), count, "nothing outside the path is asked for");
}
