//! Origins that want a token of a token server.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use bytes::Bytes;
use http::Response;
use plane::{Front, Origin, Seen, answer, ask};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

/// A token server whose tokens are `t0`, `t1` and so on, and which refuses while it is down.
struct TokenServer {
    origin: Origin,
    is_down: Arc<AtomicBool>,
    secret: tempfile::NamedTempFile,
}

impl TokenServer {
    async fn new(lifetime: Value) -> Self {
        let is_down = Arc::new(AtomicBool::new(false));
        let down = is_down.clone();
        let origin = Origin::new(move |seen: Seen| {
            let (is_down, lifetime) = (down.load(SeqCst), lifetime.clone());
            async move {
                assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/token"));
                assert_eq!(seen.headers["authorization"], "Basic bWU6aHVudGVyMg==");
                assert_eq!(seen.body, "grant_type=client_credentials&scope=read");
                if is_down {
                    return answer(503, &[], "<html>");
                }
                let token =
                    json!({"access_token": format!("t{}", seen.n), "token_type": "Bearer", "expires_in": lifetime});
                // A clock that is far off: nothing depends on it.
                let date = ("date", "Thu, 01 Jan 1970 00:00:00 GMT");
                answer(200, &[date, ("content-type", "application/json")], token.to_string())
            }
        })
        .await;
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&secret, "hunter2\n").unwrap();
        Self { origin, is_down, secret }
    }

    fn auth(&self) -> Value {
        let url = format!("{}/token", self.origin.url());
        json!({"oauth2": {"tokenUrl": url, "clientId": "me", "clientSecretFile": self.secret.path(), "scopes": ["read"]}})
    }

    fn group(&self) -> Value {
        json!({"callers": ["*"], "origin": {"auth": self.auth()}})
    }
}

/// An origin that admits who has a token that is not below `least`, and says which one it saw.
async fn guarded(least: &Arc<AtomicUsize>, fields: &'static [(&'static str, &'static str)]) -> Origin {
    let least = least.clone();
    Origin::new(move |seen: Seen| {
        let least = least.load(SeqCst);
        async move { admit(&seen, least, fields) }
    })
    .await
}

fn admit(seen: &Seen, least: usize, fields: &[(&str, &str)]) -> Response<plane::Body> {
    let authorization = seen.headers.get("authorization").map_or("none", |value| value.to_str().unwrap());
    match authorization.strip_prefix("Bearer t").map(|n| n.parse::<usize>().unwrap() >= least) {
        Some(false) => answer(401, &[("cache-control", "max-age=60")], "no"),
        _ => answer(200, fields, authorization.to_owned()),
    }
}

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];
const PRIVATE: &[(&str, &str)] = &[("cache-control", "private")];

/// Asks again and again until the answer is as wanted.
async fn until_answer(front: &Front, path: &str, is: impl Fn(&plane::Answer) -> bool) {
    let asked = async { while !is(&front.get(path).await) {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), asked).await.expect("it never came");
}

#[tokio::test]
async fn loads_and_what_passes_have_the_token_and_a_clients_own_authorization_passes_as_it_is() {
    let server = TokenServer::new(json!(3600)).await;
    let origin = guarded(&Arc::default(), FRESH).await;
    let front = Front::new(&origin, server.group()).await;
    for path in ["/a", "/a", "/b"] {
        assert_eq!(front.get(path).await.text(), "Bearer t0", "{path}");
    }
    assert_eq!((origin.count(), server.origin.count()), (2, 1), "a stored response is for all");
    let own = front.ask("GET", "/a", &[("authorization", "Basic mine")]).await;
    assert_eq!((own.text(), origin.count()), ("Basic mine", 3));
    assert_eq!(front.get("/a").await.text(), "Bearer t0", "and it is stored nowhere");
    assert_eq!(ask(front.data, "POST", "/a", &[], Bytes::new()).await.status, 403, "nothing is done in our name");
    let private = guarded(&Arc::default(), PRIVATE).await;
    front.reload(&private, server.group());
    for n in 1..4 {
        assert_eq!((front.get("/p").await.text(), private.count()), ("Bearer t0", n));
    }
    assert_eq!(server.origin.count(), 1, "a reload keeps the token");
}

#[tokio::test]
async fn a_rejected_token_is_replaced_and_the_request_repeated_once() {
    for (fields, passes) in [(FRESH, false), (PRIVATE, true)] {
        let (server, least) = (TokenServer::new(json!("3600")).await, Arc::new(AtomicUsize::new(0)));
        let origin = guarded(&least, fields).await;
        let front = Front::new(&origin, server.group()).await;
        assert_eq!(front.get("/a").await.text(), "Bearer t0");
        least.store(1, SeqCst);
        let path = if passes { "/a" } else { "/b" };
        assert_eq!(front.get(path).await.text(), "Bearer t1", "it was revoked");
        assert_eq!((origin.count(), server.origin.count()), (3, 2));
        least.store(9, SeqCst);
        let rejected = front.get("/c").await;
        assert_eq!((rejected.status.as_u16(), rejected.text()), (401, "no"), "a second one is the answer");
        let asked = server.origin.count();
        for _ in 0..20 {
            assert_eq!(front.get("/c").await.status, 401);
        }
        assert!(server.origin.count() <= asked + 1, "no herd at the token server");
        least.store(0, SeqCst);
        assert_eq!(front.get("/c").await.status, 200, "the 401 was stored nowhere");
    }
}

#[tokio::test]
async fn without_a_token_a_load_fails_with_its_own_reason_and_no_herd_asks_for_one() {
    let server = TokenServer::new(json!(3600)).await;
    server.is_down.store(true, SeqCst);
    let origin = guarded(&Arc::default(), FRESH).await;
    let front = Front::new(&origin, server.group()).await;
    for _ in 0..50 {
        let failed = front.get("/a").await;
        assert_eq!((failed.status.as_u16(), failed.text()), (502, "token\n"));
        assert!(failed.header("cache-status").ends_with("; detail=token"), "{failed:?}");
    }
    assert_eq!((origin.count(), server.origin.count()), (0, 1), "no herd at a server that fails");
    let question = front.question("/a", &[]).await;
    assert_eq!(question.header("meshcache-outcome"), "miss; reason=token; ttl=0; age=0; shared; waiters");
    let page = String::from_utf8(front.metrics.page().unwrap()).unwrap();
    for line in [
        "meshcache_origin_failures_total{group=\"g\",reason=\"token\"} 51\n",
        "meshcache_origin_tokens_total{group=\"g\",outcome=\"status\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    server.is_down.store(false, SeqCst);
    until_answer(&front, "/a", |answer| answer.status == 200).await;
    let page = String::from_utf8(front.metrics.page().unwrap()).unwrap();
    let expiry = page
        .lines()
        .find_map(|line| line.strip_prefix("meshcache_origin_token_expiry_timestamp_seconds{group=\"g\"} "));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 3500..now + 3700).contains(&expiry.unwrap().parse().unwrap()), "{expiry:?}, {now}");
}

#[tokio::test]
async fn without_a_token_what_is_stale_is_given() {
    let server = TokenServer::new(json!(1)).await;
    // The token expires first.
    let origin = guarded(&Arc::default(), &[("cache-control", "max-age=2, stale-if-error=600")]).await;
    let front = Front::new(&origin, server.group()).await;
    assert_eq!(front.get("/a").await.text(), "Bearer t0");
    server.is_down.store(true, SeqCst);
    let stale = |answer: &plane::Answer| {
        assert_eq!(answer.text(), "Bearer t0", "{answer:?}");
        answer.header("cache-status").contains("detail=token")
    };
    until_answer(&front, "/a", stale).await;
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_token_that_expires_at_once_costs_few_fetches() {
    for lifetime in [json!(0), json!(1), json!(0.5)] {
        let server = TokenServer::new(lifetime.clone()).await;
        let origin = guarded(&Arc::default(), PRIVATE).await;
        let front = Front::new(&origin, server.group()).await;
        let began = std::time::Instant::now();
        for _ in 0..200 {
            assert_eq!(front.get("/a").await.status, 200);
        }
        let most = 2 + began.elapsed().as_millis() as usize / 700;
        assert!(server.origin.count() <= most, "{} for 200 requests, {lifetime}", server.origin.count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_and_groups_share_one_fetch() {
    let server = TokenServer::new(json!(3600)).await;
    let origin = guarded(&Arc::default(), FRESH).await;
    let front = Front::new(&origin, server.group()).await;
    let group = |name: &str| json!({"name": name, "match": {"hosts": [name]}, "callers": ["*"], "origin": {"url": origin.url(), "auth": server.auth()}});
    front.configure(json!([group("a"), group("b")]));
    let all: Vec<_> = (0..200)
        .map(|n| {
            let (to, host) = (front.data, if n % 2 == 0 { "a" } else { "b" });
            tokio::spawn(async move { ask(to, "GET", &format!("/{n}"), &[("host", host)], Bytes::new()).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().text(), "Bearer t0");
    }
    assert_eq!((origin.count(), server.origin.count()), (200, 1));
    let page = String::from_utf8(front.metrics.page().unwrap()).unwrap();
    for group in ["a", "b"] {
        let line = format!("meshcache_origin_tokens_total{{group=\"{group}\",outcome=\"granted\"}} 1\n");
        assert!(page.contains(&line), "{line} in\n{page}");
    }
}
