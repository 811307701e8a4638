//! Configurations that are wrong, and those that change while the mesh runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use meshcache_tests::{Ask, Coordinator, Mesh, Reply, await_until, groups::SHOP, wait::SOON};
use serde_json::json;

/// A configuration with one line wrong, the fifth, and what its message must name.
fn wrong() -> Vec<(&'static str, &'static str)> {
    vec![
        ("  colour: blue", "colour"),
        ("  patience: soon", "patience"),
        ("  limits: {object: 8 apples}", "limits"),
        ("  match: {hosts: [a.test], paths: [{regex: \"(\"}]}", "regex"),
        ("  origin: {url: \"not a url\"}", "url"),
        ("  origin: {url: \"http://a.test\", maxLoads: many}", "maxLoads"),
        ("  callers: 7", "callers"),
        ("  methods: [DELETE]", "methods"),
        ("  request: {drop: [host]}", "drop"),
        ("  request: {acceptEncoding: [\"*\"]}", "acceptEncoding"),
        ("  match: {hosts: [a.test], paths: [{target: {regex: \"(\"}}]}", "target"),
        ("  hedge: 1s", "hedge"),
        ("- {name: a, match: {hosts: [b.test]}, origin: {url: \"http://b\"}}", "name"),
        ("  freshness: {default: [1s]}", "default"),
        ("  freshness: {status: {\"206\": 1s}}", "not 1xx, 206 and 304"),
        ("  freshness: {ignore: [no-store]}", "request: {drop: [\"*\"]}"),
        ("  key: {host: somewhere}", "expected one of client, none"),
        ("  key: {query: {include: [\"a=b\"]}}", "include"),
        ("  minUses: 0", "write 1"),
        ("  patience: 1s: 2s", ""),
    ]
}

fn document(line: &str) -> String {
    let lines = ["  match: {hosts: [a.test]}", "  origin: {url: \"http://127.0.0.1:1\"}"];
    // The wrong line takes the place of the right one for the same field.
    let field = line.trim().split(':').next().unwrap_or_default();
    let (kept, replaced): (Vec<&str>, Vec<&str>) = lines.iter().partition(|own| !own.trim().starts_with(field));
    let filler = if replaced.is_empty() { "" } else { "  mode: \"on\"\n" };
    format!("version: 1\ngroups:\n- name: a\n{filler}{}\n{line}\n", kept.join("\n")).replacen("\n\n", "\n", 1)
}

#[tokio::test]
async fn a_wrong_configuration_is_one_line_that_names_file_line_and_field_and_exit_status_2() {
    let folder = tempfile::tempdir().unwrap();
    for (n, (line, field)) in wrong().into_iter().enumerate() {
        let file = folder.path().join(format!("{n}.yaml"));
        let text = document(line);
        std::fs::write(&file, &text).unwrap();
        let file = file.to_str().unwrap();
        let at = text.lines().position(|own| own == line).unwrap() + 1;
        let free = "127.0.0.1:0";
        let start = ["--config", file, "--listen", free, "--admin", free, "--status", free, "--peer-listen", free];
        for arguments in [&start[..], &["check", "--config", file]] {
            let (status, said) = Coordinator::run(arguments).await;
            assert_eq!(status.code(), Some(2), "{arguments:?} of\n{text}said: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{arguments:?} of\n{text}said more than one line: {said}");
            assert!(said.contains(file) && said.contains(field), "`{line}` of {file}: {said}");
            assert!(
                said.contains(&format!(":{at}")) || said.contains(&format!("line {at}")),
                "no line {at} of\n{text}in: {said}"
            );
        }
    }
}

#[tokio::test]
async fn flags_that_are_wrong_are_refused_with_exit_status_2() {
    let none = "/nonexistent/groups.yaml";
    let wrong: [&[&str]; 9] = [
        &["--config", none],
        &["check", "--config", none],
        &["--origin", "not a url"],
        &["--origin", "http://127.0.0.1:1", "--listen", "nowhere"],
        &["--origin", "http://127.0.0.1:1", "--store-bytes", "some"],
        &["--origin", "http://127.0.0.1:1", "--peers", "nonsense"],
        &["--origin", "http://127.0.0.1:1", "--identity", "believe-me"],
        &["--origin", "http://127.0.0.1:1", "--admin-token-file", "/nonexistent"],
        &["--colour"],
    ];
    for arguments in wrong {
        let (status, said) = Coordinator::run(arguments).await;
        assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.trim().is_empty(), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_good_configuration_is_checked_without_starting_anything() {
    let example = meshcache_tests::artifact::file("envoy/groups.yaml");
    let (status, said) = Coordinator::run(&["check", "--config", example.to_str().unwrap()]).await;
    assert!(status.success(), "{said}");
    // A group that can never match is a warning and no error.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("groups.yaml");
    let group = |name: &str| format!("- {{name: {name}, match: {{hosts: [a.test]}}, origin: {{url: \"http://a\"}}}}\n");
    std::fs::write(&file, format!("version: 1\ngroups:\n{}{}", group("first"), group("never"))).unwrap();
    let (status, said) = Coordinator::run(&["check", "--config", file.to_str().unwrap()]).await;
    assert!(status.success() && said.contains("never"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_at_reload_leaves_the_old_one_in_force() {
    let mesh = Mesh::of(2, 1).start().await;
    let succeeded = async |value: f64| {
        let all = mesh.coordinators.metrics().await;
        all.iter().all(|of| of.get("meshcache_config_last_reload_successful", &[]) == value)
    };
    assert!(succeeded(1.0).await);
    for bad in
        ["", "nonsense", "version: 1\ngroups:\n- name: a\n", "{\"version\": 1, \"groups\": [{\"name\": \"shop\"}]}"]
    {
        mesh.coordinators.configure(bad);
        await_until(async || succeeded(0.0).await, SOON, "the metric tells of the failure").await;
        mesh.origin.always("/still", Reply::fresh(60, "still"));
        for to in [mesh.fronts()[0], mesh.coordinators.data()[0], mesh.coordinators.data()[1]] {
            let answer = Ask::get(SHOP, "/still").send(to).await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "still".to_owned()));
            assert!(!answer.cache_status().is_empty(), "{answer:?}");
        }
        assert_eq!(mesh.origin.hits("/still"), 1);
        mesh.coordinators.configure(&mesh.groups.yaml());
        await_until(async || succeeded(1.0).await, SOON, "the metric tells that all is well again").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_of_a_group_reaches_the_proxies_by_the_feed() {
    let mesh = Mesh::of(2, 1).groups(|groups| groups.plus("modal", json!({"mode": "off"}))).start().await;
    mesh.origin.always("/modal", Reply::fresh(3600, "x").header("x-from", "origin"));
    let ask = async || Ask::get("modal.test", "/modal").send(mesh.fronts()[0]).await.unwrap();
    let served = async || {
        let answer = ask().await;
        assert_eq!((answer.status, answer.text(), answer.header("x-from")), (200, "x".to_owned(), "origin".to_owned()));
        answer.cache_status().contains("; hit")
    };
    for i in 1..=5 {
        assert!(!served().await);
        assert_eq!(mesh.origin.hits("/modal"), i, "off is off");
    }
    let mode = |mode: &str| mesh.coordinators.configure(&mesh.groups.clone().set("modal", "/mode", json!(mode)).yaml());
    mode("on");
    await_until(&served, SOON, "the group is on").await;
    mode("observe");
    await_until(async || !served().await, SOON, "the group only observes").await;
    let counted = async || mesh.coordinators.sum("meshcache_proxy_requests_total", &[("group", "modal")]).await;
    let (hits, before) = (mesh.origin.hits("/modal"), counted().await);
    for i in 1..=20 {
        let answer = ask().await;
        assert!(
            answer.text() == "x" && !answer.has("cache-status") && !answer.has("age"),
            "observing shows: {answer:?}"
        );
        assert_eq!(mesh.origin.hits("/modal"), hits + i, "observing answers nothing");
    }
    await_until(async || counted().await >= before + 20.0, SOON, "what it would have done is counted").await;
    mode("off");
    await_until(async || ask().await.status == 200 && !served().await, SOON, "the group is off").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_reaches_every_proxy_within_a_second_of_the_coordinators() {
    const SECOND: Duration = Duration::from_secs(1);
    let mesh = Mesh::of(2, 2).groups(|groups| groups.plus("switch", json!({}))).start().await;
    mesh.origin.always("/switch", Reply::fresh(3600, "x"));
    let served = async |by: SocketAddr| {
        Ask::get("switch.test", "/switch").send(by).await.unwrap().cache_status().contains("; hit")
    };
    let digests = async || -> BTreeSet<String> {
        let all = mesh.coordinators.metrics().await;
        all.iter()
            .flat_map(|of| of.0.keys().filter(|series| series.starts_with("meshcache_config_info")).cloned())
            .collect()
    };
    let mode =
        |mode: &str| mesh.coordinators.configure(&mesh.groups.clone().set("switch", "/mode", json!(mode)).yaml());
    let mut took = Vec::new();
    // A machine that is busy with other things may take its time once, but not each time.
    for _ in 0..10 {
        mode("on");
        for front in mesh.fronts() {
            await_until(async || served(front).await, SOON, "the group is on").await;
        }
        let (on, began) = (digests().await, Instant::now());
        mode("off");
        let mut reloaded = began;
        loop {
            let asked = Instant::now();
            let now = digests().await;
            if now.len() == 1 && now != on {
                break;
            }
            assert!(began.elapsed() < SOON, "the coordinators do not take over the groups");
            reloaded = asked;
        }
        for front in mesh.fronts() {
            await_until(async || !served(front).await, SOON, "the group is off").await;
        }
        took.push(reloaded.elapsed());
        if took.last().is_some_and(|took| *took < SECOND) {
            return;
        }
    }
    panic!("each time it took longer than a second: {took:?}");
}
