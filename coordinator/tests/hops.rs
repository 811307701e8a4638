//! Coordinators that ask each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use meshcache_coordinator::settings::Identity;
use plane::{Front, MIB, Origin, answer, ring, until};
use serde_json::json;
use std::sync::Arc;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

async fn three(origin: &Origin) -> [Arc<Front>; 3] {
    let mut fronts = Vec::new();
    for name in ["a", "b", "c"] {
        fronts.push(Arc::new(
            Front::with(
                origin,
                json!({"match": {"service": "s.n"}, "patience": "300ms"}),
                64 * MIB,
                name,
                Identity::None,
            )
            .await,
        ));
    }
    let [a, b, c]: [Arc<Front>; 3] = fronts.try_into().ok().unwrap();
    ring(&[("a", &a), ("b", &b), ("c", &c)]);
    [a, b, c]
}

const HOST: (&str, &str) = ("host", "s.n");

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_loaded_once_whomever_one_asks() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH, ("etag", "\"v\"")], seen.target) }).await;
    let fronts = three(&origin).await;
    let mut asked = Vec::new();
    for n in 0..20 {
        for front in &fronts {
            for _ in 0..3 {
                let front = front.clone();
                asked.push((n, tokio::spawn(async move { front.ask("GET", &format!("/{n}"), &[HOST]).await })));
            }
        }
    }
    for (n, answer) in asked {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), (200, format!("/{n}").as_str()));
    }
    assert_eq!(origin.count(), 20);
    let items: u64 = fronts.iter().map(|front| front.cache.usage()[0].items).sum();
    assert_eq!(items, 20, "each is stored at its owner only");
    assert!(fronts.iter().all(|front| front.group().peer_errors.get() == 0 && front.group().server_requests.get() > 0));
    assert!(fronts.iter().all(|front| front.group().crosstalk_refusals.get() == 0), "all have the same ring");
    // From the store of another: parts, heads, and those that name their user.
    for front in &fronts {
        let unchanged = front.ask("GET", "/1", &[HOST, ("if-none-match", "\"v\"")]).await;
        assert_eq!(unchanged.status, 304, "{unchanged:?}");
        assert!(unchanged.header("cache-status").starts_with("meshcache; hit"));
        let range = front.ask("GET", "/1", &[HOST, ("range", "bytes=1-1")]).await;
        assert_eq!((range.status.as_u16(), range.text()), (206, "1"));
        assert_eq!(front.ask("HEAD", "/1", &[HOST]).await.header("content-length"), "2");
        assert_eq!(front.ask("GET", "/1", &[HOST, ("cache-control", "only-if-cached")]).await.text(), "/1");
    }
    assert_eq!(origin.count(), 20);
    for front in &fronts {
        assert_eq!(front.ask("GET", "/1", &[HOST, ("authorization", "me")]).await.text(), "/1");
    }
    assert_eq!(origin.count(), 23, "not for everybody: each asks for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_passed_on_with_its_verdict() {
    let origin = Origin::new(|seen| async move {
        answer(200, &[if seen.target == "/p" { ("cache-control", "private") } else { FRESH }], seen.target)
    })
    .await;
    let fronts = three(&origin).await;
    let said = format!("1; group=g; rules={}", fronts[0].cache.groups().named("g").unwrap().digest());
    let question = [HOST, ("meshcache-wire", &*said)];
    let mut outcomes = Vec::new();
    for front in &fronts {
        outcomes.push(front.ask("GET", "/x", &question).await.header("meshcache-outcome").to_owned());
    }
    assert_eq!(outcomes.iter().filter(|outcome| outcome.starts_with("miss")).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.starts_with("hit")).count(), 2, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.contains("shared")), "{outcomes:?}");
    for front in &fronts {
        let outcome = front.ask("GET", "/p", &question).await.header("meshcache-outcome").to_owned();
        assert!(outcome.starts_with("pass; reason=private"), "{outcome}");
    }
    let others = [HOST, ("meshcache-wire", "1; group=g; rules=others")];
    for front in &fronts {
        assert!(!front.ask("GET", "/x", &others).await.header("meshcache-outcome").contains("shared"));
    }
    assert!(
        origin.count() <= 4,
        "the private one is tried once more, for the last question perhaps twice: {}",
        origin.count()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_gone_or_silent_is_not_waited_for() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH], seen.target) }).await;
    let refused = plane::port::Refused::new();
    let free = refused.addr;
    // Takes connections and says nothing.
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for peer in [free, frozen.local_addr().unwrap()] {
        let front = Front::with(
            &origin,
            json!({"match": {"service": "s.n"}, "patience": "50ms"}),
            64 * MIB,
            "a",
            Identity::None,
        )
        .await;
        let gone = meshcache_protocol::Peer { name: "gone".into(), data: peer.to_string(), peer: peer.to_string() };
        let me =
            meshcache_protocol::Peer { name: "a".into(), data: front.data.to_string(), peer: front.peer.to_string() };
        front.cache.cluster.set_ring(Arc::new(meshcache_protocol::Ring::new(vec![gone, me])));
        front.cache.set_peer_token(Some("token".into()));
        let before = origin.count();
        for n in 0..8 {
            for _ in 0..2 {
                assert_eq!(front.ask("GET", &format!("/{n}"), &[HOST]).await.text(), format!("/{n}"));
            }
        }
        assert_eq!(origin.count() - before, 8);
        assert_eq!(front.metrics.peers_failing.get(), 1);
    }
}

#[tokio::test]
async fn a_call_from_a_peer_is_answered_from_here_and_its_token_goes_no_further() {
    let origin = Origin::new(|seen| async move {
        let names: Vec<_> = seen.headers.keys().map(|name| name.as_str().to_owned()).collect();
        answer(
            200,
            &[("cache-control", "public, max-age=60")],
            format!("{} {}", seen.headers.get("authorization").map_or("-", |v| v.to_str().unwrap()), names.join(",")),
        )
    })
    .await;
    let fronts = three(&origin).await;
    for front in &fronts {
        let call = [
            ("meshcache-wire", "1; group=g; hop"),
            ("meshcache-authority", "s.n"),
            ("meshcache-scheme", "http"),
            ("authorization", "Bearer token"),
            ("x-envoy-internal", "true"),
        ];
        let answer = plane::ask(front.peer, "GET", "/x", &call, Default::default()).await;
        assert!(answer.header("meshcache-outcome").starts_with("miss"), "{answer:?}");
        assert!(
            answer.text().starts_with("- ")
                && !answer.text().contains("meshcache")
                && !answer.text().contains("x-envoy"),
            "{answer:?}"
        );
        assert_eq!(plane::ask(front.peer, "GET", "/x", &[HOST], Default::default()).await.status, 400, "no call");
    }
    assert_eq!(origin.count(), 3, "hop 1 is always answered from here");
    let refusals: u64 = fronts.iter().map(|front| front.group().crosstalk_refusals.get()).sum();
    assert_eq!(refusals, 2, "by those that do not own the key");
    until("no flight is left", || fronts.iter().all(|front| front.metrics.flights.get() == 0)).await;
}

#[tokio::test]
async fn callers_are_who_their_proxy_says() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH], seen.target) }).await;
    let group = json!({"callers": ["spiffe://*/ns/shop/sa/web"]});
    let front = Front::with(&origin, group, 64 * MIB, "a", Identity::Xfcc).await;
    let web = ("x-forwarded-client-cert", "Hash=1;URI=spiffe://cluster.local/ns/shop/sa/web");
    let other = (
        "x-forwarded-client-cert",
        "URI=spiffe://cluster.local/ns/shop/sa/web,URI=spiffe://cluster.local/ns/shop/sa/other",
    );
    assert_eq!(front.ask("GET", "/", &[web]).await.status, 200);
    assert_eq!(front.ask("GET", "/", &[other]).await.status, 403);
    assert_eq!(front.get("/").await.status, 403);
    assert_eq!(front.question("/", &[other]).await.header("meshcache-outcome"), "pass; reason=caller");
    assert!(front.question("/", &[web]).await.header("meshcache-outcome").starts_with("hit"));
    let spoofed = front.question_with("hop", "/", &[("meshcache-authority", "x")]).await;
    assert_eq!(spoofed.header("meshcache-outcome"), "pass; reason=caller", "hop 1 on the data port gives no right");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_counts_each_request_once_where_it_came_in() {
    let origin = Origin::new(|seen| async move {
        answer(200, &[if seen.target == "/p" { ("cache-control", "private") } else { FRESH }], seen.target)
    })
    .await;
    let fronts = three(&origin).await;
    let saved =
        || fronts.iter().map(|front| front.group().saved()).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    for n in 0..10 {
        for front in &fronts {
            front.ask("GET", &format!("/{n}"), &[HOST]).await;
        }
    }
    assert_eq!((saved(), origin.count()), ((30, 20), 10), "neither a miss nor a hop counts twice");
    fronts[0].ask("GET", "/p", &[HOST]).await;
    fronts[0].ask("POST", "/1", &[HOST]).await;
    let (requests, left) = saved();
    assert_eq!(
        (requests, requests as i64 - left),
        (31, origin.count() as i64 - 1),
        "what is not for caches counts as neither"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_in_the_key_is_told_to_the_owner() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH], seen.n.to_string()) }).await;
    let mut fronts = Vec::new();
    for name in ["a", "b"] {
        fronts.push(
            Front::with(
                &origin,
                json!({"match": {"service": "s.n"}, "key": {"route": true}}),
                64 * MIB,
                name,
                Identity::None,
            )
            .await,
        );
    }
    ring(&[("a", &fronts[0]), ("b", &fronts[1])]);
    for front in &fronts {
        for (route, body) in [("v1", "0"), ("v2", "1"), ("v2 a%20name", "2")] {
            assert_eq!(front.question("/x", &[HOST, ("meshcache-route", route)]).await.text(), body, "{route}");
        }
    }
    assert_eq!(origin.count(), 3, "each has one owner, whomever one asks");
}
