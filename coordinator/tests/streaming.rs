//! Bodies that take their time: what those who wait get of them, and when; what is stored, and what is left afterwards.
//!
//! Long: a test for each way in which a body comes, with the origin that holds it back until the test lets go. "Before"
//! is causality and no clock: a client has its part while the origin cannot have sent the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plane;

use bytes::Bytes;
use meshcache_coordinator::settings::Identity;
use parking_lot::Mutex;
use plane::{
    Answer, Front, HOST, MIB, Origin,
    stream::{self, Streaming, open},
    until,
};
use serde_json::json;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

/// An origin whose first connection says what the test tells it; each later one has a short answer of its own.
struct Held {
    origin: Origin,
    say: Option<UnboundedSender<Bytes>>,
}

/// The answer of each later connection.
const LATER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlater";

impl Held {
    async fn new() -> Self {
        let (say, script) = unbounded_channel::<Bytes>();
        let script = Arc::new(Mutex::new(Some(script)));
        let origin = Origin::scripted(move |_, mut stream| {
            let script = script.clone();
            async move {
                if plane::read_head(&mut stream).await.is_empty() {
                    return;
                }
                let first = script.lock().take();
                match first {
                    Some(mut script) => {
                        while let Some(said) = script.recv().await {
                            if stream.write_all(&said).await.is_err() {
                                return;
                            }
                        }
                    }
                    None => stream.write_all(LATER).await.unwrap(),
                }
            }
        });
        Self { origin: origin.await, say: Some(say) }
    }

    fn say(&self, bytes: impl Into<Bytes>) {
        let _ = self.say.as_ref().unwrap().send(bytes.into());
    }

    /// Says a head: with a length, or for a body in chunks.
    fn say_head(&self, length: Option<usize>, fields: &str) {
        let framing =
            length.map_or("transfer-encoding: chunked".to_owned(), |length| format!("content-length: {length}"));
        self.say(format!("HTTP/1.1 200 OK\r\netag: \"1\"\r\n{framing}\r\n{fields}\r\n"));
    }

    fn chunk(&self, bytes: &[u8]) {
        self.say([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    /// Hangs up.
    fn hang_up(&mut self) {
        self.say = None;
    }
}

const FRESH: &str = "cache-control: max-age=60\r\n";

async fn get(front: &Front, target: &str) -> Streaming {
    stream::get(front.data, target).await
}

/// The whole answer.
async fn whole(front: &Front, target: &str) -> Answer {
    front.ask("GET", target, &[HOST]).await
}

/// Waits until nobody waits, no load is under way, and no memory of bodies and requests is held.
async fn nothing_is_left(front: &Front) {
    until("nothing is left", || front.cache.in_flight() == (0, 0, 0) && front.metrics.flights.get() == 0).await;
}

fn stored(front: &Front) -> u64 {
    front.cache.usage()[0].items
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_come_while_the_origin_holds_back_the_rest() {
    for length in [Some(10), None] {
        let held = Held::new().await;
        let front = Front::new(&held.origin, json!({})).await;
        held.say_head(length, FRESH);
        let say = |bytes: &'static [u8]| if length.is_some() { held.say(bytes) } else { held.chunk(bytes) };
        let mut client = get(&front, "/").await;
        assert_eq!(
            (client.status.as_u16(), client.header("cache-status")),
            (200, "meshcache; fwd=uri-miss; fwd-status=200; stored")
        );
        assert_eq!(client.header("content-length"), length.map_or("", |_| "10"));
        say(b"01234");
        assert_eq!(client.read(5).await, b"01234");
        assert_eq!(stored(&front), 0, "half of it is in no store");
        say(b"56789");
        if length.is_none() {
            held.say(&b"0\r\nx-trailer: 1\r\n\r\n"[..]);
        }
        assert_eq!(client.end().await, (b"0123456789".to_vec(), true));
        nothing_is_left(&front).await;
        let again = whole(&front, "/").await;
        assert!(again.header("cache-status").starts_with("meshcache; hit"), "{:?}", again.headers);
        assert_eq!((again.text(), held.origin.count(), stored(&front)), ("0123456789", 1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_join_in_the_middle_are_one_load_and_have_every_byte() {
    let (held, body) = (Held::new().await, numbered(300_000));
    let front = Front::new(&held.origin, json!({})).await;
    held.say_head(Some(body.len()), FRESH);
    held.say(body[..100_000].to_vec());
    let mut first = get(&front, "/").await;
    first.read(100_000).await;
    let mut others = Vec::new();
    for n in 0..100 {
        let mut other = get(&front, "/").await;
        assert!(other.header("cache-status").contains("collapsed"), "{:?}", other.headers);
        assert_eq!(other.read(100_000).await[..10], body[..10], "{n}: from the first byte on, at once");
        others.push(other);
    }
    held.say(body[100_000..].to_vec());
    for client in others.into_iter().chain([first]) {
        assert!(client.end().await == (body.clone(), true));
    }
    nothing_is_left(&front).await;
    assert_eq!((held.origin.count(), stored(&front), front.group().loads_deduped.get()), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_holds_no_one_up() {
    let (held, body) = (Held::new().await, numbered(7 << 20));
    let front = Front::with(&held.origin, json!({}), 256 * MIB, "me", Identity::None).await;
    held.say_head(Some(body.len()), FRESH);
    held.say(body[..100].to_vec());
    let mut fast = get(&front, "/").await;
    fast.read(100).await;
    let mut slow = TcpStream::connect(front.data).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut began = [0; 12];
    slow.read_exact(&mut began).await.unwrap();
    held.say(body[100..].to_vec());
    assert!(fast.end().await == (body.clone(), true));
    until("the store has it, too", || stored(&front) == 1 && front.metrics.flights.get() == 0).await;
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&body), "it has all of it in the end: {} bytes", rest.len());
    nothing_is_left(&front).await;
    assert_eq!(held.origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_streams_on_what_the_owner_streams() {
    let held = Held::new().await;
    let (one, two) = (
        Front::with(&held.origin, json!({}), 64 * MIB, "one", Identity::None).await,
        Front::with(&held.origin, json!({}), 64 * MIB, "two", Identity::None).await,
    );
    plane::ring(&[("one", &one), ("two", &two)]);
    held.say_head(None, FRESH);
    held.chunk(b"first");
    let (mut a, mut b) = (get(&one, "/").await, get(&two, "/").await);
    assert_eq!((a.read(5).await, b.read(5).await), (&b"first"[..], &b"first"[..]));
    // Others join at both.
    let (c, d) = (get(&one, "/").await, get(&two, "/").await);
    held.chunk(b" last");
    held.say("0\r\n\r\n");
    for client in [a, b, c, d] {
        assert_eq!(client.end().await, (b"first last".to_vec(), true));
    }
    for front in [&one, &two] {
        nothing_is_left(front).await;
        assert_eq!(whole(front, "/").await.text(), "first last");
    }
    assert_eq!((held.origin.count(), stored(&one) + stored(&two)), (1, 1), "one load, and the owner has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_cuts_all_who_have_its_head_and_nothing_of_it_is_stored() {
    for length in [Some(10), None] {
        let mut held = Held::new().await;
        let (one, two) = (
            Front::with(&held.origin, json!({}), 64 * MIB, "one", Identity::None).await,
            Front::with(&held.origin, json!({}), 64 * MIB, "two", Identity::None).await,
        );
        plane::ring(&[("one", &one), ("two", &two)]);
        held.say_head(length, FRESH);
        if length.is_some() {
            held.say("half")
        } else {
            held.chunk(b"half")
        }
        let (mut a, mut b, mut c) = (get(&one, "/").await, get(&two, "/").await, get(&one, "/").await);
        for client in [&mut a, &mut b, &mut c] {
            client.read(4).await;
        }
        held.hang_up();
        for client in [a, b, c] {
            assert_eq!(client.end().await, (b"half".to_vec(), false));
        }
        for front in [&one, &two] {
            nothing_is_left(front).await;
            assert_eq!((stored(front), front.group().peer_errors.get()), (0, 0), "no peer is to blame");
        }
        assert_eq!(held.origin.count(), 1);
        assert_eq!((whole(&one, "/").await.text(), whole(&two, "/").await.text()), ("later", "later"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_its_head_is_out_no_stale_response_stands_in_for_half_a_body() {
    let mut held = Held::new().await;
    let front = Front::new(&held.origin, json!({})).await;
    // The first answer is good for no time, but for failures.
    held.say_head(Some(3), "cache-control: max-age=0, stale-if-error=60\r\nconnection: close\r\n");
    held.say("old");
    assert_eq!(whole(&front, "/").await.text(), "old");
    held.hang_up();
    let second = Held::new().await;
    front.reload(&second.origin, json!({}));
    second.say_head(Some(10), FRESH);
    let mut client = get(&front, "/").await;
    second.say("half");
    assert_eq!(client.read(4).await, b"half");
    drop(second.say);
    assert_eq!(client.end().await, (b"half".to_vec(), false));
    nothing_is_left(&front).await;
    assert_eq!(stored(&front), 1, "the old one is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_in_the_middle_lets_those_go_on_who_have_the_head_and_nothing_is_stored() {
    let held = Held::new().await;
    let front = Front::new(&held.origin, json!({})).await;
    held.say_head(Some(10), FRESH);
    held.say("01234");
    let mut before = get(&front, "/").await;
    before.read(5).await;
    let scope = meshcache_protocol::purge::Scope { all: true, ..Default::default() };
    meshcache_coordinator::purge::execute::issue(&front.cache, scope, false);
    assert_eq!(whole(&front, "/").await.text(), "later", "who comes after it has a load of its own");
    held.say("56789");
    assert_eq!(before.end().await, (b"0123456789".to_vec(), true));
    nothing_is_left(&front).await;
    assert_eq!((whole(&front, "/").await.text(), held.origin.count()), ("later", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_beyond_the_content_length_is_nobodys() {
    let mut held = Held::new().await;
    let front = Front::new(&held.origin, json!({})).await;
    held.say_head(Some(10), FRESH);
    let client = get(&front, "/").await;
    held.say("0123456789and more");
    assert_eq!(client.end().await, (b"0123456789".to_vec(), true));
    held.hang_up();
    nothing_is_left(&front).await;
    assert_eq!((whole(&front, "/").await.text(), held.origin.count()), ("0123456789", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_byte_by_byte_is_given_byte_by_byte() {
    let (held, body) = (Held::new().await, numbered(500));
    let front = Front::new(&held.origin, json!({})).await;
    held.say_head(None, FRESH);
    let mut client = get(&front, "/").await;
    for (n, byte) in body.iter().enumerate() {
        held.chunk(&[*byte]);
        client.read(n + 1).await;
    }
    let late = get(&front, "/").await;
    held.say("0\r\n\r\n");
    assert!(client.end().await == (body.clone(), true) && late.end().await == (body.clone(), true));
    nothing_is_left(&front).await;
    assert!(whole(&front, "/").await.body == body && held.origin.count() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_over_the_limit_goes_on_for_those_who_have_its_head_alone() {
    let (held, body) = (Held::new().await, numbered(3 << 20));
    let front = Front::new(&held.origin, json!({"limits": {"object": "1MiB"}})).await;
    held.say_head(None, FRESH);
    held.chunk(&body[..1000]);
    let (mut one, mut two) = (get(&front, "/").await, get(&front, "/").await);
    one.read(1000).await;
    two.read(1000).await;
    held.chunk(&body[1000..2 << 20]);
    let reads = tokio::spawn(async move {
        two.read(2 << 20).await;
        two
    });
    one.read(2 << 20).await;
    let two = reads.await.unwrap();
    until("the flight has ended", || front.metrics.flights.get() == 0).await;
    assert_eq!(whole(&front, "/").await.text(), "later", "later ones load it themselves");
    held.chunk(&body[2 << 20..]);
    held.say("0\r\n\r\n");
    let two = tokio::spawn(two.end());
    assert!(one.end().await == (body.clone(), true) && two.await.unwrap() == (body.clone(), true));
    nothing_is_left(&front).await;
    assert_eq!(held.origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_ends_with_its_readers_and_one_that_is_short_goes_on_for_the_store() {
    let ended = Arc::new(Mutex::new(false));
    let own = ended.clone();
    let origin = Origin::scripted(move |_, mut stream| {
        let ended = own.clone();
        async move {
            plane::read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\n{FRESH}transfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
            while stream.write_all(&chunk).await.is_ok() {}
            *ended.lock() = true;
        }
    })
    .await;
    let front = Front::new(&origin, json!({"limits": {"object": "1MiB"}})).await;
    let mut client = get(&front, "/").await;
    client.read(4 << 20).await;
    drop(client);
    until("the origin is left alone", || *ended.lock()).await;
    nothing_is_left(&front).await;
    assert_eq!(stored(&front), 0);

    let held = Held::new().await;
    front.reload(&held.origin, json!({}));
    held.say_head(Some(10), FRESH);
    held.say("01234");
    let mut client = get(&front, "/short").await;
    client.read(5).await;
    drop(client);
    until("nobody reads it", || front.cache.in_flight().0 == 0).await;
    held.say("56789");
    nothing_is_left(&front).await;
    assert_eq!((whole(&front, "/short").await.text(), held.origin.count()), ("0123456789", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_ends_for_all_after_the_origins_timeout_of_silence_and_no_sooner() {
    let held = Held::new().await;
    let front = Front::new(&held.origin, json!({"origin": {"timeout": "1s"}})).await;
    held.say_head(Some(200), FRESH);
    let (mut one, mut two) = (get(&front, "/").await, get(&front, "/").await);
    // Longer than the timeout in all, and never for nearly so long without a byte.
    let (began, mut said) = (std::time::Instant::now(), 0);
    while began.elapsed() < std::time::Duration::from_millis(1200) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        held.say("x");
        said += 1;
        one.read(said).await;
        two.read(said).await;
    }
    for client in [one, two] {
        assert_eq!(client.end().await, (vec![b'x'; said], false));
    }
    nothing_is_left(&front).await;
    assert_eq!((stored(&front), held.origin.count()), (0, 1));
    assert_eq!(whole(&front, "/").await.text(), "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_a_head_and_a_condition_are_answered_from_what_is_there() {
    let held = Held::new().await;
    let front = Front::new(&held.origin, json!({})).await;
    let all = [b"01234".to_vec(), vec![b'x'; 495]].concat();
    held.say_head(Some(500), &format!("{FRESH}content-type: text/plain\r\n"));
    held.say("01234");
    let mut first = get(&front, "/").await;
    first.read(5).await;
    let part = front.ask("GET", "/", &[HOST, ("range", "bytes=1-3")]).await;
    assert_eq!((part.status.as_u16(), part.text(), part.header("content-range")), (206, "123", "bytes 1-3/500"));
    let head = front.ask("HEAD", "/", &[HOST]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "500"));
    let unchanged = front.ask("GET", "/", &[HOST, ("if-none-match", "\"1\"")]).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.text()), (304, ""));
    let past = front.ask("GET", "/", &[HOST, ("range", "bytes=500-")]).await;
    assert_eq!((past.status.as_u16(), past.header("content-range")), (416, "bytes */500"));
    let mut over = open(front.data, "GET", "/", &[HOST, ("range", "bytes=4-6")]).await;
    assert_eq!((over.status.as_u16(), over.read(1).await), (206, &b"4"[..]), "the rest of it when it is there");
    let address = front.data;
    let several =
        tokio::spawn(
            async move { open(address, "GET", "/", &[HOST, ("range", "bytes=0-0, 499-499")]).await.end().await },
        );
    until("several ranges wait for the whole", || front.cache.in_flight().0 == 1).await;
    held.say(all[5..].to_vec());
    assert_eq!((first.end().await, over.end().await), ((all, true), (b"4xx".to_vec(), true)));
    let several = String::from_utf8(several.await.unwrap().0).unwrap();
    assert!(several.contains("bytes 0-0/500") && several.contains("bytes 499-499/500"), "{several}");
    nothing_is_left(&front).await;
    assert_eq!(held.origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_body_whose_length_is_not_known_waits_for_the_whole() {
    let held = Held::new().await;
    let front = Front::new(&held.origin, json!({})).await;
    held.say_head(None, FRESH);
    held.chunk(b"01234");
    let mut first = get(&front, "/").await;
    first.read(5).await;
    let address = front.data;
    let part = tokio::spawn(async move { open(address, "GET", "/", &[HOST, ("range", "bytes=-2")]).await.end().await });
    until("it waits", || front.cache.in_flight().0 == 1).await;
    held.chunk(b"56789");
    held.say("0\r\n\r\n");
    assert_eq!((first.end().await.0, part.await.unwrap()), (b"0123456789".to_vec(), (b"89".to_vec(), true)));
    nothing_is_left(&front).await;
    assert_eq!(held.origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_takes_streams_has_the_head_and_any_other_is_told_to_ask_again() {
    let held = Held::new().await;
    let front = Front::new(&held.origin, json!({})).await;
    held.say_head(Some(10), FRESH);
    held.say("01234");
    let rules = front.cache.groups().named("g").unwrap().digest().to_owned();
    let said = format!("1; group=g; rules={rules}; patience=500; streams");
    let mut streams = open(front.data, "GET", "/", &[("meshcache-wire", &said)]).await;
    assert_eq!(streams.read(5).await, b"01234");
    let outcome = streams.header("meshcache-outcome").to_owned();
    assert!(outcome.starts_with("miss; ttl=") && outcome.contains("shared"), "{outcome}");
    let whole = front.question_with("patience=20", "/", &[]).await;
    let ticket = whole.header("meshcache-outcome").strip_prefix("loading; flight=").expect("it waits").to_owned();
    let (flight, _) = ticket.split_once(';').unwrap_or((&ticket, ""));
    held.say("56789");
    assert_eq!(streams.end().await, (b"0123456789".to_vec(), true));
    let again = front.question_with(&format!("patience=500; flight={flight}"), "/", &[]).await;
    assert_eq!((again.text(), held.origin.count()), ("0123456789", 1));
    nothing_is_left(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_min_uses_keeps_out_of_the_store_streams_to_all_who_come_meanwhile() {
    let held = Held::new().await;
    let front = Front::new(&held.origin, json!({"minUses": 5})).await;
    held.say_head(Some(10), FRESH);
    held.say("01234");
    let mut one = get(&front, "/").await;
    one.read(5).await;
    let mut two = get(&front, "/").await;
    assert_eq!(two.read(5).await, b"01234");
    held.say("56789");
    assert_eq!(one.end().await, (b"0123456789".to_vec(), true));
    assert_eq!(two.end().await, (b"0123456789".to_vec(), true));
    nothing_is_left(&front).await;
    assert_eq!((stored(&front), held.origin.count()), (0, 1));
}
