//! The memory limit of requests in progress, and the responses to those above it.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use plane::{Front, Gate, Origin, answer, until};
use serde_json::json;
use std::sync::Arc;

/// How many requests with heads of 60 KB fit.
const ROOM: usize = 80 * 1024 / (28 + 2 + 3 * 59);

#[tokio::test]
async fn long_heads_of_passing_requests_are_bounded_and_later_ones_are_refused() {
    let gate = Gate::closed();
    let origin = Origin::new({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                answer(200, &[], "hello")
            }
        }
    })
    .await;
    let front = Arc::new(Front::new(&origin, json!({})).await);
    let long = "x".repeat(60_000);
    let ask = |n: usize| {
        let (front, long) = (front.clone(), long.clone());
        tokio::spawn(
            async move { front.ask("GET", &format!("/{n}"), &[("authorization", "me"), ("x-long", &long)]).await },
        )
    };
    let in_progress: Vec<_> = (0..ROOM - 5).map(ask).collect();
    until("all are at the origin", || origin.count() == ROOM - 5).await;
    assert!(front.cache.in_flight().2 > 70 << 20);
    let later: Vec<_> = (0..20).map(|n| ask(1000 + n)).collect();
    let page = || String::from_utf8(front.metrics.page().unwrap()).unwrap();
    until("some are refused", || !page().contains("meshcache_limits_met_total{limit=\"heads\"} 0")).await;
    let questions = (0..10).map(|n| {
        let (front, long) = (front.clone(), long.clone());
        tokio::spawn(async move { front.question(&format!("/q{n}"), &[("x-long", &long)]).await })
    });
    let mut passed = 0;
    for question in questions.collect::<Vec<_>>() {
        let question = question.await.unwrap();
        assert_eq!(question.status, 204, "{question:?}");
        passed += usize::from(question.header("meshcache-outcome").contains("pass; reason=full"));
    }
    assert!(passed >= 5, "proxies pass them on: {passed}");
    gate.open();
    let mut refused = 0;
    for request in later {
        let answer = request.await.unwrap();
        assert!(answer.status == 200 || (answer.status == 503 && answer.header("retry-after") == "1"), "{answer:?}");
        refused += usize::from(answer.status == 503);
    }
    assert!((10..20).contains(&refused), "{refused}");
    for request in in_progress {
        assert_eq!(request.await.unwrap().text(), "hello");
    }
    until("all memory is free again", || front.cache.in_flight().2 == 0).await;
    assert_eq!(front.get("/after").await.status, 200);
}
