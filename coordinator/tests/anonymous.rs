//! Requests that a group changes before all else: fields that it drops, codings that it reduces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use plane::{Front, Origin, answer};
use serde_json::json;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// An origin that says what it was sent.
async fn echo() -> Origin {
    Origin::new(|seen| async move {
        let sent = |name: &str| seen.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        let body = ["cookie", "authorization", "user-agent", "x-forwarded-host", "accept-encoding"].map(sent).join(" ");
        answer(200, &[FRESH, ("vary", "Cookie, Accept-Encoding"), ("etag", "\"v\"")], body)
    })
    .await
}

#[tokio::test]
async fn users_of_a_group_that_drops_all_share_one_load_that_carries_nothing_of_theirs() {
    let origin = echo().await;
    let front = Front::new(&origin, json!({"request": {"drop": ["*"]}, "share": {"identity": ["x-user-id"]}})).await;
    for (n, fields) in [
        [("cookie", "user=ann"), ("accept-encoding", "gzip")],
        [("cookie", "user=bob"), ("user-agent", "curl")],
        [("authorization", "Bearer a"), ("x-forwarded-host", "evil")],
        [("x-user-id", "7"), ("cache-control", "no-store")],
    ]
    .iter()
    .enumerate()
    {
        let reply = front.ask("GET", "/", fields).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "- - - - -"), "{n}: {reply:?}");
    }
    let part = front.ask("GET", "/", &[("cookie", "user=ann"), ("range", "bytes=0-0")]).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "-"), "its range counts");
    let same = front.ask("GET", "/", &[("cookie", "user=ann"), ("if-none-match", "\"v\"")]).await;
    assert_eq!(same.status.as_u16(), 304, "and its condition");
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_request_that_passes_keeps_all_and_its_answer_is_for_nobody_else() {
    let origin = echo().await;
    let front = Front::new(&origin, json!({"request": {"drop": ["*"]}, "bypass": {"query": ["live"]}})).await;
    let ann = [("cookie", "user=ann"), ("user-agent", "a")];
    assert_eq!(front.ask("GET", "/?live", &ann).await.text(), "user=ann - a - -", "bypass");
    assert_eq!(front.ask("POST", "/", &ann).await.text(), "user=ann - a - -", "method");
    // Nothing is stored yet, so that a plain client's part comes from the origin.
    let part = front.ask("GET", "/", &[ann[0], ("range", "bytes=0-0")]).await;
    assert_eq!(part.text(), "user=ann - - - -", "the origin was sent the cookie");
    assert_eq!(front.get("/").await.text(), "- - - - -", "and what it said is not stored");
    assert_eq!(origin.count(), 4);
}

#[tokio::test]
async fn named_fields_are_dropped_and_all_others_count() {
    let origin = echo().await;
    let front = Front::new(&origin, json!({"request": {"drop": ["Cookie", "X-Forwarded-Host"]}})).await;
    let ann = [("cookie", "user=ann"), ("x-forwarded-host", "evil"), ("user-agent", "a")];
    assert_eq!(front.ask("GET", "/", &ann).await.text(), "- - a - -");
    assert_eq!(front.ask("GET", "/", &[("cookie", "user=bob"), ("user-agent", "b")]).await.text(), "- - a - -");
    let with_token = front.ask("GET", "/", &[("authorization", "x")]).await;
    assert_eq!((with_token.text(), origin.count()), ("- x - - -", 2), "a token is not dropped here");
}

#[tokio::test]
async fn twenty_spellings_of_accept_encoding_are_three_variants() {
    let origin = echo().await;
    let front = Front::new(&origin, json!({"request": {"acceptEncoding": ["br", "gzip"]}})).await;
    let spellings = [
        ("br", "br"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("BR;q=0.1, gzip", "br"),
        ("deflate;q=0.5,br;q=1.0", "br"),
        ("*", "br"),
        ("gzip;q=0, *;q=0.1", "br"),
        ("identity;q=0, br", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip;q=1.0, *;q=0", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*, br;q=0", "gzip"),
        ("identity", "-"),
        ("deflate", "-"),
        ("", "-"),
        ("*;q=0, identity", "-"),
        ("gzip;q=0, br;q=0.000", "-"),
    ];
    for (spelling, coding) in spellings {
        let reply = front.ask("GET", "/", &[("accept-encoding", spelling)]).await;
        assert_eq!(reply.text(), format!("- - - - {coding}"), "`{spelling}`");
    }
    assert_eq!(front.get("/").await.text(), "- - - - -", "no Accept-Encoding at all");
    assert_eq!((origin.count(), front.cache.usage()[0].items), (3, 3));
}

#[tokio::test]
async fn a_group_may_match_by_path_and_query() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH], seen.target) }).await;
    let paths = json!([{"target": {"regex": "/develop/?$", "search": true}}, {"target": {"regex": "/a\\?b=[0-9]+"}}]);
    let front = Front::new(&origin, json!({"match": {"hosts": ["*"], "paths": paths}})).await;
    for target in ["/x/develop", "/?q=/develop", "/a?b=12", "/x/%64evelop"] {
        front.get(target).await;
        let again = front.get(target).await;
        assert!(again.header("cache-status").starts_with("meshcache; hit"), "{target}: {again:?}");
    }
    assert_eq!(origin.count(), 3, "two spellings are one key");
    for target in ["/develop?x", "/a?b=c", "/y?a?b=1", "/develop/x"] {
        let reply = front.get(target).await;
        assert!(reply.header("cache-status").contains("detail=no-path"), "{target}: {reply:?}");
    }
}
