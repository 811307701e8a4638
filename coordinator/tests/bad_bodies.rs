//! Origins whose bodies are wrong: what each client gets, and what is left afterwards. One test, so that descriptors can be
//! counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plane;

use plane::{
    Front, HOST, MIB, Origin,
    stream::{Streaming, open},
    until,
};
use serde_json::json;
use std::sync::Arc;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Semaphore, watch},
};

/// What an origin does after half of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It hangs up.
    Ends,
    /// It resets the connection.
    Resets,
    /// It sends more than it said.
    Exceeds,
    /// It sends the rest byte by byte, each when the one before has arrived.
    Trickles,
    /// It never ends.
    Streams,
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag: \"1\"\r\naccept-ranges: bytes\r\nconnection: close\r\n";
/// Bodies over this are not stored.
const LIMIT: usize = 64 << 10;
/// The bytes that trickle.
const TRICKLE: usize = 50;

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

fn framed(is_chunked: bool, bytes: &[u8]) -> Vec<u8> {
    if is_chunked && !bytes.is_empty() {
        [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
    } else {
        bytes.to_vec()
    }
}

/// Answers one request. `go`: a permit for the fault, and one for each byte that trickles.
async fn misbehave(mut stream: TcpStream, fault: Fault, len: usize, is_chunked: bool, go: &Semaphore) -> Option<()> {
    let body = numbered(len);
    let framing = if is_chunked { "transfer-encoding: chunked".into() } else { format!("content-length: {len}") };
    let half = framed(is_chunked, &body[..len / 2]);
    stream.write_all(&[format!("{HEAD}{framing}\r\n\r\n").as_bytes(), &half].concat()).await.ok()?;
    let end: &[u8] = if is_chunked { b"0\r\n\r\n" } else { b"" };
    go.acquire().await.ok()?.forget();
    match fault {
        Fault::Ends => stream.shutdown().await.ok(),
        Fault::Resets => stream.set_zero_linger().ok(),
        Fault::Exceeds => {
            let rest = framed(is_chunked, &body[len / 2..]);
            stream.write_all(&[&rest, end, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"].concat()).await.ok()
        }
        Fault::Trickles => {
            let (slow, fast) = body[len / 2..].split_at(TRICKLE);
            for byte in slow {
                stream.write_all(&framed(is_chunked, &[*byte])).await.ok()?;
                go.acquire().await.ok()?.forget();
            }
            stream.write_all(&[&framed(is_chunked, fast), end].concat()).await.ok()?;
            stream.shutdown().await.ok()
        }
        Fault::Streams => loop {
            stream.write_all(&framed(true, &body)).await.ok()?;
        },
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_origin_does_in_a_body_each_client_has_its_bytes_and_nothing_is_left() {
    for (fault, len, is_chunked) in [Fault::Ends, Fault::Resets, Fault::Exceeds, Fault::Trickles]
        .into_iter()
        .flat_map(|fault| [1000, 5 * LIMIT].map(|len| (fault, len)))
        .flat_map(|(fault, len)| [false, true].map(|is_chunked| (fault, len, is_chunked)))
        .chain([(Fault::Streams, 2 * LIMIT, true)])
    {
        let row = format!("{fault:?}, {len} bytes, chunked: {is_chunked}");
        let (go, (ended, mut ends)) = (Arc::new(Semaphore::new(0)), watch::channel(false));
        let (own, ended) = (go.clone(), Arc::new(ended));
        let origin = Origin::scripted(move |_, mut stream| {
            let (go, ended) = (own.clone(), ended.clone());
            async move {
                if !plane::read_head(&mut stream).await.is_empty() {
                    misbehave(stream, fault, len, is_chunked, &go).await;
                    ended.send_replace(true);
                }
            }
        })
        .await;
        let limits = json!({"limits": {"object": LIMIT, "window": MIB}});
        let front = Front::new(&origin, limits).await;
        let before = descriptors();
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut one = open(front.data, "GET", "/", &[HOST, ("connection", "close")]).await;
            one.read(len / 2).await;
            clients.push(one);
        }
        assert_eq!(origin.count(), 1, "{row}");
        let body = numbered(len);
        match fault {
            Fault::Trickles => {
                go.add_permits(1);
                for at in 0..TRICKLE {
                    for client in &mut clients {
                        client.read(len / 2 + at + 1).await;
                    }
                    go.add_permits(1);
                }
            }
            Fault::Streams => {
                go.add_permits(1);
                let reading = clients.drain(..).map(|mut one: Streaming| {
                    tokio::spawn(async move {
                        one.read(20 * LIMIT).await;
                    })
                });
                for one in reading.collect::<Vec<_>>() {
                    one.await.unwrap();
                }
            }
            _ => go.add_permits(1),
        }
        let is_whole = matches!(fault, Fault::Exceeds | Fault::Trickles);
        let expected = if is_whole { &body[..] } else { &body[..len / 2] };
        for client in clients.into_iter().map(|one| tokio::spawn(one.end())).collect::<Vec<_>>() {
            let (got, whole) = client.await.unwrap();
            assert!(got == expected && whole == is_whole, "{row}: {} bytes, whole: {whole}", got.len());
        }
        ends.wait_for(|ended| *ended).await.unwrap();
        until(&row, || front.cache.in_flight() == (0, 0, 0) && front.metrics.flights.get() == 0).await;
        let stored = u64::from(is_whole && len < LIMIT);
        assert_eq!(front.cache.usage()[0].items, stored, "{row}");
        until(&format!("{row}: {} descriptors, {before} before", descriptors()), || descriptors() <= before).await;
    }
}
