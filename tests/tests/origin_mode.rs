//! `--origin URL` and nothing else: a good caching reverse proxy in one process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshcache_tests::load::{Until, load};
use meshcache_tests::port::Refused;
use meshcache_tests::wait::SOON;
use meshcache_tests::{Ask, Connection, Coordinator, Origin, Reply, await_until, herd, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Any host is this cache's own: all of them are the one origin's.
const HOST: &str = "anything.test";

async fn cache(arguments: &[&str]) -> (Origin, Coordinator) {
    let origin = Origin::start().await;
    let cache = Coordinator::in_front_of(&origin.url(), arguments).await;
    (origin, cache)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_caches_what_the_origin_lets_it_cache() {
    let (origin, cache) = cache(&[]).await;
    let to = cache.ports.data;
    let stored = [
        ("/max-age", Reply::fresh(60, "x")),
        ("/s-maxage", Reply::ok("x").header("cache-control", "private=\"x-none\", s-maxage=60, max-age=0")),
        ("/cdn", Reply::ok("x").header("cache-control", "no-store").header("cdn-cache-control", "max-age=60")),
        ("/own", Reply::ok("x").header("cache-control", "no-store").header("meshcache-control", "max-age=60")),
        ("/heuristic", Reply::ok("x").header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")),
        ("/missing", Reply::fresh(60, "x").with_status(404)),
        ("/gone", Reply::fresh(60, "x").with_status(410)),
        ("/moved", Reply::fresh(60, "").with_status(301).header("location", "/elsewhere")),
    ];
    for (path, reply) in stored {
        origin.always(path, reply);
        let first = Ask::get(HOST, path).send(to).await.unwrap();
        let second = Ask::get(HOST, path).send(to).await.unwrap();
        assert_eq!((first.status, &first.body), (second.status, &second.body), "{path}");
        assert!(second.cache_status().contains("; hit") && second.has("age"), "{path}: {second:?}");
        assert_eq!(origin.hits(path), 1, "{path}");
    }
    let not_stored = [
        ("/nothing", Reply::ok("x")),
        ("/no-store", Reply::ok("x").header("cache-control", "no-store, max-age=60")),
        ("/private", Reply::ok("x").header("cache-control", "private, max-age=60")),
        (
            "/cookie",
            Reply::ok("x").header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT").header("set-cookie", "session=1"),
        ),
        ("/vary", Reply::fresh(60, "x").header("vary", "*")),
        ("/expired", Reply::ok("x").header("expires", "0")),
        ("/teapot", Reply::ok("x").with_status(418)),
    ];
    for (path, reply) in not_stored {
        origin.always(path, reply);
        for i in 1..=2 {
            let answer = Ask::get(HOST, path).send(to).await.unwrap();
            assert!(answer.text() == "x" && !answer.cache_status().contains("; hit"), "{path}: {answer:?}");
            assert_eq!(origin.hits(path), i, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_obeys_what_clients_say_of_caching() {
    let (origin, cache) = cache(&[]).await;
    origin.on("/obeys", |request| Reply::fresh(60, request.nth.to_string()));
    let ask = async |directive: &str| {
        let ask = Ask::get(HOST, "/obeys");
        let ask = if directive.is_empty() { ask } else { ask.header("cache-control", directive) };
        ask.send(cache.ports.data).await.unwrap()
    };
    assert_eq!(ask("only-if-cached").await.status, 504);
    assert_eq!(origin.hits("/obeys"), 0);
    assert_eq!(ask("").await.text(), "1");
    assert_eq!(ask("only-if-cached").await.text(), "1");
    assert_eq!(ask("no-cache").await.text(), "2");
    assert_eq!(ask("").await.text(), "2", "the newer one took its place");
    assert_eq!(ask("no-store").await.status, 200);
    assert_eq!(ask("max-age=60").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_for_one_cold_page_is_one_load() {
    let (origin, cache) = cache(&[]).await;
    origin.always("/", Reply::fresh(60, "x").delay(std::time::Duration::from_millis(300)));
    let herd = herd(500, &[cache.ports.data], |_| Ask::get(HOST, "/")).await;
    herd.expect_all_ok();
    assert_eq!(origin.hits("/"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_bodies_redirects_and_errors_go_through() {
    let (origin, cache) = cache(&[]).await;
    origin.on("/echo", |request| {
        Reply::ok(request.body.clone())
            .header("x-method", request.method.as_str())
            .header("x-type", request.header("content-type"))
    });
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let ask = Ask::new(method, HOST, "/echo").header("content-type", "text/x").body(format!("by {method}"));
        for i in 1..=2 {
            let answer = ask.send(cache.ports.data).await.unwrap();
            assert_eq!(
                (answer.status, answer.text(), answer.header("x-method"), answer.header("x-type")),
                (200, format!("by {method}"), method.to_owned(), "text/x".to_owned()),
                "{i}"
            );
        }
    }
    assert_eq!(origin.hits("/echo"), 12);
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/to/{status}");
        origin.always(&path, Reply::status(status).header("location", "/elsewhere?x=1"));
        let answer = Ask::get(HOST, &path).send(cache.ports.data).await.unwrap();
        assert_eq!((answer.status, answer.header("location")), (status, "/elsewhere?x=1".to_owned()));
    }
    assert_eq!(origin.hits("/elsewhere"), 0, "it follows no redirect");
    for status in [204, 401, 500, 503] {
        let path = format!("/says/{status}");
        origin.always(&path, Reply::status(status).header("www-authenticate", "Basic"));
        let answer = Ask::get(HOST, &path).send(cache.ports.data).await.unwrap();
        assert_eq!((answer.status, answer.header("www-authenticate")), (status, "Basic".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_ranges_and_conditions_are_answered_as_the_origin_would() {
    let (origin, cache) = cache(&[]).await;
    origin.on("/page", |request| {
        let reply = match (request.header("range").as_str(), request.header("if-none-match").as_str()) {
            (_, "\"e\"") => Reply::status(304),
            ("bytes=2-4", _) => Reply::ok("cde").with_status(206).header("content-range", "bytes 2-4/10"),
            ("bytes=99-", _) => Reply::status(416).header("content-range", "bytes */10"),
            _ => Reply::ok("abcdefghij"),
        };
        reply.header("etag", "\"e\"").header("cache-control", "max-age=60").header("accept-ranges", "bytes")
    });
    let to = cache.ports.data;
    for round in ["cold", "warm"] {
        let page = Ask::get(HOST, "/page");
        let head = Ask::new("HEAD", HOST, "/page").send(to).await.unwrap();
        assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "10".to_owned()), "{round}");
        let part = page.clone().header("range", "bytes=2-4").send(to).await.unwrap();
        assert_eq!(
            (part.status, part.text(), part.header("content-range")),
            (206, "cde".to_owned(), "bytes 2-4/10".to_owned()),
            "{round}"
        );
        let beyond = page.clone().header("range", "bytes=99-").send(to).await.unwrap();
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */10".to_owned()), "{round}");
        let same = page.clone().header("if-none-match", "\"e\"").send(to).await.unwrap();
        assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, "\"e\"".to_owned()), "{round}");
        let other = page.clone().header("if-none-match", "\"old\"").send(to).await.unwrap();
        assert_eq!((other.status, other.text()), (200, "abcdefghij".to_owned()), "{round}");
        assert_eq!(page.send(to).await.unwrap().text(), "abcdefghij", "{round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_alive_on_both_sides() {
    let (origin, cache) = cache(&[]).await;
    origin.on("*", |request| Reply::ok(request.nth.to_string()).header("cache-control", "no-store"));
    let mut connection = Connection::open(cache.ports.data).await.unwrap();
    for i in 1..=50 {
        let answer = connection.send(&Ask::get(HOST, "/again")).await.unwrap();
        assert_eq!(answer.text(), i.to_string());
    }
    assert!(origin.connections() <= 2, "{} connections for requests one after another", origin.connections());
    // HTTP/1.0 without keep-alive is closed after its answer.
    let answer = raw::exchange(cache.ports.data, b"GET /again HTTP/1.0\r\nHost: anything.test\r\n\r\n").await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.") && answer.ends_with(b"51"), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_http2_without_tls() {
    let (origin, cache) = cache(&[]).await;
    origin.always("/two", Reply::fresh(60, "over two"));
    let stream = TcpStream::connect(cache.ports.data).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("http://anything.test/two").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "over two");
    }
    let plain = Ask::get(HOST, "/two").send(cache.ports.data).await.unwrap();
    assert_eq!((plain.text(), origin.hits("/two")), ("over two".to_owned(), 1), "both versions share the answer");
}

/// Reads an answer without keeping it: how many bytes of body there were.
async fn swallow(to: SocketAddr, path: &str) -> usize {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let (mut all, mut head, mut buffer) = (0, None, vec![0; 1 << 20]);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            return all - head.unwrap_or_default();
        }
        if head.is_none() {
            let end =
                buffer[..read].windows(4).position(|four| four == b"\r\n\r\n").expect("the head comes in one piece");
            assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..end]));
            head = Some(end + 4);
        }
        all += read;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_larger_than_the_cache_streams_and_evicts_nothing() {
    let (origin, cache) = cache(&["--store-bytes", "100MiB"]).await;
    origin
        .forget_heads()
        .always("*", Reply::fresh(3600, vec![b'x'; 1024]))
        .always("/large", Reply::fresh(3600, vec![b'x'; 1 << 20]).repeated(200));
    let asks: Vec<Ask> = (0..5_000).map(|i| Ask::get(HOST, &format!("/small/{i}"))).collect();
    let to = cache.ports.data;
    let filled = load(&[to], &asks, 8, Until::Requests(5_000)).await;
    assert_eq!((filled.requests, &filled.errors), (5_000, &vec![]));
    let items = async || cache.metrics().await.sum("groupcache_cache_items", &[]);
    let (kept, loads) = (items().await, origin.total());
    cache.process.reset_peak_rss();
    let before = cache.process.rss();
    assert_eq!(swallow(to, "/large").await, 200 << 20);
    let grown = cache.process.peak_rss().saturating_sub(before);
    assert!(grown <= 10 << 20, "{} MiB more at the peak", grown >> 20);
    assert_eq!((items().await, origin.total()), (kept, loads + 1), "nothing was evicted");
    assert_eq!(cache.metrics().await.sum("groupcache_cache_evictions_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_body_streams_too() {
    // The body goes to a socket that only counts, so that nothing but the cache could hold it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    const SIZE: usize = 200 << 20;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
        while read < SIZE {
            read += stream.read(&mut buffer).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
        stream
    });
    let cache = Coordinator::in_front_of(&url, &[]).await;
    cache.process.reset_peak_rss();
    let before = cache.process.rss();
    let mut stream = TcpStream::connect(cache.ports.data).await.unwrap();
    stream
        .write_all(format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        stream.write_all(&piece).await.unwrap();
    }
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(SOON, stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    let grown = cache.process.peak_rss().saturating_sub(before);
    assert!(grown <= 10 << 20, "{} MiB more at the peak", grown >> 20);
    drop(server.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_leave_to_send_gets_it() {
    let (origin, cache) = cache(&[]).await;
    origin.on("/expects", |request| Reply::ok(request.body.clone()));
    let mut stream = TcpStream::connect(cache.ports.data).await.unwrap();
    stream
        .write_all(
            format!("POST /expects HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    let mut all = Vec::new();
    let leave = async |stream: &mut TcpStream, all: &mut Vec<u8>, end: &[u8]| {
        while !all.ends_with(end) {
            let read = tokio::time::timeout(SOON, stream.read_buf(all)).await.unwrap().unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(all));
        }
    };
    leave(&mut stream, &mut all, b"\r\n\r\n").await;
    assert!(all.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&all));
    stream.write_all(b"body").await.unwrap();
    leave(&mut stream, &mut all, b"body").await;
    assert!(String::from_utf8_lossy(&all).contains("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_is_not_there_is_a_502() {
    let gone = Refused::new();
    let cache = Coordinator::in_front_of(&format!("http://{}", gone.addr), &[]).await;
    let answer = Ask::get(HOST, "/").send(cache.ports.data).await.unwrap();
    assert_eq!(answer.status, 502, "{answer:?}");
    let post = Ask::new("POST", HOST, "/").body("x").send(cache.ports.data).await.unwrap();
    assert_eq!(post.status, 502, "{post:?}");
    let back = Origin::takes(gone.listen()).await;
    back.always("/", Reply::fresh(60, "back"));
    await_until(
        async || Ask::get(HOST, "/").send(cache.ports.data).await.unwrap().text() == "back",
        SOON,
        "it is asked again",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_when_an_origin_fails_why_and_when_it_is_back() {
    let refused = Refused::new();
    let cache = Coordinator::in_front_of(&format!("http://{}", refused.addr), &[]).await;
    let ask = async |path: &str| Ask::get(HOST, path).send(cache.ports.data).await.unwrap().status;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(ask(path).await, 502);
    }
    let lines = |what: &str| {
        cache.process.log().lines().filter(|line| line.contains(what)).map(str::to_owned).collect::<Vec<_>>()
    };
    let fails = lines("origin does not answer");
    assert_eq!(fails.len(), 1, "{fails:?}");
    for part in ["WARN", "group=default", &refused.addr.to_string(), "reason=connect", "Connection refused"] {
        assert!(fails[0].replace('"', "").contains(part), "{part} in {fails:?}");
    }
    let listener = refused.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
    assert_eq!(ask("/4").await, 200);
    let back = async || lines("origin answers again").len() == 1;
    await_until(back, SOON, "its return is told").await;
    assert_eq!(lines("origin does not answer").len(), 1);
}
