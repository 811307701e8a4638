//! Origins that fail, refuse, or answer one client otherwise: what everybody else gets, and how often the origin is
//! asked.
//!
//! Long: a test for each way in which an origin fails, with the origins that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use plane::{Answer, Front, Gate, Origin, answer, until};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const CROWD: usize = 50;

/// So many ask at once, the first a little before; all have come before the gate opens. What each got.
async fn crowd(
    front: &Arc<Front>,
    origin: &Origin,
    gate: &Gate,
    asks: impl Fn(usize) -> (&'static str, &'static [(&'static str, &'static str)]),
    target: &'static str,
) -> Vec<Answer> {
    let (before, mut all) = (origin.count(), JoinSet::new());
    for n in 0..CROWD {
        let (front, (method, fields)) = (front.clone(), asks(n));
        all.spawn(async move { front.ask(method, target, fields).await });
        if n == 0 {
            until("the first load is under way", || origin.count() > before).await;
        }
    }
    until("all wait", || front.cache.in_flight().0 == CROWD).await;
    gate.open();
    all.join_all().await
}

/// An origin that answers so when the gate is open.
async fn gated(status: u16, fields: &'static [(&'static str, &'static str)]) -> (Origin, Gate) {
    Origin::gated(move |_| answer(status, fields, "says")).await
}

fn plain(_: usize) -> (&'static str, &'static [(&'static str, &'static str)]) {
    ("GET", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_two_loads_bring_is_shared_by_all_who_wait() {
    for status in [500, 502, 503, 504, 404, 410] {
        let (origin, gate) = gated(status, &[]).await;
        let front = Arc::new(Front::new(&origin, json!({})).await);
        let answers = crowd(&front, &origin, &gate, plain, "/").await;
        assert!(answers.iter().all(|answer| answer.status.as_u16() == status && answer.text() == "says"), "{status}");
        assert_eq!(
            (origin.count(), front.cache.usage()[0].items),
            (2, 0),
            "{status}: two loads, and nothing is stored"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_one_clients_own_is_not_shared_although_it_failed() {
    for (status, fields) in [
        (503, &[("set-cookie", "a=b")][..]),
        (404, &[("cache-control", "private")]),
        (500, &[("cache-control", "no-store")]),
        (429, &[]),
        (401, &[]),
        (302, &[("location", "/x")]),
    ] {
        let (origin, gate) = gated(status, fields).await;
        let front = Arc::new(Front::new(&origin, json!({})).await);
        let answers = crowd(&front, &origin, &gate, plain, "/").await;
        assert!(answers.iter().all(|answer| answer.status.as_u16() == status), "{status}");
        assert_eq!(origin.count(), CROWD, "{status} {fields:?}: each its own");
    }
    // To the letter only what is stored or could be is shared.
    let (origin, gate) = gated(503, &[]).await;
    let front = Arc::new(Front::new(&origin, json!({"freshness": {"errors": "rfc9111"}})).await);
    crowd(&front, &origin, &gate, plain, "/").await;
    assert_eq!(origin.count(), CROWD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_only_one_request_provokes_is_for_that_one_alone() {
    let (origin, gate) = Origin::gated(|seen| {
        if seen.headers.contains_key("x-provokes") {
            answer(500, &[], "provoked")
        } else {
            answer(200, &[("cache-control", "max-age=60")], "good")
        }
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let asks = |n: usize| if n == 0 { ("GET", &[("x-provokes", "1")][..]) } else { ("GET", &[][..]) };
    let answers = crowd(&front, &origin, &gate, asks, "/").await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 500).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.text() == "good").count(), CROWD - 1);
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_at_all_is_shared_by_all_who_wait_for_it() {
    let gate = Gate::closed();
    let own = gate.clone();
    // Hangs up without an answer when the gate is open.
    let origin = Origin::scripted(move |_, mut stream| {
        let gate = own.clone();
        async move {
            plane::read_head(&mut stream).await;
            gate.pass().await;
        }
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let answers = crowd(&front, &origin, &gate, plain, "/").await;
    assert!(answers.iter().all(|answer| answer.status == 502 && answer.text() == "reset\n"), "{:?}", answers[0]);
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_hangs_is_waited_for_once_whatever_its_answers_say() {
    for control in ["max-age=0", "max-age=0, must-revalidate", "no-cache"] {
        let hangs = Arc::new(AtomicBool::new(false));
        let own = hangs.clone();
        let origin = Origin::new(move |_| {
            let hangs = own.load(SeqCst);
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                answer(200, &[("cache-control", control), ("etag", "\"a\"")], "x")
            }
        })
        .await;
        let front = Arc::new(Front::new(&origin, json!({"origin": {"timeout": "500ms"}})).await);
        assert_eq!(front.get("/").await.status, 200);
        hangs.store(true, SeqCst);
        let gate = Gate::closed();
        let before = origin.count();
        let answers = crowd(&front, &origin, &gate, plain, "/").await;
        assert!(
            answers.iter().all(|answer| answer.status == 504 && answer.text() == "timeout\n"),
            "{control}: {:?}",
            answers[0]
        );
        assert_eq!(origin.count() - before, 1, "{control}");
        let asked = front.question("/", &[]).await;
        assert_eq!(
            (asked.status.as_u16(), asked.header("meshcache-outcome")),
            (504, "miss; reason=timeout; ttl=0; age=0; shared; waiters"),
            "{control}"
        );
    }
}

/// An origin whose `/`-paths are good for no time but stale-if-error allows them; a path fails while the script says
/// so.
struct Outage {
    status: Arc<AtomicU16>,
    origin: Origin,
    front: Front,
}

impl Outage {
    async fn new(group: serde_json::Value) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let own = status.clone();
        let origin = Origin::new(move |seen| {
            let status = if seen.target == "/good" { 200 } else { own.load(SeqCst) };
            async move {
                match status {
                    // Longer than any of these tests lasts.
                    0 => std::future::pending().await,
                    200 => answer(
                        200,
                        &[("cache-control", "max-age=0, stale-if-error=60"), ("etag", "\"a\"")],
                        seen.target,
                    ),
                    status => answer(status, &[], "fails"),
                }
            }
        })
        .await;
        let front = Front::new(&origin, group).await;
        for path in ["/1", "/2", "/3", "/4", "/bug", "/good"] {
            assert_eq!(front.get(path).await.text(), path);
        }
        Self { status, origin, front }
    }

    /// Asks for a path many times; each answer is the stale one, and the origin is asked `times`. On a busy machine
    /// they may take longer than the pause between two tries, half a second at least.
    async fn asked_within_the_pause(&self, path: &str, times: usize, why: &str) {
        let began = Instant::now();
        let asked = self.asked(path, 20).await;
        let due = began.elapsed().as_millis() as usize / 500;
        assert!((times..=times + due).contains(&asked), "{why}: {asked}");
    }

    /// How often the origin is asked when a path is asked for so often; each answer is the stale one.
    async fn asked(&self, path: &str, times: usize) -> usize {
        let before = self.origin.count();
        for _ in 0..times {
            assert_eq!(self.front.get(path).await.text(), path);
        }
        self.origin.count() - before
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stale_is_given_at_once_while_its_origin_fails() {
    for status in [503, 0] {
        let outage = Outage::new(json!({"origin": {"timeout": "300ms"}})).await;
        outage.status.store(status, SeqCst);
        outage.asked_within_the_pause("/1", 1, "the first load finds it out").await;
        assert_eq!(
            (outage.asked("/2", 1).await, outage.asked("/3", 1).await),
            (1, 1),
            "two other keys ask for themselves"
        );
        outage.asked_within_the_pause("/4", 0, "three in a row: the origin itself is meant").await;
        assert_eq!(
            outage.front.get("/cold").await.status.as_u16(),
            if status == 0 { 504 } else { 503 },
            "what is not there is loaded as ever"
        );
        outage.status.store(200, SeqCst);
        let before = outage.origin.count();
        until("one tries", || {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(outage.front.get("/4")));
            outage.origin.count() > before
        })
        .await;
        assert_eq!((outage.asked("/4", 2).await, outage.asked("/good", 2).await), (2, 2), "one success ends it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_fails_all_the_time_does_not_keep_others_from_being_refreshed() {
    let outage = Outage::new(json!({})).await;
    outage.status.store(500, SeqCst);
    for _ in 0..20 {
        outage.asked("/bug", 3).await;
        assert_eq!(outage.asked("/good", 1).await, 1, "it is validated each time, as before");
    }
}

#[tokio::test]
async fn an_origin_that_says_when_to_come_back_is_left_alone_until_then() {
    let origin = Origin::new(|seen| async move {
        if seen.n == 0 {
            answer(200, &[("cache-control", "max-age=0, stale-if-error=60"), ("etag", "\"a\"")], "x")
        } else {
            answer(503, &[("retry-after", "30")], "")
        }
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    front.get("/").await;
    front.get("/").await;
    // Longer than a second's outage without it.
    let end = tokio::time::Instant::now() + Duration::from_millis(1500);
    while tokio::time::Instant::now() < end {
        assert_eq!(front.get("/").await.text(), "x");
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_on_condition_share_a_load_of_the_whole() {
    let (origin, gate) = Origin::gated(|seen| {
        assert!(!seen.headers.contains_key("if-none-match"), "a load is for all");
        answer(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], "whole")
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let asks = |n: usize| {
        if n.is_multiple_of(2) {
            ("GET", &[("if-none-match", "\"a\"")][..])
        } else {
            ("GET", &[("if-none-match", "\"b\"")][..])
        }
    };
    let answers = crowd(&front, &origin, &gate, asks, "/").await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 304 && answer.body.is_empty()).count(), CROWD / 2);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200 && answer.text() == "whole").count(), CROWD / 2);
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_what_is_not_stored_is_judged_by_the_origin() {
    for (fields, size) in [
        (&[("cache-control", "private"), ("etag", "\"a\"")][..], 10),
        (&[("cache-control", "max-age=60"), ("etag", "\"a\"")], 2 << 20),
    ] {
        let sent = Arc::new(AtomicUsize::new(0));
        let own = sent.clone();
        let origin = Origin::new(move |seen| {
            let sent = own.clone();
            async move {
                if seen.headers.get("if-none-match").is_some_and(|tag| tag == "\"a\"") {
                    return answer(304, fields, "");
                }
                sent.fetch_add(1, SeqCst);
                answer(200, fields, vec![b'x'; size])
            }
        })
        .await;
        let front = Front::new(&origin, json!({"limits": {"object": "1MiB"}})).await;
        for n in 0..5 {
            assert_eq!(front.ask("GET", "/", &[("if-none-match", "\"a\"")]).await.status, 304, "{fields:?}");
            assert_eq!((origin.count(), sent.load(SeqCst)), (n + 2, 1), "one load found that out: {fields:?}");
        }
        assert_eq!(front.ask("GET", "/", &[("if-match", "\"a\""), ("if-none-match", "\"a\"")]).await.status, 304);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_second_request_for_a_part_or_a_head_loads_the_whole() {
    let origin = Origin::new(|seen| async move {
        assert!(seen.method == "GET" && !seen.headers.contains_key("range"), "a proxy goes on by itself");
        answer(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], "0123456789")
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    let range = [("range", "bytes=2-4")];
    assert_eq!(front.question("/range", &range).await.header("meshcache-outcome"), "pass; reason=range");
    for _ in 0..3 {
        let part = front.question("/range", &range).await;
        assert_eq!((part.status.as_u16(), part.text(), part.header("content-range")), (206, "234", "bytes 2-4/10"));
    }
    let head = async || {
        let said = format!("1; group=g; rules={}", front.cache.groups().named("g").unwrap().digest());
        front.ask("HEAD", "/head", &[("meshcache-wire", &said)]).await
    };
    assert_eq!(head().await.header("meshcache-outcome"), "pass; reason=method");
    for _ in 0..3 {
        let head = head().await;
        assert_eq!((head.status.as_u16(), head.header("content-length"), head.text()), (200, "10", ""));
    }
    assert_eq!(origin.count(), 2);
    for _ in 0..3 {
        assert_eq!(
            front.question("/user", &[range[0], ("cookie", "a=b")]).await.header("meshcache-outcome"),
            "pass; reason=identity"
        );
    }
    // A plain client's part is loaded and stored as that part.
    let parts = Origin::new(|_| async {
        answer(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 2-4/10")], "234")
    })
    .await;
    front.reload(&parts, json!({}));
    for _ in 0..3 {
        assert_eq!(front.ask("GET", "/plain", &range).await.text(), "234");
    }
    assert_eq!(parts.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refresh_destroys_nothing() {
    for refused in [429, 408, 425, 421, 400, 401, 403, 302, 503] {
        let refuses = Arc::new(AtomicBool::new(false));
        let own = refuses.clone();
        let origin = Origin::new(move |seen| {
            let refuses =
                own.load(SeqCst) && seen.headers.get("accept-language").is_none_or(|language| language == "de");
            async move {
                let language = seen
                    .headers
                    .get("accept-language")
                    .map_or(String::new(), |language| language.to_str().unwrap().to_owned());
                let control = if language == "de" { "max-age=0, stale-while-revalidate=60" } else { "max-age=60" };
                if refuses {
                    answer(refused, &[("vary", "accept-language")], "refused")
                } else {
                    answer(200, &[("cache-control", control), ("vary", "accept-language"), ("etag", "\"a\"")], language)
                }
            }
        })
        .await;
        let front = Front::new(&origin, json!({})).await;
        let ask = async |language: &str| front.ask("GET", "/", &[("accept-language", language)]).await;
        assert_eq!((ask("de").await.text(), ask("en").await.text()), ("de", "en"));
        refuses.store(true, SeqCst);
        let before = origin.count();
        for _ in 0..5 {
            assert_eq!(ask("de").await.text(), "de", "{refused}: the stale one is as good as before");
        }
        until("it was refreshed", || origin.count() > before && front.metrics.flights.get() == 0).await;
        assert_eq!((ask("de").await.text(), ask("en").await.text()), ("de", "en"), "{refused}");
        assert_eq!(front.cache.usage()[0].items, 2, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_answer_takes_the_place_of_the_variant_that_it_matches_and_of_no_other() {
    for (fields, left) in [
        (&[("vary", "accept-language"), ("cache-control", "no-store")][..], 1),
        (&[("vary", "accept-language"), ("x-gone", "1")], 1),
        (&[("x-gone", "1")], 0),
    ] {
        let changes = Arc::new(AtomicBool::new(false));
        let own = changes.clone();
        let origin = Origin::new(move |_| {
            let changes = own.load(SeqCst);
            async move {
                let status = if fields.iter().any(|(name, _)| *name == "x-gone") { 404 } else { 200 };
                if changes {
                    answer(status, fields, "other")
                } else {
                    answer(
                        200,
                        &[("cache-control", "max-age=0"), ("vary", "accept-language"), ("etag", "\"a\"")],
                        "first",
                    )
                }
            }
        })
        .await;
        let front = Front::new(&origin, json!({})).await;
        let ask = async |language: &str| front.ask("GET", "/", &[("accept-language", language)]).await;
        ask("de").await;
        ask("en").await;
        changes.store(true, SeqCst);
        assert_eq!(ask("de").await.text(), "other");
        assert_eq!(front.cache.usage()[0].items, left, "{fields:?}");
    }
}

/// Answers of one kind of request are private, all others good for a moment.
async fn provoked(vary: bool) -> (Origin, Arc<Front>, Arc<AtomicUsize>) {
    let honest = Arc::new(AtomicUsize::new(0));
    let own = honest.clone();
    let origin = Origin::new(move |seen| {
        let honest = own.clone();
        async move {
            let vary = if vary { ("vary", "x-provokes") } else { ("x-vary", "nothing") };
            if seen.headers.contains_key("x-provokes") {
                return answer(200, &[("cache-control", "private"), vary], "private");
            }
            honest.fetch_add(1, SeqCst);
            answer(200, &[("cache-control", "max-age=60"), vary], "good")
        }
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    (origin, front, honest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_provokes_a_private_answer_does_not_switch_the_cache_off() {
    for is_proxy in [false, true] {
        let (_origin, front, honest) = provoked(false).await;
        let ask = async |provokes: bool| {
            let fields: &[(&str, &str)] = if provokes { &[("x-provokes", "1")] } else { &[] };
            if is_proxy { front.question("/", fields).await } else { front.ask("GET", "/", fields).await }
        };
        let mut passed = 0;
        for _ in 0..5 {
            // One that provokes comes first each time nothing is stored.
            meshcache_coordinator::purge::execute::issue(
                &front.cache,
                meshcache_protocol::purge::Scope { all: true, ..Default::default() },
                false,
            );
            ask(true).await;
            let mut tries = 0;
            while ask(false).await.text() != "good" {
                tries += 1;
                assert!(tries < 200, "a proxy goes by itself for ever");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            passed += tries;
            assert_eq!(ask(true).await.text(), "good", "what may be given is given, whoever asks");
        }
        assert!(
            honest.load(SeqCst) <= 3 * 5,
            "proxy: {is_proxy}: {} honest loads of 5 due, {passed} passed",
            honest.load(SeqCst)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_remembered_for_requests_like_its_own() {
    let (origin, front, honest) = provoked(true).await;
    let provokes = [("x-provokes", "1")];
    assert_eq!(
        front.question("/", &provokes).await.header("meshcache-outcome"),
        "pass; reason=private; vary=x-provokes"
    );
    for _ in 0..20 {
        assert_eq!(front.question("/", &[]).await.text(), "good");
    }
    assert_eq!(honest.load(SeqCst), 1, "they are none of its business");
    let before = origin.count();
    for _ in 0..20 {
        assert!(front.question("/", &provokes).await.header("meshcache-outcome").starts_with("pass; reason=private"));
    }
    assert!(origin.count() - before <= 3, "now and then one is tried: {}", origin.count() - before);
    assert_eq!(front.question("/", &[]).await.text(), "good", "and what is stored stays");
}
