//! An owner that is killed in the middle of a body: readers at other coordinators have the rest from elsewhere, of the
//! same version, or are cut.
//!
//! Long: each case has its owner, its death, and what is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plane;

use meshcache_coordinator::settings::Identity;
use meshcache_protocol::{Peer, Ring};
use parking_lot::Mutex;
use plane::{Front, MIB, Origin, stream, until};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The body, and how much of it the first connection of the origin sends.
const BODY: usize = 100_000;
const HALF: usize = 50_000;

fn body() -> Vec<u8> {
    (0..BODY).map(|n| (n % 251) as u8).collect()
}

/// An origin whose first answer stops in the middle, and never ends. All later ones are `rest`: head and bytes.
struct HalfWay {
    origin: Origin,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn half_way(fields: &'static str, rest: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> HalfWay {
    let (asked, rest) = (Arc::new(Mutex::new(Vec::new())), Arc::new(rest));
    let seen = asked.clone();
    let origin = Origin::scripted(move |n, mut stream| {
        let (seen, rest) = (seen.clone(), rest.clone());
        async move {
            let head = plane::read_head(&mut stream).await.to_ascii_lowercase();
            let answer = if n == 0 {
                let head =
                    format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{fields}content-length: {BODY}\r\n\r\n");
                [head.as_bytes(), &body()[..HALF]].concat()
            } else {
                rest(&head)
            };
            seen.lock().push(head);
            let _ = stream.write_all(&answer).await;
            std::future::pending::<()>().await;
        }
    });
    HalfWay { origin: origin.await, asked }
}

/// A 206 of this tag from the offset that was asked for.
fn part(head: &str, tag: &str) -> Vec<u8> {
    let from = head.split_once("range: bytes=").expect("a range is asked for").1.split('-').next().unwrap();
    let from: usize = from.parse().unwrap();
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncache-control: max-age=60\r\netag: {tag}\r\ncontent-range: bytes {from}-{}/{BODY}\r\ncontent-length: {}\r\n\r\n",
        BODY - 1,
        BODY - from
    );
    [head.as_bytes(), &body()[from..]].concat()
}

/// A way to a coordinator's peer port that ends as if its process were killed.
struct Wire {
    address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Wire {
    async fn to(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (cut, is_cut)) = (listener.local_addr().unwrap(), watch::channel(false));
        tokio::spawn(async move {
            let mut over = is_cut.clone();
            let accept = async {
                loop {
                    let (mut near, _) = listener.accept().await.unwrap();
                    let mut over = is_cut.clone();
                    tokio::spawn(async move {
                        let mut far = TcpStream::connect(peer).await.unwrap();
                        tokio::select! {
                            _ = copy_bidirectional(&mut near, &mut far) => {}
                            _ = over.wait_for(|cut| *cut) => {}
                        }
                    });
                }
            };
            tokio::select! {
                () = accept => {}
                _ = over.wait_for(|cut| *cut) => {}
            }
        });
        Self { address, cut }
    }
}

/// Coordinators of one ring whose peer ports can be cut off.
struct Mesh {
    fronts: Vec<(Front, Wire)>,
}

impl Mesh {
    async fn new(origin: &Origin, names: &[&str]) -> Self {
        Self::with(origin, names, json!({})).await
    }

    async fn with(origin: &Origin, names: &[&str], group: Value) -> Self {
        let (mut fronts, mut peers) = (Vec::new(), Vec::new());
        for name in names {
            let front = Front::with(origin, group.clone(), 64 * MIB, name, Identity::None).await;
            let wire = Wire::to(front.peer).await;
            peers.push(Peer { name: (*name).into(), data: front.data.to_string(), peer: wire.address.to_string() });
            fronts.push((front, wire));
        }
        let ring = Arc::new(Ring::new(peers));
        for (front, _) in &fronts {
            front.cache.cluster.set_ring(ring.clone());
            front.cache.set_peer_token(Some("token".into()));
        }
        Self { fronts }
    }

    /// A reader at each coordinator that has half of the body; and which of them owns it.
    async fn readers(&self) -> (Vec<Reader>, usize) {
        let mut readers = Vec::new();
        for (front, _) in &self.fronts {
            readers.push(Reader::half(front).await);
        }
        let asked = |(front, _): &(Front, Wire)| front.group().server_requests.get() > 0;
        (readers, self.fronts.iter().position(asked).expect("one of them is asked by the others"))
    }
}

/// A client in the middle of a body.
struct Reader {
    stream: TcpStream,
    got: Vec<u8>,
}

impl Reader {
    async fn half(front: &Front) -> Self {
        let mut stream = TcpStream::connect(front.data).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let head = plane::read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut got = vec![0; HALF];
        stream.read_exact(&mut got).await.unwrap();
        Self { stream, got }
    }

    /// All that it gets.
    async fn end(mut self) -> Vec<u8> {
        let _ = self.stream.read_to_end(&mut self.got).await;
        self.got
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_owner_leaves_unfinished_comes_from_the_origin_and_readers_notice_nothing() {
    for (fields, condition, tag) in [
        ("etag: \"1\"\r\n", "if-range: \"1\"\r\n", "\"1\""),
        ("etag: \"1\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "if-range: \"1\"\r\n", "\"1\""),
    ] {
        let half = half_way(fields, move |head| part(head, tag)).await;
        let mesh = Mesh::new(&half.origin, &["one", "two"]).await;
        let (mut readers, owner) = mesh.readers().await;
        let (other, others) = (&mesh.fronts[1 - owner].0, readers.remove(1 - owner));
        let late = Reader::half(other).await;
        mesh.fronts[owner].1.cut.send_replace(true);
        assert!(others.end().await == body() && late.end().await == body());
        let asked = half.asked.lock().clone();
        assert_eq!(asked.len(), 2, "one load, and one request for the rest of it: {asked:?}");
        assert!(
            asked[1].contains(&format!("range: bytes={HALF}-\r\n")) && asked[1].contains(condition),
            "{}",
            asked[1]
        );
        until("nothing is left", || other.cache.in_flight() == (0, 0, 0) && other.metrics.flights.get() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_are_never_mixed_and_what_cannot_go_on_is_cut() {
    type Rest = fn(&str) -> Vec<u8>;
    let another: Rest = |head| part(head, "\"2\"");
    let whole: Rest = |_| {
        let head = format!("HTTP/1.1 200 OK\r\netag: \"2\"\r\ncontent-length: {BODY}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; BODY]].concat()
    };
    let shorter: Rest =
        |_| b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */10\r\ncontent-length: 0\r\n\r\n".to_vec();
    let fails: Rest = |_| b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec();
    for (what, fields, rest, requests) in [
        ("another tag", "etag: \"1\"\r\n", another, 2),
        ("another whole", "etag: \"1\"\r\n", whole, 2),
        ("a shorter one", "etag: \"1\"\r\n", shorter, 2),
        ("no answer", "etag: \"1\"\r\n", fails, 2),
        ("a weak tag", "etag: W/\"1\"\r\n", whole, 1),
        ("no validator", "", whole, 1),
    ] {
        let half = half_way(fields, rest).await;
        let mesh = Mesh::new(&half.origin, &["one", "two"]).await;
        let (mut readers, owner) = mesh.readers().await;
        let (other, reader) = (&mesh.fronts[1 - owner].0, readers.remove(1 - owner));
        mesh.fronts[owner].1.cut.send_replace(true);
        let got = reader.end().await;
        assert!(got == body()[..HALF], "{what}: {} bytes", got.len());
        until("nothing is left", || other.cache.in_flight() == (0, 0, 0) && other.metrics.flights.get() == 0).await;
        assert_eq!((half.asked.lock().len(), other.cache.usage()[0].items), (requests, 0), "{what}");
        assert_eq!(other.group().peer_errors.get(), 1, "{what}: the owner is to blame, once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_peer_is_asked_for_the_rest_before_the_origin() {
    let half = half_way("etag: \"1\"\r\n", |head| {
        if head.contains("range: ") {
            return part(head, "\"1\"");
        }
        let head =
            format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag: \"1\"\r\ncontent-length: {BODY}\r\n\r\n");
        [head.into_bytes(), body()].concat()
    })
    .await;
    let mesh = Mesh::new(&half.origin, &["one", "two", "three"]).await;
    let (mut readers, owner) = mesh.readers().await;
    drop(readers.remove(owner));
    mesh.fronts[owner].1.cut.send_replace(true);
    for reader in readers {
        assert!(reader.end().await == body());
    }
    let asked = half.asked.lock().len();
    assert!(asked <= 3, "the first load, the rest, and what the new owner stores: {asked}");
}

/// Bytes of a slice count from its file's beginning at the origin, and from its own at peers: it is fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_whose_owner_is_killed_is_loaded_again_and_no_other_bytes_are_asked_for() {
    const SLICE: usize = 65_536;
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    let origin = Origin::scripted(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            let head = plane::read_head(&mut stream).await.to_ascii_lowercase();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let range = head.lines().find_map(|line| line.strip_prefix("range: ")).unwrap_or("none").to_owned();
            let is_first_time = {
                let (mut all, one) = (seen.lock(), format!("{target} {range}"));
                all.push(one.clone());
                all.iter().filter(|asked| **asked == one).count() == 1
            };
            let from: usize = range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap();
            let to = BODY.min(from + SLICE);
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\ncache-control: max-age=60\r\netag: \"1\"\r\ncontent-range: bytes {from}-{}/{BODY}\r\ncontent-length: {}\r\n\r\n",
                to - 1,
                to - from
            );
            // The later slice stops in the middle, the first time.
            let sent = if from > 0 && is_first_time { from + (to - from) / 2 } else { to };
            let _ = stream.write_all(&[head.as_bytes(), &body()[from..sent]].concat()).await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let group = json!({"limits": {"slices": "64KiB", "object": "1MiB"}});
    let mesh = Mesh::with(&origin, &["one", "two"], group).await;
    let (front, owner) = (&mesh.fronts[0].0, &mesh.fronts[1]);
    let (half, mut n) = (SLICE + (BODY - SLICE) / 2, 0);
    // A file whose later slice the other one owns.
    let (target, mut stream) = loop {
        let target = format!("/{n}");
        let mut stream = stream::get(front.data, &target).await;
        stream.read(half).await;
        if owner.0.metrics.flights.get() > 0 {
            break (target, stream);
        }
        n += 1;
    };
    owner.1.cut.send_replace(true);
    assert!(stream.read(BODY).await == body());
    let asked: Vec<_> = asked.lock().iter().filter(|one| one.starts_with(&format!("{target} "))).cloned().collect();
    let of = |range: &str| format!("{target} bytes={range}");
    assert_eq!(asked, [of("0-65535"), of("65536-131071"), of("65536-131071")]);
}

/// A number from 0 to below this, by a seed (SplitMix64).
fn roll(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) % below as u64) as usize
}

/// A body of a version: no two have a byte in common at any place.
fn body_of(version: u8) -> Vec<u8> {
    body().into_iter().map(|byte| byte.wrapping_add(version * 7)).collect()
}

/// Coordinators are killed one after another in the middle of bodies that come in parts, from an origin whose version
/// changes and whose connections break.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_and_whatever_changes_nobody_gets_two_versions_or_a_part_as_the_whole() {
    let mut whole = 0;
    for seed in 1..=12u64 {
        let dice = Arc::new(Mutex::new(seed));
        let (rolls, loads) = (dice.clone(), Arc::new(Mutex::new((0usize, 0u8))));
        let counted = loads.clone();
        let origin = Origin::scripted(move |_, mut stream| {
            let (rolls, counted) = (rolls.clone(), counted.clone());
            async move {
                let head = plane::read_head(&mut stream).await.to_ascii_lowercase();
                let (breaks, pieces, version) = {
                    let (mut seed, mut counted) = (rolls.lock(), counted.lock());
                    counted.0 += 1;
                    counted.1 += u8::from(roll(&mut seed, 6) == 0);
                    (roll(&mut seed, 8) == 0, 5 + roll(&mut seed, 20), counted.1)
                };
                let (tag, body) = (format!("\"{version}\""), body_of(version));
                let range =
                    head.split_once("range: bytes=").and_then(|(_, range)| range.split('-').next()?.parse().ok());
                let from = range.filter(|_| head.contains(&format!("if-range: {tag}\r\n"))).unwrap_or(0);
                let status = match from {
                    0 => "200 OK".to_owned(),
                    _ => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{BODY}", BODY - 1),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncache-control: max-age=60\r\netag: {tag}\r\ncontent-length: {}\r\n\r\n",
                    BODY - from
                );
                let rest = &body[from..];
                let rest = if breaks { &rest[..rest.len() / 2] } else { rest };
                let _ = stream.write_all(head.as_bytes()).await;
                for piece in rest.chunks(BODY / pieces) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                }
            }
        });
        let mesh = Mesh::new(&origin.await, &["one", "two", "three", "four"]).await;
        let readers: Vec<_> = mesh
            .fronts
            .iter()
            .map(|(front, _)| {
                let data = front.data;
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(data).await.unwrap();
                    stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
                    let head = plane::read_head(&mut stream).await;
                    let mut got = Vec::new();
                    let _ = stream.read_to_end(&mut got).await;
                    (head, got)
                })
            })
            .collect();
        // Two of four are lost, one after the other, while bodies are on their way. The pauses are the schedule itself.
        for _ in 0..2 {
            let (pause, at) = {
                let mut seed = dice.lock();
                (roll(&mut seed, 60) as u64, roll(&mut seed, 4))
            };
            tokio::time::sleep(std::time::Duration::from_millis(20 + pause)).await;
            mesh.fronts[at].1.cut.send_replace(true);
        }
        for reader in readers {
            let (head, got) = reader.await.unwrap();
            if !head.starts_with("HTTP/1.1 200") {
                continue;
            }
            assert!(
                (0..=30).any(|version| body_of(version).starts_with(&got)),
                "seed {seed}: {} bytes of no one version",
                got.len()
            );
            whole += usize::from(got.len() == BODY);
            assert!(got.len() == BODY || head.contains(&format!("content-length: {BODY}")), "seed {seed}: {head}");
        }
        let loads = loads.lock().0;
        assert!(loads <= 12, "seed {seed}: at most three for each coordinator, not {loads}");
    }
    assert!(whole > 24, "most have the whole: {whole} of 48");
}
