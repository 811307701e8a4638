//! What the parts around meshcache really do, and that nobody meets it: the rows of docs/compatibility.md that no other test holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshcache_tests::groups::SHOP;
use meshcache_tests::wait::{SOON, await_until};
use meshcache_tests::{Ask, Mesh, Reply, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long it takes until the answer to this request is over, where that is when the connection ends.
async fn until_closed(to: SocketAddr, ask: &Ask) -> Duration {
    let begun = Instant::now();
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(&ask.wire()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200"), "{}", all.escape_ascii());
    begun.elapsed()
}

/// Asks until the proxy answers from its own memory.
async fn make_hot(mesh: &Mesh, ask: &Ask) {
    let hot = async || ask.send(mesh.fronts()[0]).await.is_ok_and(|answer| answer.cache_status().ends_with("detail=proxy"));
    await_until(hot, SOON, "it is in the hot cache").await;
}

#[test]
fn who_reads_to_the_end_of_the_connection_has_a_hot_answer_sooner_than_a_miss() {
    run(async {
        let mesh = Mesh::of(1, 1).start().await;
        mesh.origin.on("*", |_| Reply::fresh(600, "x").delay(Duration::from_millis(300)));
        let ask = |path: &str| Ask::get(SHOP, path);
        make_hot(&mesh, &ask("/hot")).await;
        let (mut hits, mut misses) = (Vec::new(), Vec::new());
        for n in 0..5 {
            hits.push(until_closed(mesh.fronts()[0], &ask("/hot").header("connection", "close")).await);
            misses.push(until_closed(mesh.fronts()[0], &ask(&format!("/miss/{n}")).header("connection", "close")).await);
        }
        hits.sort();
        misses.sort();
        // The origin's time is all that a miss waits for, and none of it a hit's.
        assert!(hits[2] < misses[2], "hits {hits:?}, misses {misses:?}");
    });
}

#[test]
fn a_client_that_pauses_in_the_middle_of_a_hot_answer_gets_the_rest_of_it() {
    run(async {
        let roomy = |configuration: &mut serde_json::Value| configuration["hot_bytes_per_worker"] = serde_json::json!("64MiB");
        let mesh = Mesh::of(1, 1).envoy(|envoy| envoy.filter(roomy)).start().await;
        // More than the kernel takes off a proxy's hands.
        let size = 7_900 * 1024;
        mesh.origin.on("*", move |_| Reply::fresh(600, vec![b'x'; size]));
        let ask = Ask::get(SHOP, "/large");
        make_hot(&mesh, &ask).await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // So little fits on the way that most of it waits in the proxy.
        socket.set_recv_buffer_size(4096).unwrap(); //X
        let mut stream = socket.connect(mesh.fronts()[0]).await.unwrap();
        stream.write_all(&ask.header("connection", "close").wire()).await.unwrap();
        let mut first = vec![0; 1024];
        stream.read_exact(&mut first).await.unwrap();
        // Longer than Envoy waits by default for a client that takes nothing.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest).await;
        let body = first.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!((end.is_ok(), first.len() - body + rest.len()), (true, size));
    });
}
