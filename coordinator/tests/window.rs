//! Answers that are too large for the store: how many loads a crowd is, what each client gets, and what is held of them.
//!
//! Long: an origin, crowds, and a test for each way in which readers part. The origin sends as much as the test has
//! allowed, so "while" is causality and no clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plane;

use meshcache_coordinator::settings::Identity;
use plane::{
    Front, HOST, MIB, Origin,
    stream::{self, Streaming, open},
    until,
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
};

/// What promises that a reader can go on by itself.
const STRONG: &str = "cache-control: max-age=60\r\netag: \"1\"\r\naccept-ranges: bytes\r\n";
const KIB: usize = 1024;

/// An origin with one large body, of which it sends as much as the test allows; the rest of it to whoever asks for that.
struct Large {
    origin: Origin,
    body: Arc<Vec<u8>>,
    /// To the first load, and to each later one.
    allowed: watch::Sender<[usize; 2]>,
    loads: Arc<AtomicUsize>,
    rests: Arc<AtomicUsize>,
    /// The bytes of all loads that have gone out.
    sent: Arc<AtomicUsize>,
}

/// How it says the length of its body, and what it answers to Range.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Announced,
    Chunked,
    /// It has another version by the time that somebody asks for the rest.
    Changes,
    /// It promises ranges, and answers with the whole.
    Forgets,
}

impl Large {
    async fn new(len: usize, fields: &'static str, kind: Kind) -> Self {
        let body: Arc<Vec<u8>> = Arc::new((0..len).map(|n| (n % 251) as u8).collect());
        let (allowed, allows) = watch::channel([0, 0]);
        let (loads, rests, sent): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (whole, counts) = (body.clone(), (loads.clone(), rests.clone(), sent.clone()));
        let origin = Origin::scripted(move |_, mut stream| {
            let (body, allows, (loads, rests, sent)) = (whole.clone(), allows.clone(), counts.clone());
            async move {
                loop {
                    let head = plane::read_head(&mut stream).await.to_ascii_lowercase();
                    let done = if let Some(range) = head.split("range: bytes=").nth(1).filter(|_| !head.is_empty()) {
                        rests.fetch_add(1, SeqCst);
                        send_rest(&mut stream, &body, range, kind, fields).await
                    } else if !head.is_empty() {
                        let load = loads.fetch_add(1, SeqCst).min(1);
                        send_all(&mut stream, &body, (load, allows.clone(), &sent), kind, fields).await
                    } else {
                        None
                    };
                    if done.is_none() {
                        return;
                    }
                }
            }
        });
        Self { origin: origin.await, body, allowed, loads, rests, sent }
    }

    fn allow(&self, bytes: usize) {
        self.allow_each(bytes, bytes);
    }

    fn allow_each(&self, first: usize, later: usize) {
        self.allowed.send_replace([first, later]);
    }

    /// The loads of the whole, and the requests for a rest.
    fn counts(&self) -> (usize, usize) {
        (self.loads.load(SeqCst), self.rests.load(SeqCst))
    }
}

async fn send_all(
    stream: &mut TcpStream,
    body: &[u8],
    (load, mut allows, sent): (usize, watch::Receiver<[usize; 2]>, &AtomicUsize),
    kind: Kind,
    fields: &str,
) -> Option<()> {
    let length = match kind {
        Kind::Chunked => "transfer-encoding: chunked".to_owned(),
        _ => format!("content-length: {}", body.len()),
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}{length}\r\n\r\n").as_bytes()).await.ok()?;
    let mut at = 0;
    while at < body.len() {
        let allowed = allows.wait_for(|allowed| allowed[load] > at).await.ok()?[load];
        let to = allowed.min(body.len()).min(at + 64 * KIB);
        if kind == Kind::Chunked {
            stream.write_all(format!("{:x}\r\n", to - at).as_bytes()).await.ok()?;
        }
        stream.write_all(&body[at..to]).await.ok()?;
        if kind == Kind::Chunked {
            stream.write_all(b"\r\n").await.ok()?;
        }
        sent.fetch_add(to - at, SeqCst);
        at = to;
    }
    if kind == Kind::Chunked {
        stream.write_all(b"0\r\n\r\n").await.ok()?;
    }
    Some(())
}

async fn send_rest(stream: &mut TcpStream, body: &[u8], range: &str, kind: Kind, fields: &str) -> Option<()> {
    if kind == Kind::Forgets {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n", body.len());
        return stream.write_all(&[head.as_bytes(), body].concat()).await.ok();
    }
    let (first, rest) = range.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = rest.split("\r\n").next()?.parse().unwrap_or(body.len() - 1);
    let head = if kind == Kind::Changes {
        format!("HTTP/1.1 206 Partial Content\r\n{}", fields.replace("\"1\"", "\"2\""))
    } else {
        format!("HTTP/1.1 206 Partial Content\r\n{fields}")
    };
    let range = format!("content-range: bytes {first}-{last}/{}\r\ncontent-length: {}", body.len(), last + 1 - first);
    stream.write_all(format!("{head}{range}\r\n\r\n").as_bytes()).await.ok()?;
    stream.write_all(&body[first..=last]).await.ok()
}

/// Bodies of over 64 KiB are not stored, and a mebibyte of them is kept.
fn limits() -> serde_json::Value {
    json!({"limits": {"object": "64KiB", "window": "1MiB"}})
}

async fn front(large: &Large) -> Front {
    Front::new(&large.origin, limits()).await
}

/// Opens so many, each of which reads up to an offset.
async fn crowd(front: &Front, size: usize, read: usize) -> Vec<Streaming> {
    let opening: Vec<_> = (0..size)
        .map(|_| {
            let address = front.data;
            tokio::spawn(async move {
                let mut one = stream::get(address, "/").await;
                one.read(read).await;
                one
            })
        })
        .collect();
    let mut crowd = Vec::new();
    for one in opening {
        crowd.push(one.await.unwrap());
    }
    crowd
}

/// Each reads on up to an offset.
async fn read_on(crowd: Vec<Streaming>, to: usize) -> Vec<Streaming> {
    let reading: Vec<_> = crowd
        .into_iter()
        .map(|mut one| {
            tokio::spawn(async move {
                one.read(to).await;
                one
            })
        })
        .collect();
    let mut crowd = Vec::new();
    for one in reading {
        crowd.push(one.await.unwrap());
    }
    crowd
}

/// Each reads to its end, and has this body.
async fn all_have(crowd: Vec<Streaming>, body: &[u8]) {
    let reading: Vec<_> = crowd.into_iter().map(|one| tokio::spawn(one.end())).collect();
    for (n, one) in reading.into_iter().enumerate() {
        let (got, is_whole) = one.await.unwrap();
        assert!(is_whole && got == body, "client {n}: {} bytes, whole: {is_whole}", got.len());
    }
}

/// Waits until nobody waits, no load is under way, and no memory of bodies and requests is held; nothing was stored.
async fn nothing_is_left(front: &Front) {
    until("nothing is left", || front.cache.in_flight() == (0, 0, 0) && front.metrics.flights.get() == 0).await;
    assert_eq!(front.cache.usage()[0].items, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_come_in_the_window_are_one_load_and_who_comes_later_shares_the_next() {
    for kind in [Kind::Announced, Kind::Chunked] {
        let large = Large::new(3 << 20, STRONG, kind).await;
        let front = front(&large).await;
        // What is found to be too large as it grows is shared until it is.
        let early = if kind == Kind::Chunked { 60 * KIB } else { 700 * KIB };
        large.allow(early);
        let first = crowd(&front, 40, early).await;
        assert!(first[0].header("cache-status").starts_with("meshcache; fwd=uri-miss"), "{:?}", first[0].headers);
        let first = joined(first, crowd(&front, 20, early).await);
        assert_eq!(large.counts(), (1, 0), "all in the window");
        assert!(front.cache.in_flight().1 <= MIB, "{:?}", front.cache.in_flight());
        large.allow_each(2 << 20, 1000);
        let first = read_on(first, 2 << 20).await;
        let later = crowd(&front, 20, 1000).await;
        assert_eq!(large.counts(), (2, 0), "who comes later shares the next");
        large.allow(large.body.len());
        let reading = tokio::spawn({
            let body = large.body.clone();
            async move { all_have(later, &body).await }
        });
        all_have(first, &large.body).await;
        reading.await.unwrap();
        nothing_is_left(&front).await;
        assert_eq!(large.counts(), (2, 0));
        assert_eq!(front.group().service_passes.get(), 0, "nobody is sent away");
        // The next herd is not, either.
        large.allow(1000);
        let next = crowd(&front, 10, 1000).await;
        large.allow(large.body.len());
        all_have(next, &large.body).await;
        assert_eq!(large.counts(), (3, 0));
        nothing_is_left(&front).await;
    }
}

/// Both crowds as one.
fn joined(one: Vec<Streaming>, other: Vec<Streaming>) -> Vec<Streaming> {
    one.into_iter().chain(other).collect()
}

/// A client that reads the head and nothing more, until it is told.
async fn stuck(front: &Front) -> TcpStream {
    stuck_at(front, "/").await
}

async fn stuck_at(front: &Front, target: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(front.data).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut began = [0; 12];
    stream.read_exact(&mut began).await.unwrap();
    assert_eq!(&began, b"HTTP/1.1 200");
    stream
}

/// The body that it has in the end.
async fn rest_of(mut stuck: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stuck.read_to_end(&mut all).await;
    let head = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    all.split_off(head)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_holds_the_others_up_for_a_second_and_goes_on_by_itself() {
    for kind in [Kind::Announced, Kind::Changes, Kind::Forgets] {
        let large = Large::new(16 << 20, STRONG, kind).await;
        // Wide: on a busy machine none of the others is so far behind.
        let front = Front::new(&large.origin, json!({"limits": {"window": "4MiB"}})).await;
        large.allow(1000);
        let stuck = stuck(&front).await;
        let others = crowd(&front, 4, 1000).await;
        large.allow(large.body.len());
        all_have(others, &large.body).await;
        assert_eq!(large.loads.load(SeqCst), 1);
        // It has taken nothing so far, but for what sockets hold.
        let got = rest_of(stuck).await;
        assert!(large.body.starts_with(&got), "two versions are never mixed");
        assert_eq!(large.counts(), (1, 1));
        let whole = got.len() == large.body.len();
        assert_eq!(whole, kind == Kind::Announced, "{} bytes", got.len());
        let page = String::from_utf8(front.metrics.page().unwrap()).unwrap();
        let outcome = if whole { "continued" } else { "changed" };
        assert!(page.contains(&format!("meshcache_continued_total{{group=\"g\",outcome=\"{outcome}\"}} 1")), "{page}");
        nothing_is_left(&front).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_origins_promise_each_client_has_a_load_of_its_own() {
    for fields in [
        "cache-control: max-age=60\r\netag: W/\"1\"\r\naccept-ranges: bytes\r\n",
        "cache-control: max-age=60\r\netag: \"1\"\r\n",
        "cache-control: max-age=60\r\netag: \"1\"\r\naccept-ranges: none\r\n",
        "cache-control: private, max-age=60\r\netag: \"1\"\r\naccept-ranges: bytes\r\n",
        "cache-control: no-store\r\netag: \"1\"\r\naccept-ranges: bytes\r\n",
    ] {
        let large = Large::new(300 * KIB, fields, Kind::Announced).await;
        let front = front(&large).await;
        large.allow(1000);
        let clients = crowd(&front, 5, 1000).await;
        assert_eq!(large.counts(), (5, 0), "{fields}");
        large.allow(large.body.len());
        all_have(clients, &large.body).await;
        nothing_is_left(&front).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_given_again_is_shared_by_those_who_wait_for_its_head() {
    let fields = "cache-control: no-cache\r\netag: \"1\"\r\naccept-ranges: bytes\r\n";
    let large = Large::new(MIB as usize, fields, Kind::Announced).await;
    let front = front(&large).await;
    large.allow(1000);
    let first = crowd(&front, 1, 1000).await;
    let second = crowd(&front, 1, 1000).await;
    assert_eq!(large.counts(), (2, 0), "who comes later has a newer one, and does not wait for the end of the first");
    large.allow(large.body.len());
    all_have(joined(first, second), &large.body).await;
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_coordinator_that_is_not_the_owner_is_one_load_and_no_peer_is_to_blame() {
    let large = Large::new(2 << 20, STRONG, Kind::Announced).await;
    let (one, two) = (
        Front::with(&large.origin, limits(), 64 * MIB, "one", Identity::None).await,
        Front::with(&large.origin, limits(), 64 * MIB, "two", Identity::None).await,
    );
    plane::ring(&[("one", &one), ("two", &two)]);
    large.allow(200 * KIB);
    let clients = joined(crowd(&one, 20, 200 * KIB).await, crowd(&two, 20, 200 * KIB).await);
    assert_eq!(large.counts(), (1, 0));
    large.allow(large.body.len());
    all_have(clients, &large.body).await;
    for front in [&one, &two] {
        nothing_is_left(front).await;
        assert_eq!((front.group().peer_errors.get(), front.group().service_passes.get()), (0, 0));
    }
    assert_eq!(large.counts(), (1, 0));
    // One who takes nothing at the other one goes on from the origin as well.
    let large = Large::new(16 << 20, STRONG, Kind::Announced).await;
    for front in [&one, &two] {
        front.reload(&large.origin, limits());
    }
    large.allow(1000);
    let stuck = [stuck(&one).await, stuck(&two).await];
    let others = joined(crowd(&one, 3, 1000).await, crowd(&two, 3, 1000).await);
    large.allow(large.body.len());
    all_have(others, &large.body).await;
    for stuck in stuck {
        assert!(rest_of(stuck).await == *large.body);
    }
    // The other one may have been a slow reader of the owner itself meanwhile.
    assert!(matches!(large.counts(), (1, 2 | 3)), "{:?}", large.counts());
    for front in [&one, &two] {
        nothing_is_left(front).await;
        assert_eq!(front.group().peer_errors.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_one_coordinator_that_take_nothing_hold_up_no_answer_of_another_one_to_it() {
    let large = Large::new(16 << 20, STRONG, Kind::Announced).await;
    let (one, two) = (
        Front::with(&large.origin, limits(), 256 * MIB, "one", Identity::None).await,
        Front::with(&large.origin, limits(), 256 * MIB, "two", Identity::None).await,
    );
    plane::ring(&[("one", &one), ("two", &two)]);
    large.allow(large.body.len());
    let mut all = Vec::new();
    for n in 0..32 {
        all.push(stuck_at(&one, &format!("/stuck{n}")).await);
    }
    let asked = two.group().server_requests.get();
    assert!(asked > 9, "{asked} are loaded by the other one");
    // Until no byte moves any more: what sockets and windows hold is full.
    let sent = || large.sent.load(SeqCst);
    let mut before = usize::MAX;
    while before != sent() {
        before = sent();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    for n in 0..8 {
        let target = format!("/free{n}");
        let reading = async { stream::get(one.data, &target).await.read(1000).await.len() };
        let read = tokio::time::timeout(std::time::Duration::from_secs(10), reading).await;
        assert!(read.is_ok(), "{target} is held up");
    }
    assert!(two.group().server_requests.get() > asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_takes_streams_shares_the_load_and_any_other_passes_and_sends_nobody_away() {
    let large = Large::new(300 * KIB, STRONG, Kind::Announced).await;
    let front = front(&large).await;
    large.allow(1000);
    let whole = front.question_with("patience=2000", "/", &[HOST]).await;
    let outcome = whole.header("meshcache-outcome").to_owned();
    assert!(outcome.starts_with("pass; reason=too-large") && outcome.contains("for="), "{outcome}");
    until("a load that nobody reads ends", || front.metrics.flights.get() == 0).await;
    let rules = front.cache.groups().named("g").unwrap().digest().to_owned();
    let said = format!("1; group=g; rules={rules}; patience=2000; streams");
    let mut streams = open(front.data, "GET", "/", &[HOST, ("meshcache-wire", &said)]).await;
    streams.read(1000).await;
    let outcome = streams.header("meshcache-outcome").to_owned();
    assert!(outcome.starts_with("miss") && outcome.contains("waiters") && !outcome.contains("shared"), "{outcome}");
    let plain = crowd(&front, 10, 1000).await;
    let again = front.question_with("patience=2000", "/", &[HOST]).await;
    assert!(again.header("meshcache-outcome").starts_with("pass; reason=too-large"), "{:?}", again.headers);
    assert_eq!(large.counts(), (2, 0), "one for each that could not know, and no more");
    large.allow(large.body.len());
    all_have(joined(plain, vec![streams]), &large.body).await;
    nothing_is_left(&front).await;
    // What Envoy would have to hold for a slow client passes there.
    let large = Large::new(31 << 20, STRONG, Kind::Announced).await;
    front.reload(&large.origin, limits());
    let streams = open(front.data, "GET", "/31", &[HOST, ("meshcache-wire", &said)]).await;
    assert!(streams.header("meshcache-outcome").starts_with("pass; reason=too-large"), "{:?}", streams.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_and_a_head_are_answered_from_what_is_there_and_by_the_origin_otherwise() {
    let large = Large::new(MIB as usize, STRONG, Kind::Announced).await;
    let front = front(&large).await;
    large.allow(1000);
    let first = crowd(&front, 1, 1000).await;
    let part = front.ask("GET", "/", &[HOST, ("range", "bytes=10-19")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &large.body[10..20]));
    let head = front.ask("HEAD", "/", &[HOST]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "1048576"));
    assert_eq!(large.counts(), (1, 0), "the flight has them");
    let far = front.ask("GET", "/", &[HOST, ("range", "bytes=900000-900009")]).await;
    assert_eq!((far.status.as_u16(), &far.body[..]), (206, &large.body[900_000..900_010]));
    assert_eq!(large.counts(), (1, 1), "it does not wait for the flight");
    large.allow(large.body.len());
    all_have(first, &large.body).await;
    until("the load is over", || front.metrics.flights.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_that_stalls_ends_for_all_after_the_origins_timeout_of_silence() {
    let large = Large::new(MIB as usize, STRONG, Kind::Announced).await;
    let mut group = limits();
    group["origin"] = json!({"timeout": "300ms"});
    let front = Front::new(&large.origin, group).await;
    large.allow(1000);
    let clients = crowd(&front, 3, 1000).await;
    for client in clients {
        assert_eq!(client.end().await, (large.body[..1000].to_vec(), false));
    }
    nothing_is_left(&front).await;
    assert_eq!(large.counts(), (1, 0));
}
