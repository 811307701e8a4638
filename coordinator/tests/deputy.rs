//! What plain clients can have a coordinator do at an origin in their place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use bytes::Bytes;
use meshcache_coordinator::settings::Identity;
use parking_lot::Mutex;
use plane::{Front, MIB, Origin, answer};
use serde_json::{Value, json};
use std::sync::Arc;

const WEB: (&str, &str) = ("x-forwarded-client-cert", "URI=spiffe://x/ns/shop/sa/web");

/// What a client sends to a group of `/public`.
const SENT: [(&str, &str); 8] = [
    ("GET", "/public"),
    ("HEAD", "/public/a"),
    ("POST", "/public"),
    ("PURGE", "/public"),
    ("GET", "/admin/secrets"),
    ("POST", "/admin/reset"),
    ("GET", "/public/..%2fadmin/secrets"),
    ("POST", "/public/../admin/reset"),
];

/// An origin, and what has reached it.
async fn origin() -> (Origin, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let origin = Origin::new(move |request| {
        sees.lock().push(format!("{} {}", request.method, request.target));
        async move { answer(200, &[("cache-control", "no-store")], "done") }
    })
    .await;
    (origin, seen)
}

/// Which of `SENT`, by number, reach the origin. All others are refused with the reason.
async fn reach(identity: Identity, mut group: Value) -> Vec<usize> {
    let (origin, seen) = origin().await;
    group["match"] = json!({"hosts": ["*"], "paths": [{"prefix": "/public"}]});
    let front = Front::with(&origin, group, 64 * MIB, "a", identity).await;
    let mut through = Vec::new();
    for (n, (method, path)) in SENT.into_iter().enumerate() {
        let answer = front.ask(method, path, &[WEB]).await;
        match answer.status.as_u16() {
            200 => through.push(n),
            403 => assert!(answer.header("cache-status").contains("detail=not-passed"), "{method} {path}: {answer:?}"),
            _ => panic!("{method} {path}: {answer:?}"),
        }
    }
    let sent: Vec<String> = through.iter().map(|n| format!("{} {}", SENT[*n].0, SENT[*n].1)).collect();
    assert_eq!(*seen.lock(), sent, "what is refused does not reach the origin, and what passes goes as it came");
    let refused = String::from_utf8(front.metrics.page().unwrap()).unwrap();
    let counted = format!(
        "meshcache_requests_total{{group=\"g\",outcome=\"error\",reason=\"not-passed\"}} {}",
        SENT.len() - through.len()
    );
    assert!(through.len() == SENT.len() || refused.contains(&counted), "{counted}\n{refused}");
    through
}

#[tokio::test]
async fn a_client_has_done_at_an_origin_what_its_group_lets_pass_and_nothing_else() {
    let callers = json!(["spiffe://x/ns/shop/sa/web"]);
    let all = json!({"methods": ["*"], "otherPaths": true});
    for (what, identity, group, expected) in [
        ("a plain caching proxy", Identity::None, json!({}), vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ("callers are told apart", Identity::Xfcc, json!({}), vec![0, 1]),
        ("some may have the answers", Identity::Xfcc, json!({"callers": callers}), vec![0, 1]),
        ("everybody may, it says", Identity::None, json!({"callers": ["*"]}), vec![0, 1]),
        (
            "all passes, it says",
            Identity::Xfcc,
            json!({"callers": callers, "passThrough": all}),
            vec![0, 1, 2, 3, 4, 5, 6, 7],
        ),
        (
            "one method more",
            Identity::Xfcc,
            json!({"passThrough": {"methods": ["GET", "HEAD", "POST"]}}),
            vec![0, 1, 2],
        ),
        ("other paths", Identity::Xfcc, json!({"passThrough": {"otherPaths": true}}), vec![0, 1, 4, 6]),
        ("no other paths", Identity::None, json!({"passThrough": {"otherPaths": false}}), vec![0, 1, 2, 3]),
        (
            "only what is looked up",
            Identity::None,
            json!({"passThrough": {"methods": [], "otherPaths": false}}),
            vec![0, 1],
        ),
    ] {
        assert_eq!(reach(identity, group).await, expected, "{what}");
    }
}

#[tokio::test]
async fn what_another_group_keeps_is_not_reached_by_a_spelling() {
    let (origin, seen) = origin().await;
    let front = Front::with(&origin, json!({}), 64 * MIB, "a", Identity::Xfcc).await;
    let group = |name: &str, path: &str, other_paths: bool| json!({"name": name, "match": {"hosts": ["*"], "paths": [{"prefix": path}]}, "origin": {"url": origin.url()}, "passThrough": {"otherPaths": other_paths}});
    front.configure(json!([group("open", "/public", true), group("kept", "/admin", false)]));
    assert_eq!(front.ask("GET", "/public/%2e%2e/admin", &[WEB]).await.status, 403);
    assert_eq!(front.ask("GET", "/elsewhere", &[WEB]).await.status, 200, "the first group of the host lets it pass");
    assert_eq!(*seen.lock(), ["GET /elsewhere"]);
}

#[tokio::test]
async fn questions_are_handed_back_as_before() {
    let (origin, _) = origin().await;
    let group = json!({"match": {"hosts": ["*"], "paths": [{"prefix": "/public"}]}});
    let front = Front::with(&origin, group, 64 * MIB, "a", Identity::Xfcc).await;
    assert_eq!(front.question("/admin", &[WEB]).await.header("meshcache-outcome"), "pass; reason=no-path");
    let said = format!("1; group=g; rules={}", front.cache.groups().named("g").unwrap().digest());
    let post = plane::ask(front.data, "POST", "/public", &[("meshcache-wire", &said), WEB], Bytes::new()).await;
    assert_eq!((post.header("meshcache-outcome"), origin.count()), ("pass; reason=method", 0));
}
