//! Origins that want a credential: who gets what it opens, who does not, and where it never shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod proxies;

use std::path::Path;

use meshcache_tests::{
    Answer, Ask, Coordinator, Coordinators, Groups, Origin, Reply, await_until,
    coordinator::{ADMIN_TOKEN, PEER_TOKEN},
    wait::SOON,
};
use serde_json::{Value, json};

const HOST: &str = "prices.test";
const KEY: &str = "the-key-that-nobody-may-see";

/// An origin that answers 401 without the key.
async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.on("*", |request| match request.header("x-api-key") {
        key if key == KEY => {
            Reply::fresh(600, format!("price {}", request.nth)).header("vary", "x-api-key, authorization")
        }
        key => Reply::status(401).header("x-sent", key),
    });
    origin
}

/// A group whose origin gets the key from a file of this folder.
fn groups(origin: &str, folder: &Path, more: Value) -> Groups {
    let file = folder.join("api-key");
    let mut groups = Groups::parse("{version: 1, debuggers: [\"*\"], groups: []}");
    let group = json!({
        "name": "prices",
        "match": {"hosts": [HOST], "exclude": [{"prefix": "/private"}]},
        "callers": ["*"],
        "bypass": {"headers": ["x-live"]},
        "origin": {"url": origin, "headers": {"x-api-key": {"file": file}}},
    });
    groups.document["groups"] = json!([group]);
    for (pointer, value) in more.as_object().unwrap() {
        groups = groups.set("prices", pointer, value.clone());
    }
    groups
}

/// Puts another file under the name, as a mounted Secret does it.
fn put(file: &Path, content: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, file).unwrap();
}

async fn ask(coordinator: &Coordinator, ask: Ask) -> Answer {
    ask.send(coordinator.ports.data).await.unwrap()
}

async fn started(groups: &Groups, folder: &Path) -> Coordinator {
    let file = folder.join("groups.yaml");
    std::fs::write(&file, groups.yaml()).unwrap();
    Coordinator::start(&["--config", file.to_str().unwrap()]).await
}

#[tokio::test]
async fn what_a_credential_opens_is_cached_and_shared_and_a_clients_own_field_changes_nothing() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    put(&folder.path().join("api-key"), &format!("{KEY}\n"));
    let coordinator = started(&groups(&origin.url(), folder.path(), json!({})), folder.path()).await;
    for (n, own) in [None, Some("forged"), Some("")].into_iter().enumerate() {
        let get = own.into_iter().fold(Ask::get(HOST, "/a"), |get, own| get.header("x-api-key", own));
        let answer = ask(&coordinator, get).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "price 1"), "{answer:?}");
        assert_eq!(answer.cache_status().contains("; hit"), n > 0, "{answer:?}");
    }
    let forged = ask(&coordinator, Ask::get(HOST, "/b").header("x-api-key", "forged")).await;
    assert_eq!((forged.status, origin.latest("/b").header("x-api-key").as_str()), (200, KEY));
    let ranged = Ask::get(HOST, "/c").header("x-live", "1");
    let passed = ask(&coordinator, ranged).await;
    assert!(passed.status == 200 && passed.cache_status().contains("bypass"), "a pass has it, too: {passed:?}");
}

#[tokio::test]
async fn authorization_of_its_own_passes_as_it_is_and_is_not_stored() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    put(&folder.path().join("api-key"), KEY);
    origin.on("/own", |request| {
        let of = |name| request.header(name);
        Reply::fresh(600, format!("{} {}", of("authorization"), of("x-api-key"))).header("cache-control", "public")
    });
    let coordinator = started(&groups(&origin.url(), folder.path(), json!({})), folder.path()).await;
    for nth in 1..3 {
        let own = Ask::get(HOST, "/own").header("authorization", "Bearer mine").header("x-api-key", "mine, too");
        let answer = ask(&coordinator, own).await;
        assert_eq!(answer.text(), "Bearer mine mine, too", "with nothing of ours");
        assert!(answer.cache_status().contains("detail=bypass-header"), "{answer:?}");
        assert_eq!(origin.hits("/own"), nth);
    }
    assert_eq!(ask(&coordinator, Ask::get(HOST, "/own")).await.text(), format!(" {KEY}"), "nothing was stored");
    // What is stored for all is not given to it either.
    assert_eq!(ask(&coordinator, Ask::get(HOST, "/own").header("authorization", "b")).await.text(), "b ");
}

#[tokio::test]
async fn plain_clients_write_nothing_and_leave_the_groups_paths_only_where_the_group_says_so() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    put(&folder.path().join("api-key"), KEY);
    let closed = started(&groups(&origin.url(), folder.path(), json!({})), folder.path()).await;
    for (method, path) in [("POST", "/a"), ("DELETE", "/a"), ("TRACE", "/a"), ("GET", "/private/x")] {
        let answer = ask(&closed, Ask::new(method, HOST, path)).await;
        assert!(answer.status == 403 && answer.cache_status().contains("not-passed"), "{method} {path}: {answer:?}");
    }
    assert_eq!(origin.total(), 0);
    let more = json!({"/passThrough": {"methods": ["*"], "otherPaths": true}});
    let open = started(&groups(&origin.url(), folder.path(), more), folder.path()).await;
    for (method, path) in [("POST", "/a"), ("GET", "/private/x")] {
        assert_eq!(ask(&open, Ask::new(method, HOST, path)).await.status, 200, "{method} {path}");
    }
    ask(&open, Ask::new("TRACE", HOST, "/t")).await;
    assert_eq!(origin.latest("/t").header("x-api-key"), "", "its response would show it");
}

#[tokio::test]
async fn a_file_that_changes_is_used_for_the_next_load_and_a_broken_one_is_one_line() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on("*", |request| Reply::ok(request.header("x-api-key")).header("cache-control", "no-store"));
    let file = folder.path().join("api-key");
    put(&file, "one\n");
    let coordinator = started(&groups(&origin.url(), folder.path(), json!({})), folder.path()).await;
    let sent = async || ask(&coordinator, Ask::get(HOST, "/a")).await.text();
    let lines = |what: &str| coordinator.process.log().lines().filter(|line| line.contains(what)).count();
    assert_eq!(sent().await, "one");
    put(&file, "two\n");
    await_until(async || sent().await == "two", SOON, "the new key is sent").await;
    for (n, broken) in [Some(""), Some("tw\no"), None].into_iter().enumerate() {
        match broken {
            Some(content) => put(&file, content),
            None => std::fs::remove_file(&file).unwrap(),
        }
        await_until(async || lines("the last good value stays") == n + 1, SOON, "one line says so").await;
        assert_eq!(sent().await, "two");
        let before = lines("api-key: read again");
        put(&file, "two\n");
        await_until(async || lines("api-key: read again") == before + 1, SOON, "it is good again").await;
    }
    assert_eq!(lines("the last good value stays"), 3);
}

#[tokio::test]
async fn groups_that_come_before_the_file_that_they_name_count_when_it_is_there() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let config = folder.path().join("groups.yaml");
    put(
        &config,
        &format!(
            "{{version: 1, groups: [{{name: plain, match: {{hosts: [plain.test]}}, origin: {{url: \"{}\"}}}}]}}",
            origin.url()
        ),
    );
    let coordinator = Coordinator::start(&["--config", config.to_str().unwrap()]).await;
    put(&config, &groups(&origin.url(), folder.path(), json!({})).yaml());
    let failed = || coordinator.process.log().contains("groups not reloaded");
    await_until(async || failed(), SOON, "the file is missing").await;
    assert_eq!(ask(&coordinator, Ask::get("plain.test", "/a")).await.status, 401, "the old groups stay");
    put(&folder.path().join("api-key"), KEY);
    await_until(async || ask(&coordinator, Ask::get(HOST, "/a")).await.status == 200, SOON, "the groups count").await;
}

#[tokio::test]
async fn mistakes_are_one_line_with_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("groups.yaml"), folder.path().join("api-key"));
    put(&key, "a\nb");
    let (name, key) = (file.display().to_string(), key.display().to_string());
    for (field, origin, at, what) in [
        (
            "mode: \"on\"",
            format!("headers: {{x-api-key: {{file: {key}}}}}"),
            3,
            "groups[0].callers: must be written where the origin gets credentials".to_owned(),
        ),
        (
            "callers: [\"*\"]",
            "headers: {Host: {file: /k}}".into(),
            6,
            "groups[0].origin.headers: `Host` is not a header that `origin.headers` may set".into(),
        ),
        (
            "callers: [\"*\"]",
            "headers: {x-key: {file: /nowhere/k}}".into(),
            6,
            "groups[0].origin.headers.x-key.file: /nowhere/k: cannot be read: No such file".into(),
        ),
        (
            "callers: [\"*\"]",
            format!("headers: {{x-key: {{file: {key}}}}}"),
            6,
            format!("groups[0].origin.headers.x-key.file: {key}: has a line break or another control character"),
        ),
        ("callers: [\"*\"]", "headers: {x-key: secret}".into(), 6, "groups[0].origin.headers".into()),
        (
            "callers: [\"*\"]",
            "tls: {cert: /c, key: /k}".into(),
            6,
            "groups[0].origin.tls: is for an https origin".into(),
        ),
        (
            "mode: \"on\"",
            "proxies: inject".into(),
            6,
            "groups[0].origin.proxies: `inject` is for an origin that gets credentials".into(),
        ),
    ] {
        put(
            &file,
            &format!(
                "version: 1\ngroups:\n- name: g\n  {field}\n  match: {{hosts: [h]}}\n  origin: {{url: \"http://o\", {origin}}}\n"
            ),
        );
        let (status, said) = Coordinator::run(&["check", "--config", &name]).await;
        assert_eq!((status.code(), said.trim().lines().count()), (Some(2), 1), "{origin}: {said}");
        assert!(said.contains(&format!("{name}:{at}: {what}")), "{origin}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn credentials_in_clear_are_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("api-key"), KEY);
    let coordinator = started(&groups("http://127.0.0.1:1", folder.path(), json!({})), folder.path()).await;
    let log = coordinator.process.log();
    assert_eq!(log.matches("groups[0].origin.url: credentials go to it in clear").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_shows_nowhere() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    put(&folder.path().join("api-key"), KEY);
    let groups = groups(&origin.url(), folder.path(), json!({"/origin/proxies": "inject"}));
    let mut coordinators = Coordinators::start(2, &groups.yaml(), &["--log-level", "trace"]).await;
    let rules = meshcache_protocol::Groups::new(serde_json::from_value(groups.document.clone()).unwrap()).unwrap();
    let mut seen = Vec::new();
    for n in 0..8 {
        let path = format!("/{n}");
        for coordinator in &coordinators.all {
            // With all that it may tell to those who look for mistakes.
            let answer = ask(coordinator, Ask::get(HOST, &path).header("meshcache-debug", "1")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            seen.push(format!("{answer:?}"));
        }
        let http = meshcache_protocol::Request::read(b"GET", b"http", HOST.as_bytes(), path.as_bytes(), &[]).unwrap();
        let key = meshcache_protocol::Key::of(rules.named("prices").unwrap(), &http, None);
        for coordinator in &coordinators.all {
            let peek =
                Ask::new("POST", HOST, "/.meshcache/peek").header("authorization", format!("Bearer {PEER_TOKEN}"));
            let entry = peek.body(key.bytes().to_vec()).send(coordinator.ports.peer).await.unwrap();
            seen.push(format!("{:?} {}", entry, entry.text()));
        }
    }
    assert!(
        seen.iter().any(|entry| entry.contains("price 1") && entry.contains("vary")),
        "entries as peers hand them over"
    );
    for coordinator in &coordinators.all {
        let ports = coordinator.ports;
        for path in ["/", "/peers", "/groups"] {
            let page = Ask::get("localhost", path).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
            let page = page.send(ports.admin).await.unwrap();
            assert_eq!(page.status, 200);
            seen.push(page.text());
        }
        for path in ["/metrics", "/healthz", "/readyz"] {
            seen.push(Ask::get("localhost", path).send(ports.status).await.unwrap().text());
        }
        let feed = Ask::new("POST", HOST, "/.meshcache/feed").body("{\"wire\": 3}").send(ports.data).await.unwrap();
        assert!(feed.text().contains("\"prices\""), "{feed:?}");
        seen.push(feed.text());
    }
    // A reload and a file that cannot be used are told, not shown.
    put(&folder.path().join("api-key"), &format!("{KEY}\n{KEY}"));
    let told = async || coordinators.all.iter().all(|one| one.process.log().contains("the last good value stays"));
    await_until(told, SOON, "the bad file is told").await;
    coordinators.all[0].terminate(SOON).await;
    for coordinator in &coordinators.all {
        seen.push(coordinator.process.log());
        assert!(coordinator.process.log().contains("serving"));
    }
    for text in seen {
        assert!(!text.contains(KEY), "{text}");
    }
}
