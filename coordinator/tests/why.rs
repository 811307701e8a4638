//! `POST /why`: each of twelve reasons why something was not cached is explained by one question, with the change to the
//! group that mends it where one does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use meshcache_admin::{Advice, AtCoordinator, Why};
use meshcache_coordinator::{
    config::{Config, groups_file::GroupSource},
    settings::Identity,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use support::{Reply, Running, config, file, port::unused, send, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// An origin that answers a path by its name: `/cache-control/private` says so.
struct Origin {
    url: String,
    gate: Arc<tokio::sync::Notify>,
}

impl Origin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Arc::new(tokio::sync::Notify::new());
        let held = gate.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let gate = held.clone();
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
        Self { url, gate }
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
        let running = Running::start(&[&["--groups", &groups], flags].concat()).await;
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
        source.load(&source.read(), Identity::None).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        assert!(advice.diff.as_deref().is_some_and(|diff| diff.starts_with("--- now\n+++ changed\n")), "{advice:?}");
        let digest = async || support::get(self.running.ports.admin, "/groups").await.json()["digest"].clone();
        let before = digest().await;
        std::fs::write(&self.groups, yaml).unwrap();
        until("the change is in force", async || digest().await != before).await;
    }

    /// Asks for a path that is not stored, finds this reason by one question, takes the advice, and finds the second
    /// request answered from the cache.
    async fn is_mended(&self, reason: &str, path: &str, headers: &[(&str, &str)], diff: &str) -> Why {
        self.ask("GET", path, headers).await;
        self.ask("GET", path, headers).await;
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let why = self.why_of(json!({"url": format!("http://h{path}"), "headers": lines})).await;
        let advice = about(&why, reason);
        assert!(advice.diff.as_deref().unwrap_or_default().contains(diff), "{advice:?}");
        self.take(advice).await;
        let hit = async || self.ask("GET", path, headers).await.header("cache-status").contains("; hit");
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
    let one =
        One::start(json!({"match": {"hosts": ["h"], "paths": [{"prefix": "/a"}]}, "key": {"headers": ["x-t"]}})).await;
    assert!(!one.get("/a?q=1").await.contains("; hit"));
    let why = one.why_of(json!({"url": "http://H/%61?q=1", "headers": ["x-t: mine"]})).await;
    assert_eq!(why.summary, "not stored, and no coordinator knows of a request for it", "{why:#?}");
    assert_eq!((why.group.as_deref(), why.url.as_str()), (Some("g"), "http://h/a?q=1"));
    assert_eq!(why.rule.as_deref(), Some("hosts: h, paths: prefix /a"));
    let key: Vec<_> = why.key.iter().map(|part| (part.name.as_str(), part.value.as_str())).collect();
    let parts =
        [("group", "g"), ("scheme", "http"), ("host", "h"), ("path", "/a"), ("query", "?q=1"), ("header x-t", "mine")];
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
