//! QUERY (RFC 10008): a request whose content is a part of its key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use bytes::Bytes;
use meshcache_coordinator::{purge::execute, settings::Identity};
use plane::{Answer, Front, MIB, Origin, answer, ask, ring, until};
use serde_json::json;
use std::sync::Arc;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const JSON: (&str, &str) = ("content-type", "application/json");

/// An origin that says what it was asked.
async fn echo() -> Origin {
    Origin::new(|seen| async move { answer(200, &[FRESH, ("etag", "\"v\""), ("vary", "content-type")], said(&seen)) })
        .await
}

fn said(seen: &plane::Seen) -> String {
    let sent = |name: &str| seen.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    format!("{} {} {} {} {body}", seen.method, seen.target, sent("content-type"), sent("cookie"))
}

fn group() -> serde_json::Value {
    json!({"match": {"hosts": ["*"]}, "methods": ["GET", "HEAD", "QUERY"]})
}

async fn query(front: &Front, fields: &[(&str, &str)], content: &str) -> Answer {
    ask(front.data, "QUERY", "/search?a", fields, Bytes::copy_from_slice(content.as_bytes())).await
}

fn is_hit(answer: &Answer) -> bool {
    answer.header("cache-status").starts_with("meshcache; hit")
}

#[tokio::test]
async fn the_answer_to_a_query_is_that_of_its_content() {
    let origin = echo().await;
    let front = Front::new(&origin, group()).await;
    let gzip = ("content-encoding", "gzip");
    let text = ("content-type", "text/plain");
    for (fields, content) in [
        (&[JSON][..], "{\"q\": 1}"),
        (&[JSON], "{\"q\": 2}"),
        (&[text], "{\"q\": 1}"),
        (&[JSON, gzip], "{\"q\": 1}"),
        (&[JSON], ""),
    ] {
        let expected = format!("QUERY /search?a {} - {content}", fields[0].1);
        let (first, again) = (query(&front, fields, content).await, query(&front, fields, content).await);
        assert_eq!((first.status.as_u16(), first.text()), (200, &*expected), "{first:?}");
        assert!(!is_hit(&first) && is_hit(&again), "{fields:?} {content}: {again:?}");
        assert_eq!(again.text(), expected);
    }
    assert_eq!(front.get("/search?a").await.text(), "GET /search?a - - ", "a GET is another request");
    assert_eq!(origin.count(), 6);
    // As those of a GET (RFC 10008 sections 2.6 and 2.8).
    let same = query(&front, &[JSON, ("if-none-match", "\"v\"")], "{\"q\": 1}").await;
    let part = query(&front, &[JSON, ("range", "bytes=0-4")], "{\"q\": 1}").await;
    assert_eq!((same.status.as_u16(), part.status.as_u16(), part.text()), (304, 206, "QUERY"));
    assert_eq!(origin.count(), 6);
}

#[tokio::test]
async fn a_query_that_the_cache_does_not_answer_passes_with_all_its_content() {
    let origin = echo().await;
    let front = Front::new(&origin, group()).await;
    let long = "x".repeat((64 << 10) + 1);
    for _ in 0..2 {
        let reply = query(&front, &[JSON], &long).await;
        assert_eq!(reply.text(), format!("QUERY /search?a application/json - {long}"));
        assert!(reply.header("cache-status").contains("detail=body"), "{}", reply.header("cache-status"));
    }
    let just = "x".repeat(64 << 10);
    query(&front, &[JSON], &just).await;
    assert!(is_hit(&query(&front, &[JSON], &just).await));
    let own = query(&front, &[JSON, ("cookie", "user=ann")], "a").await;
    assert_eq!(own.text(), "QUERY /search?a application/json user=ann a", "it names its user");
    assert_eq!(origin.count(), 4);
    let plain = Front::new(&origin, json!({})).await;
    let reply = query(&plain, &[JSON], "a").await;
    assert!(reply.header("cache-status").contains("fwd=method"), "{reply:?}");
}

#[tokio::test]
async fn anonymous_queries_keep_what_describes_their_content() {
    let origin = echo().await;
    let mut anonymous = group();
    anonymous["request"] = json!({"drop": ["*"]});
    let front = Front::new(&origin, anonymous).await;
    for user in ["ann", "bob"] {
        let reply = query(&front, &[JSON, ("cookie", user)], "a").await;
        assert_eq!(reply.text(), "QUERY /search?a application/json - a");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn what_changes_a_url_or_purges_it_takes_the_answers_to_its_queries() {
    let origin = echo().await;
    let front = Front::new(&origin, group()).await;
    query(&front, &[JSON], "a").await;
    assert!(is_hit(&query(&front, &[JSON], "a").await));
    front.ask("POST", "/search?a", &[]).await;
    assert!(!is_hit(&query(&front, &[JSON], "a").await), "an unsafe request succeeded");
    front.ask("POST", "/other", &[]).await;
    assert!(is_hit(&query(&front, &[JSON], "a").await));
    let scope = json!({"urls": ["http://h/search?a"]});
    let purge = || execute::issue(&front.cache, serde_json::from_value(scope.clone()).unwrap(), false);
    query(&front, &[JSON, ("host", "h")], "a").await;
    purge();
    assert!(!is_hit(&query(&front, &[JSON, ("host", "h")], "a").await), "it was purged");
    assert!(is_hit(&query(&front, &[JSON], "a").await), "another host was not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_of_one_query_at_three_coordinators_is_one_load() {
    let (origin, gate) = Origin::gated(|seen| answer(200, &[FRESH], said(&seen))).await;
    let mut fronts = Vec::new();
    for name in ["a", "b", "c"] {
        fronts.push(Arc::new(Front::with(&origin, group(), 64 * MIB, name, Identity::None).await));
    }
    ring(&[("a", &fronts[0]), ("b", &fronts[1]), ("c", &fronts[2])]);
    let asked: Vec<_> = (0..60)
        .map(|n| {
            let front = fronts[n % 3].clone();
            let content = format!("q{}", n / 3 % 4);
            tokio::spawn(async move {
                let reply = query(&front, &[JSON, ("host", "h")], &content).await;
                (reply.text().to_owned(), format!("QUERY /search?a application/json - {content}"))
            })
        })
        .collect();
    until("all wait", || fronts.iter().map(|front| front.group().gets.get()).sum::<u64>() >= 60).await;
    gate.open();
    for one in asked {
        let (text, expected) = one.await.unwrap();
        assert_eq!(text, expected);
    }
    assert_eq!(origin.count(), 4, "four queries");
}
