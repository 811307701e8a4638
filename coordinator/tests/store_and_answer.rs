//! What is stored, and how requests are answered from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use plane::{Front, Origin, answer, raw};
use serde_json::json;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

#[tokio::test]
async fn the_second_request_is_a_hit() {
    let origin = Origin::new(|seen| async move {
        answer(200, &[FRESH, ("etag", "\"1\""), ("x-custom", "yes")], format!("{} {}", seen.target, seen.n))
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    let first = front.get("/a?b=1").await;
    assert_eq!((first.status.as_u16(), first.text()), (200, "/a?b=1 0"));
    assert!(
        first.header("cache-status").contains("fwd=uri-miss") && first.header("cache-status").contains("stored"),
        "{first:?}"
    );
    let second = front.get("/a?b=1").await;
    assert_eq!(
        (second.status.as_u16(), second.text(), second.header("x-custom"), second.header("age")),
        (200, "/a?b=1 0", "yes", "0")
    );
    assert!(
        second.header("cache-status").starts_with("meshcache; hit")
            && second.header("cache-status").contains("detail=owner"),
        "{second:?}"
    );
    assert_eq!((second.header("via"), second.header("content-length")), ("1.1 meshcache", "8"));
    assert_eq!(front.get("/a?b=2").await.text(), "/a?b=2 1");
    assert_eq!(origin.count(), 2);
    let group = front.group();
    assert_eq!(
        (group.gets.get(), group.hits.get(), group.loads.get(), group.loads_deduped.get(), group.local_load.get()),
        (3, 1, 2, 2, 2)
    );
}

#[tokio::test]
async fn conditional_range_and_head_are_answered_from_the_store() {
    let origin = Origin::new(|_| async {
        answer(200, &[FRESH, ("etag", "\"v\""), ("content-type", "text/plain")], "0123456789")
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    front.get("/").await;
    let head = front.ask("HEAD", "/", &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "10", 0));
    let unchanged = front.ask("GET", "/", &[("if-none-match", "W/\"v\"")]).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("etag"), unchanged.body.len()), (304, "\"v\"", 0));
    let changed = front.ask("GET", "/", &[("if-none-match", "\"w\"")]).await;
    assert_eq!((changed.status.as_u16(), changed.text()), (200, "0123456789"));
    let range = front.ask("GET", "/", &[("range", "bytes=2-4")]).await;
    assert_eq!(
        (range.status.as_u16(), range.header("content-range"), range.header("content-length"), range.text()),
        (206, "bytes 2-4/10", "3", "234")
    );
    let none = front.ask("GET", "/", &[("range", "bytes=20-")]).await;
    assert_eq!((none.status.as_u16(), none.header("content-range")), (416, "bytes */10"));
    // A gap smaller than the head of a part is sent along (RFC 9110 section 15.3.7.2).
    let two = front.ask("GET", "/", &[("range", "bytes=0-0,5-6")]).await;
    assert_eq!((two.status.as_u16(), two.header("content-range"), two.text()), (206, "bytes 0-6/10", "0123456"));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn variants_are_kept_apart() {
    let origin = Origin::new(|seen| async move {
        answer(
            200,
            &[FRESH, ("vary", "x-lang")],
            seen.headers.get("x-lang").map_or("none", |v| v.to_str().unwrap()).to_owned(),
        )
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    for _ in 0..2 {
        for lang in ["de", "fr", "en"] {
            assert_eq!(front.ask("GET", "/", &[("x-lang", lang)]).await.text(), lang);
        }
        assert_eq!(front.get("/").await.text(), "none");
    }
    assert_eq!(origin.count(), 4);
}

#[tokio::test]
async fn a_stale_answer_is_revalidated_and_given_when_the_origin_fails() {
    let origin = Origin::new(|seen| async move {
        match seen.n {
            0 => answer(200, &[("cache-control", "max-age=0, stale-if-error=60"), ("etag", "\"v\"")], "body"),
            1 if seen.headers["if-none-match"] == "\"v\"" => {
                answer(304, &[("cache-control", "max-age=0, stale-if-error=60"), ("etag", "\"v\""), ("x-new", "1")], "")
            }
            _ => answer(503, &[], "broken"),
        }
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    assert_eq!(front.get("/").await.text(), "body");
    let confirmed = front.get("/").await;
    assert_eq!((confirmed.text(), confirmed.header("x-new")), ("body", "1"));
    let stale = front.get("/").await;
    assert_eq!((stale.status.as_u16(), stale.text()), (200, "body"));
    assert_eq!(origin.count(), 3);
}

#[tokio::test]
async fn one_load_refreshes_what_is_stale_in_the_background() {
    let origin = Origin::new(|seen| async move {
        answer(
            200,
            &[("cache-control", if seen.n == 0 { "max-age=0, stale-while-revalidate=60" } else { "max-age=60" })],
            seen.n.to_string(),
        )
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    front.get("/").await;
    assert_eq!(front.get("/").await.text(), "0");
    plane::until("the refreshed answer", || origin.count() == 2 && front.metrics.flights.get() == 0).await;
    assert_eq!(front.get("/").await.text(), "1");
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn an_unsafe_method_that_succeeds_ends_what_was_stored() {
    let origin = Origin::new(|seen| async move {
        answer(200, &[FRESH], format!("{} {}", seen.n, String::from_utf8_lossy(&seen.body)))
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    assert_eq!(front.get("/").await.text(), "0 ");
    let posted = plane::ask(front.data, "POST", "/", &[], "hello".into()).await;
    assert_eq!(posted.text(), "1 hello");
    assert_eq!(front.get("/").await.text(), "2 ");
}

#[tokio::test]
async fn what_names_its_user_is_kept_only_where_it_is_for_everybody() {
    let origin = Origin::new(|seen| async move {
        let control = if seen.target == "/public" { "public, max-age=60" } else { "max-age=60" };
        answer(
            200,
            &[("cache-control", control)],
            seen.headers.get("authorization").map_or("", |v| v.to_str().unwrap()).to_owned(),
        )
    })
    .await;
    let front = Front::new(&origin, json!({})).await;
    for user in ["a", "b"] {
        assert_eq!(front.ask("GET", "/own", &[("authorization", user)]).await.text(), user);
        assert_eq!(front.ask("GET", "/public", &[("authorization", user)]).await.text(), "a");
    }
    assert_eq!(origin.count(), 3);
}

#[tokio::test]
async fn requests_that_are_wrong_are_told_so() {
    let origin = Origin::new(|seen| async move { answer(200, &[FRESH], seen.target) }).await;
    let front = Front::new(&origin, json!({"match": {"hosts": ["known"], "paths": [{"prefix": "/in"}]}})).await;
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: other\r\n", "HTTP/1.1 421"),
        ("GET / HTTP/1.1\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nHost: known\r\nHost: known\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nHost: us er\r\n", "HTTP/1.1 400"),
        ("CONNECT known:80 HTTP/1.1\r\nHost: known:80\r\n", "HTTP/1.1 405"),
        ("GET /.meshcache/x HTTP/1.1\r\nHost: known\r\n", "HTTP/1.1 404"),
        ("GET /in HTTP/1.1\r\nHost: known\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", "HTTP/1.1 501"),
        ("GET /in HTTP/1.1\r\nHost: known\r\nCDN-Loop: meshcache, meshcache\r\n", "HTTP/1.1 508"),
    ] {
        let text = raw(front.data, format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
        assert!(text.starts_with(expected), "{head}: {text}");
    }
    assert_eq!(origin.count(), 0);
    for (target, why) in [("/out", "no-path"), ("/in/../x", "ambiguous-path"), ("/in?", "")] {
        let text =
            raw(front.data, format!("GET {target} HTTP/1.1\r\nHost: known\r\nConnection: close\r\n\r\n").as_bytes())
                .await;
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with(target), "{text}");
        assert!(text.contains(why), "{text}");
    }
    let absolute = raw(front.data, b"GET http://known/in/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n").await;
    assert!(absolute.starts_with("HTTP/1.1 200") && absolute.ends_with("/in/x"), "{absolute}");
}
