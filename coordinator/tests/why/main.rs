//! `POST /why`: each of twelve reasons why something was not cached is explained by one question, with the change to the
//! group that mends it where one does.
//!
//! Long: the twelve cases stand beside each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod peers;
mod probe;
#[path = "../support/mod.rs"]
mod support;

use meshcache_admin::{Advice, AtCoordinator, Why};
use meshcache_coordinator::{config::groups_file::GroupSource, settings::Identity};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use support::{Reply, Running, file, send, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// An origin that answers a path by its name: `/cache-control/private` says so.
struct Origin {
    url: String,
    gate: Arc<tokio::sync::Notify>,
    /// What `/changing` says: `private` until it is changed.
    is_changed: Arc<AtomicBool>,
}

impl Origin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Arc::new(tokio::sync::Notify::new());
        let is_changed = Arc::new(AtomicBool::new(false));
        let (held, changed) = (gate.clone(), is_changed.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (gate, changed) = (held.clone(), changed.clone());
                tokio::spawn(async move {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) == 1 {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let (status, fields, length) = match path.split('?').next().unwrap_or_default() {
                        "/private" => (200, "cache-control: private\r\n", 5),
                        "/no-store" => (200, "cache-control: no-store\r\nset-cookie: a=secret\r\n", 5),
                        "/no-freshness" => (200, "", 5),
                        "/cookie" => (200, "cache-control: max-age=60\r\nset-cookie: session=secret; path=/\r\n", 5),
                        "/vary" => (200, "cache-control: max-age=60\r\nvary: *\r\n", 5),
                        "/large" => (200, "cache-control: max-age=60\r\n", 9 << 20),
                        "/changing" if changed.load(Ordering::SeqCst) => (200, "cache-control: max-age=1\r\n", 5),
                        "/changing" => (200, "cache-control: private\r\n", 5),
                        "/missing" => (404, "", 5),
                        "/wait" => {
                            gate.notified().await;
                            (200, "cache-control: max-age=60\r\n", 5)
                        }
                        _ => (200, "cache-control: s-maxage=60\r\nsurrogate-key: one two\r\n", 5),
                    };
                    let fields = if path.starts_with("/user") { "cache-control: max-age=60\r\n" } else { fields };
                    let head =
                        format!("HTTP/1.1 {status} X\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&vec![b'x'; length]).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, gate, is_changed }
    }
}

/// One coordinator before an origin, with a group `g` of these fields for the host `h`.
struct One {
    origin: Origin,
    running: Running,
    groups: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl One {
    async fn start(fields: Value) -> Self {
        Self::with(fields, &[]).await
    }

    async fn with(fields: Value, flags: &[&str]) -> Self {
        let origin = Origin::start().await;
        let mut group = json!({"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": origin.url}});
        for (name, value) in fields.as_object().unwrap() {
            match (name.as_str(), value) {
                ("origin", Value::Object(more)) => group["origin"].as_object_mut().unwrap().extend(more.clone()),
                _ => group[name] = value.clone(),
            }
        }
        // JSON is YAML.
        let (_folder, groups) = file(&json!({"version": 1, "groups": [group]}).to_string());
        let running = Running::start(&[&["--config", &groups], flags].concat()).await;
        Self { origin, running, groups: groups.into(), _folder }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.running.ports.data, method, path, &[&[("host", "h")], headers].concat(), "").await
    }

    async fn get(&self, path: &str) -> String {
        self.ask("GET", path, &[]).await.header("cache-status").to_owned()
    }

    async fn why(&self, path: &str) -> Why {
        self.why_of(json!({"url": format!("http://h{path}")})).await
    }

    async fn why_of(&self, request: Value) -> Why {
        why_of(self.running.ports.admin, request).await
    }

    /// Takes the advice, as somebody does who copies it into the file. Returns once it is in force.
    async fn take(&self, advice: &Advice) {
        let yaml = advice.yaml.as_deref().unwrap_or_else(|| panic!("no YAML: {advice:?}"));
        let source = GroupSource::Text { name: "advice".into(), text: yaml.into() };
        source.load(&source.read(), Identity::Xfcc).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        assert!(advice.diff.as_deref().is_some_and(|diff| diff.starts_with("--- now\n+++ changed\n")), "{advice:?}");
        let digest = async || support::get(self.running.ports.admin, "/groups").await.json()["digest"].clone();
        let before = digest().await;
        std::fs::write(&self.groups, yaml).unwrap();
        until("the change is in force", async || digest().await != before).await;
    }

    /// Asks for a path, finds by one question for which reason its response was not stored, takes the advice, and finds the
    /// second request for such a path answered from the cache.
    async fn is_mended(&self, reason: &str, path: &str, headers: &[(&str, &str)], diff: &str) -> Why {
        self.ask("GET", path, headers).await;
        self.ask("GET", path, headers).await;
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let why = self.why_of(json!({"url": format!("http://h{path}"), "headers": lines})).await;
        let advice = about(&why, reason);
        assert!(advice.diff.as_deref().unwrap_or_default().contains(diff), "{advice:?}");
        self.take(advice).await;
        // What the old rules remember of the path itself is over in 10 s.
        let other = format!("{path}?other");
        let hit = async || self.ask("GET", &other, headers).await.header("cache-status").contains("; hit");
        assert!(!hit().await, "it was stored for another");
        until("the second request is a hit", hit).await;
        why
    }
}

async fn why_of(admin: SocketAddr, request: Value) -> Why {
    let reply = send(admin, "POST", "/why", &[], &request.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    serde_json::from_value(reply.json()).unwrap()
}

fn about<'w>(why: &'w Why, reason: &str) -> &'w Advice {
    why.advice
        .iter()
        .find(|advice| advice.reason == reason)
        .unwrap_or_else(|| panic!("nothing about {reason}: {why:#?}"))
}

fn owner(why: &Why) -> &AtCoordinator {
    why.at.first().unwrap_or_else(|| panic!("no coordinator: {why:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_told_with_the_rule_that_gave_its_lifetime() {
    let one = One::start(
        json!({"match": {"hosts": ["h"], "paths": [{"prefix": "/a"}]}, "key": {"headers": ["x-t"], "cookies": ["c"]}}),
    )
    .await;
    assert!(!one.get("/a?q=1").await.contains("; hit"));
    let why = one.why_of(json!({"url": "http://H/%61?q=s3cret", "headers": ["x-t: s3cret"]})).await;
    assert_eq!(why.summary, "not stored, and no coordinator was asked for it lately", "{why:#?}");
    assert_eq!((why.group.as_deref(), why.url.as_str()), (Some("g"), "http://h/a?q=…"));
    assert_eq!(why.rule.as_deref(), Some("hosts: h, paths: prefix /a"));
    assert!(!serde_json::to_string(&why).unwrap().contains("s3cret"), "{why:#?}");
    let key: Vec<_> = why.key.iter().map(|part| (part.name.as_str(), part.value.as_str())).collect();
    let parts = [
        ("group", "g"),
        ("scheme", "http"),
        ("host", "h"),
        ("path", "/a"),
        ("query", "?q=…"),
        ("header x-t", "(given)"),
        ("cookie c", "(absent)"),
    ];
    assert_eq!(key, parts);
    assert_eq!(
        (why.owner.as_deref(), why.next.as_deref(), why.key_hash.map(|hash| hash.len())),
        (Some("me"), None, Some(32))
    );

    let why = one.why("/a?q=1").await;
    assert!(why.summary.starts_with("fresh at me for ") && why.summary.ends_with(", by s-maxage"), "{}", why.summary);
    let stored = &owner(&why).stored[0];
    assert_eq!((stored.status, stored.answers, stored.bytes, stored.kept_as.as_str()), (200, true, 5, "main"));
    assert_eq!((&stored.tags[..], &why.advice[..]), (&["one".to_owned(), "two".to_owned()][..], &[][..]));
    assert!(owner(&why).last.is_empty() && owner(&why).has_lease);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_in_progress_is_told_with_those_who_wait() {
    let one = One::start(json!({})).await;
    let asked: Vec<_> =
        (0..3).map(|_| tokio::spawn(send(one.running.ports.data, "GET", "/wait", &[("host", "h")], ""))).collect();
    until("three wait", async || owner(&one.why("/wait").await).loading == Some(3)).await;
    assert_eq!(one.why("/wait").await.summary, "being loaded at me: 3 wait");
    one.origin.gate.notify_one();
    for asked in asked {
        assert_eq!(asked.await.unwrap().status, 200);
    }
    assert_eq!(owner(&one.why("/wait").await).loading, None);
}

/// What the owner said last, of a key that is not stored.
fn last(why: &Why) -> (&str, Option<u16>, Vec<&str>) {
    let last = owner(why).last.first().unwrap_or_else(|| panic!("no reason: {why:#?}"));
    (&last.reason, last.status, last.decided.iter().map(String::as_str).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn private_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("private", "/private", &[], "+      ignore: [private]\n").await;
    assert_eq!(last(&why), ("private", Some(200), vec!["cache-control: private"]));
    assert!(why.summary.starts_with("not stored: private (the response of "), "{}", why.summary);
    assert!(owner(&why).passes_for.is_some_and(|left| left <= 10_000), "{why:#?}");
    assert!(about(&why, "private").text.contains("only if the response is the same for all"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_store_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("no-store", "/no-store", &[], "+      ignore: [no-store]\n").await;
    assert_eq!(last(&why), ("no-store", Some(200), vec!["cache-control: no-store"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_freshness_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("no-freshness", "/no-freshness", &[], "+    freshness:\n+      default: 30s\n").await;
    assert_eq!(last(&why), ("no-freshness", Some(200), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_of_the_response_is_explained_and_mended_and_its_value_is_never_told() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("set-cookie", "/cookie", &[], "+      setCookie: true\n").await;
    assert_eq!(last(&why), ("set-cookie", Some(200), vec!["set-cookie: session", "cache-control: max-age=60"]));
    assert!(!serde_json::to_string(&why).unwrap().contains("secret"), "{why:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_of_the_request_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("identity", "/user", &[("cookie", "a=secret")], "+      cookie: true\n").await;
    assert_eq!(last(&why), ("identity", Some(200), vec!["cache-control: max-age=60", "cookie: (of the request)"]));
    assert!(!serde_json::to_string(&owner(&why)).unwrap().contains("secret"), "{why:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authorization_is_explained_and_mended_also_to_one_who_has_no_token() {
    let one = One::start(json!({})).await;
    let token = [("authorization", "Bearer secret")];
    one.ask("GET", "/user", &token).await;
    let without = one.why("/user").await;
    assert!(about(&without, "identity").diff.as_deref().unwrap().contains("+      authorization: true\n"));
    one.is_mended("identity", "/user", &token, "+      authorization: true\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vary_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("vary", "/vary", &[], "+      ignore: [vary]\n").await;
    assert_eq!(last(&why), ("vary", Some(200), vec!["vary: *", "cache-control: max-age=60"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("too-large", "/large", &[], "+      object: 16MiB\n").await;
    assert_eq!(last(&why), ("too-large", Some(200), vec!["content-length: 9437184"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_explained_and_mended() {
    let one = One::start(json!({})).await;
    let why = one.is_mended("status", "/missing", &[], "404").await;
    assert_eq!(last(&why).1, Some(404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_is_explained_and_nothing_is_advised_that_would_be_wrong() {
    let one = One::start(json!({})).await;
    let why = one.why_of(json!({"url": "http://h/a", "method": "POST"})).await;
    assert_eq!((why.summary.as_str(), why.group.as_deref()), ("never answered from the cache: method", Some("g")));
    assert_eq!((about(&why, "method").yaml.as_deref(), &why.at[..]), (None, &[][..]));
    let query = one.why_of(json!({"url": "http://h/a", "method": "QUERY"})).await;
    assert!(about(&query, "method").diff.as_deref().is_some_and(|diff| diff.contains("QUERY")), "{query:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_says_nothing_of_a_get() {
    let one = One::start(json!({})).await;
    assert_eq!(one.ask("HEAD", "/a", &[]).await.status, 200);
    let why = one.why("/a").await;
    assert!(owner(&why).last.is_empty(), "{why:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_explained_and_mended_for_one_who_says_who_asks() {
    let callers = json!({"callers": ["spiffe://x/ns/shop/sa/web"]});
    let one = One::with(callers, &["--identity", "xfcc"]).await;
    let why = one.why("/a").await;
    assert_eq!(why.request_reason.as_deref(), Some("caller"));
    assert_eq!((why.owner.as_deref(), about(&why, "caller").yaml.as_deref()), (Some("me"), None));
    let other = [("x-forwarded-client-cert", "URI=spiffe://x/ns/ops/sa/job")];
    assert_eq!(one.ask("GET", "/a", &other).await.status, 403);
    let why = one.is_mended("caller", "/a", &other, "spiffe://x/ns/ops/sa/job").await;
    assert_eq!(why.summary, "never answered from the cache: caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_decides_is_told_where_no_request_has_come() {
    let one = One::start(json!({})).await;
    let why = one.why("/a").await;
    assert_eq!(why.summary, "not stored, and no coordinator was asked for it lately");
    let advice = about(&why, "");
    assert!(advice.text.contains("Cache-Status") && advice.text.contains("`caller`"), "{advice:?}");
    assert_eq!((advice.yaml.as_deref(), why.advice.len()), (None, 1));
    let elsewhere = one.why_of(json!({"url": "https://other/a"})).await;
    assert_eq!((elsewhere.summary.as_str(), elsewhere.group.is_none()), ("no-group: no group takes it", true));
    assert_eq!(about(&elsewhere, "no-group").yaml, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_explained_and_mended() {
    let one = One::start(json!({"origin": {"maxLoads": 1}, "patience": "50ms"})).await;
    let held = tokio::spawn(send(one.running.ports.data, "GET", "/wait", &[("host", "h")], ""));
    until("the one load is taken", async || owner(&one.why("/wait").await).loading.is_some()).await;
    let why = one.is_mended("overload", "/a", &[], "+      maxLoads: 2\n").await;
    assert_eq!(last(&why).0, "overload");
    one.origin.gate.notify_one();
    held.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_question_is_answered_with_one_line() {
    let one = One::start(json!({})).await;
    for (question, line) in [
        (json!({"url": "h/a"}), "url: `h/a` is not http[s]://HOST[:PORT]/PATH[?QUERY]"),
        (json!({"url": "http://h/", "headers": ["secret"]}), "headers[0]: expected `NAME: VALUE`"),
        (
            json!({"url": "http://h/", "method": "PUT", "probe": true}),
            "probe: asks with GET and HEAD alone, not with PUT",
        ),
    ] {
        let reply = send(one.running.ports.admin, "POST", "/why", &[], &question.to_string()).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some(line)), "{reply:?}");
    }
    let reply = send(one.running.ports.admin, "POST", "/why", &[], r#"{"uri": "http://h/"}"#).await;
    assert!(reply.status == 400 && reply.json()["error"].as_str().unwrap().contains("write {\"url\""), "{reply:?}");
}
