//! Requests that are odd, wrong or hostile: the right error or an untouched pass, nothing cached that should not be,
//! and nothing left behind.
//!
//! Long: all run on one mesh, which takes seconds to start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, sync::Arc};

use meshcache_tests::{
    Ask, Connection, Mesh, Reply, Shared, await_until, coordinator::ADMIN_TOKEN, groups::SHOP, raw, run, wait::SOON,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    let mesh = || Mesh::of(1, 1).groups(|groups| groups.plus("odd", json!({"freshness": {"default": "1h"}})));
    MESH.get(async || mesh().start().await).await
}

fn ways(mesh: &Mesh) -> [SocketAddr; 2] {
    [mesh.fronts()[0], mesh.coordinators.data()[0]]
}

fn request(head: &str) -> Vec<u8> {
    [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n"].concat()
}

#[test]
fn a_bad_host_is_a_400() {
    run(async {
        let mesh = mesh().await;
        let heads = [
            "GET /host HTTP/1.1",
            "GET /host HTTP/1.1\nHost: odd.test\nHost: shop.example.com",
            "GET /host HTTP/1.1\nHost: odd.test\nHost: odd.test",
            "GET /host HTTP/1.1\nHost: odd test",
            "GET /host HTTP/1.1\nHost: odd.test/path",
            "GET /host HTTP/1.1\nHost: user@odd.test",
            "GET /host HTTP/1.1\nHost: odd.test, odd.test",
            "GET /host HTTP/1.1\nHost: ",
            "GET /host HTTP/1.1\nHost: odd.test:port",
            "GET /host HTTP/1.1\nHost: odd.test:99999",
        ];
        for head in heads {
            let status = raw::status(mesh.coordinators.data()[0], &request(head)).await;
            assert!([400, 421].contains(&status), "{status} for {head}");
        }
        assert_eq!(mesh.origin.hits("/host"), 0, "none of them was fetched");
        for head in heads {
            let status = raw::status(mesh.fronts()[0], &request(head)).await;
            // Envoy lets some through; then they are the service's to judge, and it knows no such path.
            assert!([400, 404].contains(&status), "{status} for {head} through Envoy");
        }
    });
}

#[test]
fn an_absolute_target_is_the_same_resource() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/absolute", Reply::fresh(3600, "one"));
        let heads = [
            "GET /absolute?q HTTP/1.1\nHost: odd.test",
            "GET http://odd.test/absolute?q HTTP/1.1\nHost: odd.test",
            "GET http://odd.test/absolute?q HTTP/1.1\nHost: unknown.test",
            "GET http://ODD.test:80/absolute?q HTTP/1.1\nHost: odd.test",
        ];
        for to in ways(&mesh) {
            for head in heads {
                assert_eq!(raw::status(to, &request(head)).await, 200, "{head} at {to}");
            }
        }
        assert_eq!(mesh.origin.hits("/absolute"), 1);
        // The target's host counts, not the header's.
        let foreign = "GET http://unknown.test/absolute?q HTTP/1.1\nHost: odd.test";
        assert_eq!(raw::status(mesh.coordinators.data()[0], &request(foreign)).await, 421);
    });
}

#[test]
fn a_coordinator_is_no_tunnel_and_no_mirror() {
    run(async {
        let mesh = mesh().await;
        for head in [
            "CONNECT odd.test:80 HTTP/1.1\nHost: odd.test:80",
            "OPTIONS * HTTP/1.1\nHost: odd.test",
            "TRACE /trace HTTP/1.1\nHost: odd.test\nX-Secret: s",
        ] {
            let answer = raw::exchange(mesh.coordinators.data()[0], &request(head)).await.unwrap();
            let text = String::from_utf8_lossy(&answer);
            assert!(!text.contains("X-Secret"), "{head}: {text}");
            assert!(!head.starts_with("CONNECT") || !text.contains(" 200 "), "{head}: {text}");
            assert!(text.is_empty() || text.starts_with("HTTP/1.1 "), "{head}: {text}");
        }
    });
}

#[test]
fn headers_without_measure_are_a_431() {
    run(async {
        let mesh = mesh().await;
        let huge = format!("GET /huge HTTP/1.1\nHost: odd.test\nX-Huge: {}", "x".repeat(1 << 20));
        let many = format!("GET /huge HTTP/1.1\nHost: odd.test{}", "\nX-Many: x".repeat(20_000));
        let long = format!("GET /{} HTTP/1.1\nHost: odd.test", "x".repeat(1 << 20));
        for to in ways(&mesh) {
            for head in [&huge, &many] {
                assert_eq!(raw::status(to, &request(head)).await, 431, "{} at {to}", &head[..60]);
            }
            assert!([414, 431].contains(&raw::status(to, &request(&long)).await));
        }
        assert_eq!(mesh.origin.hits("/huge"), 0);
    });
}

#[test]
fn what_proxies_let_through_a_coordinator_takes_too() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/large-head", Reply::fresh(60, "x"));
        // Envoy's own limit is 60 KiB.
        let ask = |i: usize| Ask::get("odd.test", &format!("/large-head?{i}")).header("x-large", "x".repeat(50 << 10));
        for (i, to) in ways(&mesh).into_iter().enumerate() {
            let answer = ask(i).send(to).await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "x".to_owned()));
            assert!(answer.cache_status().contains("stored"), "{:?}", answer.headers);
        }
    });
}

#[test]
fn a_get_with_a_body_passes_with_it() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/get-body", |request| Reply::fresh(3600, request.body.clone()));
        Ask::get("odd.test", "/get-body").send(mesh.fronts()[0]).await.unwrap();
        for to in ways(&mesh) {
            for body in ["a", "b"] {
                let before = mesh.origin.hits("/get-body");
                let answer = Ask::get("odd.test", "/get-body").body(body).send(to).await.unwrap();
                assert_eq!((answer.status, answer.text()), (200, body.to_owned()));
                assert_eq!(mesh.origin.hits("/get-body"), before + 1);
            }
            let plain = Ask::get("odd.test", "/get-body").send(to).await.unwrap();
            assert_eq!(plain.text(), "", "the stored one is that without a body");
        }
    });
}

#[test]
fn a_bad_content_length_is_a_400() {
    run(async {
        let mesh = mesh().await;
        for lengths in [
            "Content-Length: abc",
            "Content-Length: -1",
            "Content-Length: 1\nContent-Length: 2",
            "Content-Length: 1, 2",
            "Content-Length: 99999999999999999999999",
        ] {
            let head = format!("POST /length HTTP/1.1\nHost: odd.test\n{lengths}");
            for to in ways(&mesh) {
                assert_eq!(raw::status(to, &request(&head)).await, 400, "{lengths} at {to}");
            }
        }
        assert_eq!(mesh.origin.hits("/length"), 0);
        // Two framings at once are how requests are smuggled: refused, or read as the RFC says, but never one as two.
        mesh.origin.always("/length", Reply::ok("x"));
        let both = "POST /length HTTP/1.1\nHost: odd.test\nContent-Length: 4\nTransfer-Encoding: chunked";
        let smuggled = [request(both), b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: odd.test\r\n\r\n".to_vec()].concat();
        for to in ways(&mesh) {
            let status = raw::status(to, &smuggled).await;
            assert!([200, 400].contains(&status), "{status} at {to}");
        }
    });
}

#[test]
fn half_a_purge_is_not_waited_for_forever() {
    run(async {
        let head =
            format!("POST /purge HTTP/1.1\nHost: admin\nAuthorization: Bearer {ADMIN_TOKEN}\nContent-Length: 100");
        let half = [request(&head).as_slice(), b"{\"al"].concat();
        assert_eq!(raw::status(mesh().await.coordinators.all[0].ports.admin, &half).await, 408);
    });
}

#[test]
fn a_purge_that_is_not_understood_is_refused_in_one_line_that_says_what_to_write() {
    run(async {
        let mesh = mesh().await;
        let admin = mesh.coordinators.all[0].ports.admin;
        let json = |body: &str| Ask::new("POST", "admin", "/purge").body(body.to_owned());
        let regexes =
            |regex: &str, times: usize| json(&json!({"group": "odd", "regex": vec![regex; times]}).to_string());
        let purge = |name: &str, value: &str| Ask::new("PURGE", "odd.test", "/a").header(name, value);
        for (ask, part) in [
            (json(r#"{"group": "odd", "regex": ["/a", "*"]}"#), "regex: `*` is not a regex: "),
            (regexes(".{1000}.{1000}", 1), "is not a regex: compiled regex exceeded size limit"),
            (regexes("/[a-z]{50}.*", 16), "regex: together they are too large: write shorter ones, or fewer"),
            (regexes("/a", 17), "regex: 17 are too many for one purge: write at most 16"),
            (json(r#"{"hosts": ["odd.test:http"]}"#), "hosts: `odd.test:http` is not a host (examples: "),
            (json(r#"{"tags": ["a"]}"#), "name what is purged in one way: urls, or all, or group or hosts"),
            (Ask::new("PURGE", "odd test", "/a"), "`odd test/a` is not a URL: write `PURGE /path?query` with its Host"),
            (Ask::new("PURGE", "odd.test", "*"), "`odd.test*` is not a URL: write `PURGE /path?query` with its Host"),
            (
                purge("surrogate-key", "caf\u{e9}"),
                "surrogate-key: `\u{fffd}` has no tags: write words, as `surrogate-key: a b`",
            ),
            (
                purge("meshcache-soft-purge", "1, 1"),
                "meshcache-soft-purge: `1, 1` is not understood: write 1, or leave it out",
            ),
            (purge("xkey", "a").body(r#"{"all": true}"#), "PURGE has no body: write POST /purge for JSON"),
        ] {
            let answer = ask.header("authorization", format!("Bearer {ADMIN_TOKEN}")).send(admin).await.unwrap();
            let report: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let why = report["error"].as_str().unwrap_or_default();
            assert!(answer.status == 400 && why.contains(part) && !why.contains('\n'), "{part}: {answer:?}");
        }
    });
}

#[test]
fn header_values_of_any_bytes_pass_unchanged() {
    run(async {
        let mesh = mesh().await;
        let value: &[u8] = b"caf\xe9 \xff\x80 ok";
        mesh.origin.on("/bytes", |request| {
            Reply::fresh(3600, "x").header("x-echo", request.headers["x-bytes"].as_bytes()).header("x-own", b"\xfe\xe9")
        });
        for (i, to) in ways(&mesh).into_iter().enumerate() {
            let ask = Ask::get("odd.test", &format!("/bytes?{i}")).header("x-bytes", value);
            let mut hits = 0;
            while hits < 20 {
                let answer = ask.send(to).await.unwrap();
                let header =
                    |name: &str| answer.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice());
                assert_eq!(
                    (answer.status, header("x-echo"), header("x-own")),
                    (200, Some(value), Some(&b"\xfe\xe9"[..]))
                );
                hits += 1;
            }
            let post =
                Ask::new("POST", "odd.test", "/bytes").header("x-bytes", value).body("x").send(to).await.unwrap();
            assert!(post.headers.contains(&("x-echo".to_owned(), value.to_vec())), "{post:?}");
        }
    });
}

#[test]
fn paths_that_servers_read_differently_pass_as_they_are() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("*", |request| Reply::fresh(3600, request.uri.path().to_owned()));
        for path in
            ["/d/../x", "/d/./x", "/d/..", "/d//x", "//d", "/d%2fx", "/d%2Fx", "/d/%2e%2e/x", "/d%5cx", "/d/..;/x"]
        {
            for to in ways(&mesh) {
                let before = mesh.origin.hits(path);
                for i in 1..=2 {
                    let answer = Ask::get("odd.test", path).send(to).await.unwrap();
                    assert_eq!((answer.status, answer.text()), (200, path.to_owned()), "at {to}");
                    assert_eq!(mesh.origin.hits(path), before + i, "{path} at {to} is not cached");
                }
            }
        }
    });
}

#[test]
fn nothing_is_left_of_clients_that_make_no_sense() {
    run(async {
        // A mesh of its own: connections are counted.
        let mesh = Mesh::of(1, 1).groups(|groups| groups.plus("odd", json!({}))).start().await;
        mesh.origin.always("/after", Reply::fresh(3600, "all is well"));
        let garbage: Vec<Vec<u8>> = vec![
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            b"\x00".repeat(10_000),
            b"\xff".repeat(10_000),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            b"GET".to_vec(),
            b"GET / HTTP/9.9\r\nHost: odd.test\r\n\r\n".to_vec(),
            b"GET / HTTP/1.1\nHost: odd.test\n\n\n\n\x00\x00".to_vec(),
            b"GET /x HTTP/1.1\r\nHost: odd.test\r\nX-Bad\x00: x\r\n\r\n".to_vec(),
            b"G\xc3\x89T /x HTTP/1.1\r\nHost: odd.test\r\n\r\n".to_vec(),
            b"POST /x HTTP/1.1\r\nHost: odd.test\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n".to_vec(),
            b"POST /x HTTP/1.1\r\nHost: odd.test\r\nContent-Length: 100\r\n\r\nten bytes.".to_vec(),
            b"GET /half HTTP/1.1\r\nHost: odd.test\r\nX-Un".to_vec(),
            b"GET /x HTTP/1.1\r\nHost: odd.test\r\n\r\n".to_vec(),
        ];
        let coordinator = &mesh.coordinators.all[0].process;
        let open = async || {
            Ask::get("odd.test", "/after").send(mesh.fronts()[0]).await.unwrap();
            coordinator.open_files()
        };
        let (before, rss) = (open().await, coordinator.rss());
        for to in ways(&mesh) {
            for bytes in &garbage {
                for half_closes in [true, false] {
                    let mut stream = TcpStream::connect(to).await.unwrap();
                    let _ = stream.write_all(bytes).await;
                    if half_closes {
                        // It may be answered, it may be cut off; it may not hang.
                        let _ = stream.shutdown().await;
                        let mut rest = Vec::new();
                        let end = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
                        assert!(end.is_ok(), "{:?} hangs at {to}", String::from_utf8_lossy(bytes));
                        assert!(
                            rest.is_empty() || rest.starts_with(b"HTTP/1.") || rest[3] < 10,
                            "{:?}",
                            String::from_utf8_lossy(&rest)
                        );
                    }
                }
            }
        }
        // A pool may keep a connection or two to the origin.
        await_until(async || open().await <= before + 3, SOON, "connections are back to where they were").await;
        await_until(async || mesh.origin.under_way() == 0, SOON, "nothing is under way").await;
        let grown = coordinator.rss().saturating_sub(rss) >> 20;
        assert!(grown < 20, "the coordinator grew by {grown} MiB");
        for to in ways(&mesh) {
            let answer = Connection::open(to).await.unwrap().send(&Ask::get("odd.test", "/after")).await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "all is well".to_owned()));
        }
    });
}

#[test]
fn a_query_of_any_kind_is_part_of_the_key_in_its_normal_form() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/query", |request| {
            Reply::fresh(3600, request.uri.query().map_or("none".to_owned(), |query| format!("[{query}]")))
        });
        for to in ways(&mesh) {
            for query in ["", "?", "?a", "?a=", "?a=1&a=2", "?a=2&a=1", "?%61=1", "?x=/../y", "?utm_source=x"] {
                // Only what is encoded for nothing is written otherwise (RFC 3986 section 6.2.2.2).
                let normal = query.replace("%61", "a");
                let expected = normal.strip_prefix('?').map_or("none".to_owned(), |query| format!("[{query}]"));
                for _ in 0..2 {
                    let answer = Ask::get("odd.test", &format!("/query{query}")).send(to).await.unwrap();
                    assert_eq!((answer.status, answer.text()), (200, expected.clone()), "{query} at {to}");
                }
            }
        }
        assert_eq!(mesh.origin.hits("/query"), 9);
        // Where the group leaves parameters out, the origin does not see them either.
        mesh.origin.on("/tracked", |request| Reply::fresh(3600, request.uri.query().unwrap_or("none").to_owned()));
        for query in ["utm_source=a&q=1", "q=1&utm_medium=b", "q=1"] {
            let answer = Ask::get(SHOP, &format!("/tracked?{query}")).send(mesh.fronts()[0]).await.unwrap();
            assert_eq!(answer.text(), "q=1");
        }
        assert_eq!(mesh.origin.hits("/tracked"), 1);
    });
}
