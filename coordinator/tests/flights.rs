//! Many who ask for one key: how often the origin is asked, and what each of them gets.
//!
//! Long: a test for each way in which a flight ends, with the crowd that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use plane::{Answer, Front, Gate, Origin, answer, until};
use serde_json::json;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::task::JoinHandle;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// So many plain clients at once, each with a header `user` of its own.
fn crowd(front: &Arc<Front>, n: usize, target: &'static str) -> Vec<JoinHandle<Answer>> {
    let one = |user: usize| {
        let front = front.clone();
        tokio::spawn(async move { front.ask("GET", target, &[("x-user", &user.to_string())]).await })
    };
    (0..n).map(one).collect()
}

async fn all(crowd: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for one in crowd {
        answers.push(one.await.unwrap());
    }
    answers
}

/// An origin that answers when the gate is open.
async fn gated(fields: &'static [(&'static str, &'static str)]) -> (Origin, Gate) {
    let user = |seen: &plane::Seen| {
        seen.headers.get("x-user").map_or_else(|| "none".to_owned(), |user| user.to_str().unwrap().to_owned())
    };
    Origin::gated(move |seen| answer(200, fields, user(&seen))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_of_a_thousand_is_one_load() {
    let (origin, gate) = gated(&[FRESH]).await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let crowd = crowd(&front, 1000, "/");
    until("everybody waits", || front.cache.in_flight().0 == 1000).await;
    gate.open();
    let answers = all(crowd).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(origin.count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.header("cache-status").contains("collapsed")).count(), 999);
    assert_eq!((front.group().loads.get(), front.group().loads_deduped.get()), (1000, 1));
    assert_eq!(front.metrics.flights.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_wait_for_one_load_are_one_herd_that_saved_forty_nine() {
    let (origin, gate) = gated(&[FRESH]).await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let herds = || (front.group().herds.get(), front.group().herd_loads_saved.get());
    let crowd = crowd(&front, 50, "/");
    until("everybody waits", || front.cache.in_flight().0 == 50).await;
    gate.open();
    all(crowd).await;
    assert_eq!((herds(), front.group().saved()), ((1, 49), (50, 49)));
    // Neither a hit nor a load that nobody else waits for is a herd.
    for target in ["/", "/alone"] {
        front.ask("GET", target, &[]).await;
    }
    assert_eq!((herds(), front.group().saved()), ((1, 49), (52, 50)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_a_private_answer_of_its_own_is_of_no_herd() {
    let (origin, gate) = gated(&[("cache-control", "private")]).await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let crowd = crowd(&front, 10, "/");
    until("everybody waits", || front.cache.in_flight().0 == 10).await;
    gate.open();
    all(crowd).await;
    assert_eq!((front.group().herds.get(), front.group().herd_loads_saved.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_who_hangs_up_takes_nobody_along() {
    let (origin, gate) = gated(&[FRESH]).await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let first = crowd(&front, 1, "/").remove(0);
    until("the load is under way", || origin.count() == 1).await;
    let others = crowd(&front, 100, "/");
    until("everybody waits", || front.cache.in_flight().0 == 101).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open();
    assert!(all(others).await.iter().all(|answer| answer.status == 200));
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_thousand_gets_its_own_private_answer() {
    // The first load, those that follow when its answer is private, and two later ones.
    let gates = [Gate::closed(), Gate::closed(), Gate::closed()];
    let own = gates.clone();
    let origin = Origin::new(move |seen| {
        let gate = own[usize::from(seen.n > 0) + usize::from(seen.n >= 1000)].clone();
        async move {
            gate.pass().await;
            let user = seen.headers["x-user"].to_str().unwrap().to_owned();
            answer(200, &[("cache-control", "private, max-age=60")], user)
        }
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let crowd = crowd(&front, 1000, "/");
    until("everybody waits", || front.cache.in_flight().0 == 1000).await;
    gates[0].open();
    until("all others are loaded at once, none after another", || origin.count() == 1000).await;
    gates[1].open();
    for (user, answer) in all(crowd).await.iter().enumerate() {
        assert_eq!((answer.status.as_u16(), answer.text()), (200, user.to_string().as_str()));
    }
    assert_eq!(origin.count(), 1000, "the first one's answer is its own: nobody is asked for twice");
    let late = self::crowd(&front, 2, "/");
    until("nobody queues for this key again for a while", || origin.count() == 1002).await;
    gates[2].open();
    assert_eq!(all(late).await.iter().map(Answer::text).collect::<Vec<_>>(), ["0", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_loaded_once_each() {
    let (origin, gate) = gated(&[FRESH, ("vary", "x-user")]).await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let crowds: Vec<_> = (0..20).flat_map(|_| crowd(&front, 3, "/")).collect();
    until("everybody waits", || front.cache.in_flight().0 == 60).await;
    gate.open();
    for (n, answer) in all(crowds).await.iter().enumerate() {
        assert_eq!(answer.text(), (n % 3).to_string());
    }
    assert_eq!(origin.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_that_is_being_loaded_is_joined_by_who_comes_later() {
    let gates = [Gate::closed(), Gate::closed()];
    let own = gates.clone();
    let origin = Origin::new(move |seen| {
        let own = own.clone();
        async move {
            let user = seen.headers["x-user"].to_str().unwrap().to_owned();
            own[user.parse::<usize>().unwrap()].pass().await;
            answer(200, &[FRESH, ("vary", "x-user")], user)
        }
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let ask = |user: &'static str| {
        let front = front.clone();
        tokio::spawn(async move { front.ask("GET", "/", &[("x-user", user)]).await.text().to_owned() })
    };
    let first = ask("0");
    until("the first is being loaded", || origin.count() == 1).await;
    let second = ask("1");
    until("another waits with it, since nobody knows that it varies", || front.cache.in_flight().0 == 2).await;
    gates[0].open();
    until("and is loaded for itself", || origin.count() == 2).await;
    assert_eq!(first.await.unwrap(), "0");
    let third = ask("1");
    until("who comes later waits", || front.cache.in_flight().0 == 2).await;
    gates[1].open();
    assert_eq!((second.await.unwrap().as_str(), third.await.unwrap().as_str()), ("1", "1"));
    assert_eq!(origin.count(), 2, "one load for each variant");
}

#[tokio::test]
async fn half_a_body_is_an_error_and_is_not_stored() {
    let origin = Origin::raw(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\nhalf").await;
    let front = Front::new(&origin, json!({})).await;
    for _ in 0..2 {
        let broken = front.get("/").await;
        assert_eq!((broken.status.as_u16(), broken.text()), (502, "incomplete-body\n"));
    }
    assert_eq!(origin.count(), 2);
    assert_eq!(front.cache.usage()[0].items, 0);
    let asked = front.question("/", &[]).await;
    assert_eq!(
        (asked.status.as_u16(), asked.header("meshcache-outcome")),
        (502, "miss; reason=incomplete-body; ttl=0; age=0; shared; waiters")
    );
    let private = Origin::raw(b"HTTP/1.1 200 OK\r\ncache-control: private\r\ncontent-length: 10\r\n\r\nhalf").await;
    front.reload(&private, json!({}));
    let cut = front.get("/p").await;
    assert!(cut.status == 200 && cut.is_cut, "its head was out: {cut:?}");
}

#[tokio::test]
async fn origins_that_fail_are_told_apart() {
    let refused = plane::port::Refused::new();
    let free = refused.addr;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::raw(b"").await;
    for (address, status, reason) in
        [(free, 502, "connect"), (silent.local_addr().unwrap(), 504, "timeout"), (origin.address, 502, "reset")]
    {
        let front =
            Front::new(&origin, json!({"origin": {"url": format!("http://{address}"), "timeout": "200ms"}})).await;
        let failed = front.get("/").await;
        assert_eq!((failed.status.as_u16(), failed.text()), (status, format!("{reason}\n").as_str()));
        let asked = front.question("/", &[]).await;
        let outcome = format!("miss; reason={reason}; ttl=0; age=0; shared; waiters");
        assert_eq!(
            (asked.status.as_u16(), asked.header("meshcache-outcome")),
            (status, outcome.as_str()),
            "a herd is not let loose on an origin that fails"
        );
    }
    assert_eq!(origin.count(), 2, "a request is not sent twice because it failed");
    for nonsense in [&b"HTTP/1.1 nonsense\r\n\r\n"[..], b"\x16\x03\x01 TLS?\r\n\r\n"] {
        let origin = Origin::raw(nonsense).await;
        let front = Front::new(&origin, json!({})).await;
        assert_eq!(front.get("/").await.text(), "bad-response\n");
    }
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_is_not_an_error() {
    // Says that it stays, and closes: what a server does whose keep-alive ends just now.
    let origin = Origin::raw(b"HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 2\r\n\r\nok").await;
    let front = Front::new(&origin, json!({})).await;
    for _ in 0..20 {
        assert_eq!(front.get("/").await.text(), "ok");
    }
}

/// An origin with a body of so many MiB, its length said or not.
async fn large(mib: usize, says: bool) -> (Origin, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let origin = Origin::new(move |_| {
        let sent = counted.clone();
        async move {
            let body = Pieces { left: mib * 16, sent };
            let mut response = http::Response::builder().header("cache-control", "max-age=60");
            if says {
                response = response.header("content-length", (mib << 20).to_string());
            }
            response.body(BodyExt::boxed(body)).unwrap()
        }
    })
    .await;
    (origin, sent)
}

/// A body of so many pieces of 64 KiB, counted as they are taken.
struct Pieces {
    left: usize,
    sent: Arc<AtomicUsize>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.sent.fetch_add(65_536, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 65_536])))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_streams_and_evicts_nothing() {
    let small = Origin::new(|_| async { answer(200, &[FRESH], "small") }).await;
    let front = Arc::new(Front::new(&small, json!({"limits": {"object": "1MiB"}})).await);
    front.get("/small").await;
    for says in [true, false] {
        let (origin, _) = large(40, says).await;
        front.reload(&origin, json!({"limits": {"object": "1MiB"}}));
        let target = if says { "/says" } else { "/does-not-say" };
        let answers = all(crowd(&front, 5, target)).await;
        assert!(answers.iter().all(|answer| answer.body.len() == 40 << 20 && !answer.is_cut));
        if says {
            assert!(
                answers.iter().any(|answer| answer.header("cache-status").contains("too-large")),
                "{:?}",
                answers[0].headers
            );
            assert_eq!(origin.count(), 5, "the one who led has its answer of the flight");
        } else {
            assert!((1..=5).contains(&origin.count()), "those who had its head before it was too large share it");
        }
        let asked = front.question(target, &[]).await.header("meshcache-outcome").to_owned();
        assert!(asked.starts_with("pass; reason=too-large; for="), "{asked}");
    }
    assert_eq!(front.get("/small").await.text(), "small");
    assert_eq!((small.count(), front.cache.usage()[0].items), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_load_without_readers_ends() {
    let (origin, sent) = large(4000, true).await;
    let front = Front::new(&origin, json!({})).await;
    let mut stream = tokio::net::TcpStream::connect(front.data).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    until("it streams", || sent.load(SeqCst) > 0).await;
    drop(stream);
    let before = Arc::new(AtomicUsize::new(usize::MAX));
    until("the origin is left alone", || {
        let now = sent.load(SeqCst);
        before.swap(now, SeqCst) == now && Arc::strong_count(&sent) <= 2
    })
    .await;
    assert!(sent.load(SeqCst) < 4000 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_loads_than_may_be_pass_after_the_patience() {
    let (origin, gate) = gated(&[FRESH]).await;
    let front = Arc::new(Front::new(&origin, json!({"origin": {"maxLoads": 2}, "patience": "2s"})).await);
    let asked: Vec<_> = ["/1", "/2", "/3", "/4"]
        .map(|target| {
            let front = front.clone();
            tokio::spawn(async move { front.question_with("patience=40", target, &[]).await })
        })
        .into();
    let outcomes: Vec<String> =
        all(asked).await.iter().map(|answer| answer.header("meshcache-outcome").to_owned()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.starts_with("loading; flight=")).count(), 4, "{outcomes:?}");
    assert_eq!(origin.count(), 2);
    let passed =
        || async { front.question_with("patience=40", "/5", &[]).await.header("meshcache-outcome").to_owned() };
    let mut outcome = passed().await;
    while outcome.starts_with("loading") {
        outcome = passed().await;
    }
    assert_eq!(outcome, "pass; reason=overload");
    gate.open();
    until("all have landed", || front.metrics.flights.get() == 0).await;
    assert!(front.question("/5", &[]).await.header("meshcache-outcome").starts_with("miss"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_comes_during_a_load_wins() {
    let (origin, gate) = gated(&[FRESH]).await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let before = crowd(&front, 1, "/");
    until("the load is under way", || origin.count() == 1).await;
    meshcache_coordinator::purge::execute::issue(
        &front.cache,
        meshcache_protocol::purge::Scope { all: true, ..Default::default() },
        false,
    );
    let after = crowd(&front, 2, "/");
    until("who comes later has a load of its own", || origin.count() == 2).await;
    gate.open();
    let (before, after) = (all(before).await, all(after).await);
    assert!(before[0].status == 200 && !before[0].header("cache-status").contains("stored"), "{before:?}");
    // One of the two may have come when the load was over: then it is a hit.
    assert!(
        after.iter().all(|answer| answer.status == 200)
            && after.iter().any(|answer| answer.header("cache-status").contains("stored")),
        "{after:?}"
    );
    assert_eq!((origin.count(), front.cache.usage()[0].items), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_patience_ends_is_told_to_ask_again() {
    let (origin, gate) = gated(&[FRESH]).await;
    let front = Front::new(&origin, json!({})).await;
    assert!(
        front.question_with("patience=20", "/", &[]).await.header("meshcache-outcome").starts_with("loading; flight=")
    );
    gate.open();
    let answer = front.question("/", &[]).await;
    let outcome = answer.header("meshcache-outcome");
    assert!(
        answer.text() == "none"
            && (outcome.starts_with("miss; ttl=") || outcome.starts_with("hit"))
            && outcome.contains("shared"),
        "{outcome}"
    );
    assert_eq!((origin.count(), answer.header("cache-status")), (1, ""));
    assert!(front.question("/", &[]).await.header("meshcache-outcome").starts_with("hit; ttl="));
    let other_rules = front.question("/", &[("meshcache-wire", "1; group=g; rules=x")]).await;
    assert!(other_rules.header("meshcache-outcome").contains("shared"), "the first of two headers counts");
}

#[tokio::test]
async fn questions_that_are_not_for_the_cache_are_handed_back() {
    let (origin, _) = gated(&[FRESH]).await;
    let front = Front::new(&origin, json!({"bypass": {"query": ["fresh"]}})).await;
    for (target, fields, reason) in [
        ("/?fresh", &[][..], "bypass-query"),
        ("/", &[("cookie", "a=b")], "identity"),
        ("/", &[("range", "bytes=0-1")], "range"),
        ("/", &[("if-match", "x")], "conditional"),
        ("/", &[("accept", "text/event-stream")], "event-stream"),
        ("/a//b", &[], "ambiguous-path"),
        ("/", &[("cdn-loop", "meshcache")], "loop"),
    ] {
        assert_eq!(
            front.question(target, fields).await.header("meshcache-outcome"),
            format!("pass; reason={reason}"),
            "{target} {fields:?}"
        );
    }
    for (said, reason) in
        [("99", "wire-version"), ("x", "bad-question"), ("1; patience=x", "bad-question"), ("1; group=other", "group")]
    {
        assert_eq!(
            front.ask("GET", "/", &[("meshcache-wire", said)]).await.header("meshcache-outcome"),
            format!("pass; reason={reason}")
        );
    }
    assert_eq!(front.question_with("verified", "/", &[]).await.header("meshcache-outcome"), "pass; reason=identity");
    assert_eq!(origin.count(), 0);
}
