//! Requests for less than a response: HEAD, only-if-cached, and a debugger's look at what is stored.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use meshcache_protocol::Groups;
use plane::{Front, Origin, answer};
use serde_json::json;
use std::sync::Arc;

/// An origin whose responses are fresh for a minute; from its second on they have this entity tag and status.
async fn changing(tag: &'static str, status: u16) -> Origin {
    Origin::new(move |seen| async move {
        let (tag, status) = if seen.n == 0 { ("\"1\"", 200) } else { (tag, status) };
        let fields =
            [("cache-control", "max-age=60"), ("etag", tag), ("x-n", &*seen.n.to_string()), ("surrogate-key", "a b")];
        answer(status, &fields, "body")
    })
    .await
}

/// A HEAD that the store must not answer.
const PAST_THE_STORE: (&str, &str) = ("cache-control", "no-cache");

#[tokio::test]
async fn the_response_to_a_head_says_whether_what_is_stored_is_still_right() {
    for (tag, status, is_kept) in
        [("\"1\"", 200, true), ("\"2\"", 200, false), ("\"1\"", 404, false), ("\"2\"", 503, true)]
    {
        let origin = changing(tag, status).await;
        let front = Front::new(&origin, json!({"freshness": {"requestDirectives": "obey"}})).await;
        front.get("/a").await;
        assert_eq!(front.ask("HEAD", "/a", &[PAST_THE_STORE]).await.status, status);
        let after = front.get("/a").await;
        assert_eq!(
            (origin.count() == 2, after.header("cache-status").contains("; hit")),
            (is_kept, is_kept),
            "{tag} {status}"
        );
        let is_updated = is_kept && status == 200;
        assert_eq!(after.header("x-n") == "1", is_updated, "{tag} {status}: {after:?}");
    }
}

#[tokio::test]
async fn what_is_wanted_only_from_the_cache_is_never_loaded() {
    let origin = changing("\"1\"", 200).await;
    let front = Front::new(&origin, json!({})).await;
    let only = [("cache-control", "only-if-cached")];
    let missed = front.ask("GET", "/a", &only).await;
    assert_eq!((missed.status.as_u16(), origin.count()), (504, 0));
    assert!(missed.header("cache-status").contains("only-if-cached"), "{missed:?}");
    let proxys = front.question("/a", &only).await;
    assert_eq!((proxys.status.as_u16(), origin.count(), proxys.header("cache-status")), (504, 0, ""));
    assert!(proxys.header("meshcache-outcome").contains("only-if-cached"), "{proxys:?}");
    front.get("/a").await;
    assert_eq!((front.ask("GET", "/a", &only).await.text(), origin.count()), ("body", 1));
}

#[tokio::test]
async fn a_debugger_sees_key_and_tags_and_no_other_client_does() {
    let origin = changing("\"1\"", 200).await;
    let front = Front::new(&origin, json!({})).await;
    for (debuggers, is_shown) in [(json!([]), false), (json!(["*"]), true)] {
        let group = json!({"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": origin.url()}});
        let config = json!({"version": 1, "debuggers": debuggers, "groups": [group]});
        let groups = Groups::new(serde_json::from_value(config).unwrap()).unwrap();
        front.cache.set_groups(Arc::new(groups)).unwrap();
        front.get("/a").await;
        let status = front.ask("GET", "/a", &[("meshcache-debug", "1")]).await;
        let status = status.header("cache-status");
        assert!(status.contains("; hit"), "{status}");
        assert_eq!(
            (status.contains("key="), status.contains("a,b") || status.contains("a b")),
            (is_shown, is_shown),
            "{status}"
        );
        let undebugged = front.get("/a").await;
        assert!(!undebugged.header("cache-status").contains("key="), "{undebugged:?}");
    }
}
