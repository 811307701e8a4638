//! RFC 9110 sections 6.5 and 15.2: what comes before an answer's head and after its body. An origin that speaks byte by
//! byte.

use std::net::SocketAddr;

use meshcache_tests::{
    Ask, Coordinator, Mesh, Origin, Reply,
    origin::bad::{BadOrigin, Manner},
    raw,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 5\r\n\r\nhello";
const TRAILERS: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ntrailer: x-after\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-after: 1\r\n\r\n";

async fn says(bytes: String) -> (BadOrigin, Coordinator) {
    let origin = BadOrigin::start(Manner::Says(bytes.into_bytes())).await;
    let cache = Coordinator::in_front_of(&origin.url(), &[]).await;
    (origin, cache)
}

async fn exchange(to: SocketAddr, request: &str) -> String {
    String::from_utf8(raw::exchange(to, request.as_bytes()).await.unwrap()).unwrap()
}

/// What comes until `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let read = async {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            all.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(all).unwrap()
    };
    tokio::time::timeout(meshcache_tests::client::PATIENCE, read).await.expect("it comes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interim_answer_is_seen_before_there_is_an_answer() {
    let origin = BadOrigin::start(Manner::SaysThenSilence(HINT.into())).await;
    let cache = Coordinator::in_front_of(&origin.url(), &[]).await;
    for method in ["GET", "HEAD", "DELETE"] {
        let mut stream = TcpStream::connect(cache.ports.data).await.unwrap();
        stream.write_all(format!("{method} /{method} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
        let hint = read_until(&mut stream, "\r\n\r\n").await;
        assert_eq!(
            hint, "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nvia: 1.1 meshcache\r\n\r\n",
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_are_nothing_that_is_stored() {
    let (origin, cache) = says(format!("{HINT}HTTP/1.1 100 Continue\r\n\r\n{HINT}{ANSWER}")).await;
    let to = cache.ports.data;
    let mut stream = TcpStream::connect(to).await.unwrap();
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        read_until(stream, "hello").await
    };
    let first = ask(&mut stream).await;
    assert_eq!((first.matches("HTTP/1.1 103").count(), first.matches("HTTP/1.1 100").count()), (2, 0), "{first}");
    let answer = first.split("\r\n\r\n").nth(2).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("link"), "{first}");
    let second = ask(&mut stream).await;
    assert!(
        second.starts_with("HTTP/1.1 200 OK\r\n") && second.contains("; hit") && !second.contains("link"),
        "{second}"
    );
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_http_1_0_sees_no_interim_answer() {
    let (_origin, cache) = says(format!("{HINT}{ANSWER}")).await;
    let answer = exchange(cache.ports.data, "GET / HTTP/1.0\r\nhost: h\r\n\r\n").await;
    assert!(
        answer.split(' ').nth(1) == Some("200") && answer.ends_with("hello") && !answer.contains("103"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn via_names_the_version_that_each_message_came_in() {
    let (_origin, cache) = says(ANSWER.replace("HTTP/1.1", "HTTP/1.0")).await;
    for word in ["stored", "hit"] {
        let answer = exchange(cache.ports.data, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert!(answer.contains(word) && answer.contains("via: 1.0 meshcache\r\n"), "{answer}");
    }
    let origin = Origin::start().await;
    origin.always("/", Reply::status(204));
    let cache = Coordinator::in_front_of(&origin.url(), &[]).await;
    for version in ["1.0", "1.1"] {
        exchange(cache.ports.data, &format!("GET / HTTP/{version}\r\nhost: h\r\n\r\n")).await;
        assert_eq!(origin.latest("/").header("via"), format!("{version} meshcache"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_left_out_of_what_is_stored() {
    let (_origin, cache) = says(TRAILERS.into()).await;
    for word in ["stored", "hit"] {
        let answer =
            exchange(cache.ports.data, "GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
        assert!(
            answer.contains(word) && answer.ends_with("\r\n\r\nhello") && !answer.contains("x-after: 1"),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_left_out_of_what_streams_through() {
    let (_origin, cache) = says(TRAILERS.replace("max-age=600", "no-store")).await;
    let answer =
        exchange(cache.ports.data, "GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    assert!(
        answer.contains("detail=no-store")
            && answer.ends_with("5\r\nhello\r\n0\r\n\r\n")
            && !answer.contains("x-after"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_envoy_the_answer_alone_is_stored() {
    for bytes in [format!("{HINT}{ANSWER}"), TRAILERS.to_owned()] {
        let origin = BadOrigin::start(Manner::Says(bytes.into_bytes())).await;
        let mesh =
            Mesh::of(1, 1).groups(|groups| groups.plus("odd", json!({"origin": {"url": origin.url()}}))).start().await;
        for word in ["stored", "hit"] {
            let answer = Ask::get("odd.test", "/").send(mesh.fronts()[0]).await.unwrap();
            assert!(answer.cache_status().contains(word), "{answer:?}");
            assert_eq!(
                (answer.status, answer.text(), answer.has("link"), answer.has("x-after")),
                (200, "hello".to_owned(), false, false),
                "{answer:?}"
            );
        }
        assert_eq!(origin.accepted(), 1);
    }
}
