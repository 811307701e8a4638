//! `meshcache-coordinator kubecache`: the program from kubecache's environment, before a real origin.
//! docs/kubecache.md names these tests.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;
mod support;

use plane::{Origin, Seen, answer};
use serde_json::Value;
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};
use support::{Reply, get, port, send, until};

/// A pod: the real program, killed when it goes out of scope.
struct Pod {
    process: std::process::Child,
    folder: tempfile::TempDir,
    ports: Value,
}

fn program(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
    command.arg("kubecache").env_clear().envs(variables.iter().copied());
    command
}

impl Pod {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let mut command = program(&[
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("HEALTH_ADDR", "127.0.0.1:0"),
            ("METRICS_ADDR", "127.0.0.1:0"),
            ("GROUPCACHE_PORT", ":0"),
            ("MESHCACHE_ADMIN", "127.0.0.1:0"),
            ("MESHCACHE_STATUS", "127.0.0.1:0"),
        ]);
        command.envs(variables.iter().copied()).env("MESHCACHE_PORTS_FILE", &file);
        let process =
            command.stderr(Stdio::from(std::fs::File::create(folder.path().join("log")).unwrap())).spawn().unwrap();
        let mut pod = Self { process, folder, ports: Value::Null };
        until("the ports file is there", async || {
            assert!(pod.process.try_wait().unwrap().is_none(), "{}", pod.log());
            file.exists()
        })
        .await;
        pod.ports = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        pod
    }

    async fn before(origin: &Origin, variables: &[(&str, &str)]) -> Self {
        let url = origin.url();
        Self::start(&[&[("BACKEND_URL", url.as_str())], variables].concat()).await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn port(&self, name: &str) -> SocketAddr {
        let address: SocketAddr =
            self.ports[name].as_str().unwrap_or_else(|| panic!("{name}: {}", self.ports)).parse().unwrap();
        // The peer port listens everywhere.
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    async fn get(&self, path: &str) -> Reply {
        get(self.port("data"), path).await
    }

    async fn metrics(&self) -> String {
        get(self.port("metrics"), "/metrics").await.body
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers with what came: method, target, names of fields, and the body.
fn echo(seen: &Seen) -> String {
    let names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    format!("{} {} [{}] {}", seen.method, seen.target, names.join(" "), String::from_utf8_lossy(&seen.body))
}

/// Seconds for which a response from the cache is fresh, by Cache-Status.
fn ttl(reply: &Reply) -> u64 {
    let status = reply.header("cache-status");
    let ttl = status.split("ttl=").nth(1).unwrap_or_else(|| panic!("not from the cache: {reply:?}"));
    ttl.split(';').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_ok_and_metrics_have_their_namespaces() {
    let origin = Origin::new(|seen| async move { answer(200, &[], echo(&seen)) }).await;
    let pod = Pod::before(
        &origin,
        &[("HEALTH_PATH", "/live"), ("METRICS_NAMESPACE", "shop"), ("KUBEGROUP_METRICS_NAMESPACE", "kube")],
    )
    .await;
    let health = get(pod.port("health"), "/live").await;
    assert_eq!((health.status, health.body.as_str()), (200, "health ok\n"));
    assert_eq!(get(pod.port("health"), "/health").await.status, 404);
    for path in ["/prod/a?n=1", "/prod/a?n=2", "/prod/a?n=2"] {
        assert_eq!(pod.get(path).await.status, 200);
    }
    let page = pod.metrics().await;
    for line in [
        "shop_groupcache_gets_total{group=\"path\"} 3",
        "shop_groupcache_hits_total{group=\"path\"} 1",
        "kube_kubegroup_peers 1",
        "shop_requests_seconds_count{method=\"GET\",outcome=\"SUCCESS\",status=\"200\",uri=\"/prod/a\"} 3",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let own = get(pod.port("status"), "/metrics").await.body;
    assert!(own.contains("\ngroupcache_gets_total{") && own.contains("\nrequests_seconds_count{"), "{own}");
    assert!(page.contains("meshcache_connections{port=\"health\"}"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_can_be_switched_off() {
    let origin = Origin::new(|_| async { answer(200, &[], "") }).await;
    let pod = Pod::before(&origin, &[("PROMETHEUS_ENABLE", "false")]).await;
    assert!(pod.ports["metrics"].is_null(), "{}", pod.ports);
    assert!(!get(pod.port("status"), "/metrics").await.body.contains("requests_seconds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_for_everybody_for_cache_ttl_whatever_it_says() {
    let origin = Origin::new(|seen| async move {
        let fields =
            [("cache-control", "private, no-store, max-age=1"), ("vary", "*"), ("set-cookie", "s=1"), ("x-a", "1")];
        answer(200, &fields, echo(&seen))
    })
    .await;
    let pod = Pod::before(&origin, &[]).await;
    let ask = async |fields: &[(&str, &str)]| send(pod.port("data"), "GET", "/prod/a?b=1", fields, "").await;
    let first = ask(&[("host", "a.example"), ("cookie", "u=1"), ("authorization", "Bearer 1"), ("x-u", "1")]).await;
    assert!(first.status == 200 && first.body.starts_with("GET /prod/a?b=1 ["), "{first:?}");
    for name in ["cookie", "authorization", "x-u", "accept-encoding"] {
        assert!(!first.body.contains(name), "{name} went to the backend: {first:?}");
    }
    for fields in
        [&[("host", "b.example"), ("cookie", "u=2")][..], &[("cache-control", "no-cache")], &[("accept", "x/y")]]
    {
        let again = ask(fields).await;
        assert_eq!((again.status, &again.body, again.header("x-a")), (200, &first.body, "1"), "{fields:?}");
        assert!((290..=300).contains(&ttl(&again)) && !again.headers.contains_key("set-cookie"), "{again:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_status_is_for_cache_error_ttl_and_a_redirect_is_given_as_it_is() {
    let origin = Origin::new(|seen| async move {
        let status: u16 = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        answer(status, &[("location", "/elsewhere"), ("cache-control", "no-store")], "x")
    })
    .await;
    let pod = Pod::before(&origin, &[]).await;
    let statuses = [301, 302, 307, 308, 400, 401, 403, 404, 405, 410, 412, 416, 421, 429, 451, 500, 502, 503, 504, 511];
    for status in statuses {
        let path = format!("/prod/{status}");
        let (first, again) = (pod.get(&path).await, pod.get(&path).await);
        assert_eq!((first.status, again.status, again.header("location")), (status, status, "/elsewhere"));
        assert!((50..=60).contains(&ttl(&again)), "{status}: {again:?}");
    }
    assert_eq!(origin.count(), statuses.len());
    let other = Pod::before(&origin, &[("CACHE_TTL", "0s"), ("CACHE_ERROR_TTL", "2h")]).await;
    for _ in 0..2 {
        assert_eq!((other.get("/prod/204").await.status, other.get("/prod/404").await.status), (204, 404));
    }
    assert_eq!(origin.count(), statuses.len() + 3, "CACHE_TTL of 0s stores nothing");
    assert!(ttl(&other.get("/prod/404").await) > 7000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_restrict_does_not_name_goes_to_the_backend_each_time_and_whole() {
    let origin = Origin::new(|seen| async move { answer(200, &[("cache-control", "max-age=60")], echo(&seen)) }).await;
    let pod = Pod::before(&origin, &[("RESTRICT_ROUTE_REGEXP", r#"["\\?all=1$", "^/a/"]"#)]).await;
    for (path, loads) in [("/x?all=1", 1), ("/x?all=11", 2), ("/a/b", 1), ("/b/a/", 2)] {
        let before = origin.count();
        for _ in 0..2 {
            assert_eq!(pod.get(path).await.status, 200, "{path}");
        }
        assert_eq!(origin.count() - before, loads, "{path}");
    }
    for _ in 0..2 {
        let before = origin.count();
        let posted = send(pod.port("data"), "POST", "/a/b", &[("x-u", "1")], "body").await;
        assert!(
            posted.body.starts_with("POST /a/b [") && posted.body.contains("x-u") && posted.body.ends_with(" body"),
            "{posted:?}"
        );
        assert_eq!(origin.count() - before, 1);
    }
    let all = Pod::before(&origin, &[("RESTRICT_ROUTE_REGEXP", "[]"), ("RESTRICT_METHOD", r#"["get"]"#)]).await;
    let before = origin.count();
    for _ in 0..2 {
        all.get("/any").await;
        send(all.port("data"), "HEAD", "/any/head", &[], "").await;
    }
    assert_eq!(origin.count() - before, 3, "GET is cached, and HEAD is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_is_502_without_its_url() {
    let gone = port::Refused::new();
    let pod = Pod::start(&[("BACKEND_URL", &format!("http://{}", gone.addr))]).await;
    let reply = pod.get("/prod/a").await;
    assert!(reply.status == 502 && !reply.body.contains(&gone.addr.to_string()), "{reply:?}");
    let line = "requests_seconds_count{method=\"GET\",outcome=\"SERVER_ERROR\",status=\"502\",uri=\"/prod/a\"} 1";
    assert!(pod.metrics().await.contains(line));
}

/// Three pods that know each other, without a token.
async fn three(origin: &Origin) -> Vec<Pod> {
    let places = ["a", "b", "c"].map(|name| (name, port::unused().port(), port::unused().port()));
    let peers: Vec<String> =
        places.iter().map(|(name, data, peer)| format!("{name}=127.0.0.1:{data}/{peer}")).collect();
    let mut pods = Vec::new();
    for (name, data, peer) in &places {
        let (listen, port) = (format!("127.0.0.1:{data}"), format!(":{peer}"));
        let variables = [
            ("MESHCACHE_NAME", *name),
            ("MESHCACHE_PEERS", &peers.join(",")),
            ("LISTEN_ADDR", &listen),
            ("GROUPCACHE_PORT", &port),
        ];
        pods.push(Pod::before(origin, &variables).await);
    }
    pods
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pods_without_a_token_load_a_key_once_and_go_on_after_a_purge() {
    let origin = Origin::new(|seen| async move { answer(200, &[], seen.n.to_string()) }).await;
    let pods = three(&origin).await;
    let ask_all = async || {
        for n in 0..8 {
            for pod in &pods {
                assert_eq!(pod.get(&format!("/prod/{n}")).await.status, 200);
            }
        }
    };
    ask_all().await;
    assert_eq!(origin.count(), 8, "one load a key");
    for pod in &pods {
        assert!(
            pod.log().contains("whoever reaches the peer port") || pod.log().contains("serves alone"),
            "{}",
            pod.log()
        );
    }
    let purged = send(pods[0].port("admin"), "POST", "/purge", &[], r#"{"all": true}"#).await;
    let mut unreached: Vec<String> = serde_json::from_value(purged.json()["unreached"].clone()).unwrap();
    unreached.sort();
    assert_eq!((purged.status, unreached), (202, vec!["b".to_owned(), "c".to_owned()]));
    // What the first pod owned is loaded again. The others answer from their stores, the first one's questions too.
    ask_all().await;
    let after_purge = origin.count();
    assert!((9..16).contains(&after_purge), "{after_purge}");
    ask_all().await;
    assert_eq!(origin.count(), after_purge);
    let lease = "\nmeshcache_purge_lease_held 1\n";
    for pod in &pods {
        assert!(pod.metrics().await.contains(lease));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_peer_port_takes_nothing_that_changes_what_others_have() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let pod = Pod::before(&origin, &[]).await;
    pod.get("/prod/a").await;
    let peer = pod.port("peer");
    for (path, body) in [
        ("/.meshcache/purge", r#"{"purge": {"source": "other.1", "n": 1, "what": {"all": true}}}"#),
        ("/.meshcache/purges", r#"{"position": ""}"#),
        ("/.meshcache/push", "x"),
        (
            "/.meshcache/announce",
            r#"{"peer": {"name": "x", "data": "127.0.0.1:1", "peer": "127.0.0.1:2"}, "event": "join"}"#,
        ),
        ("/.meshcache/none", ""),
    ] {
        assert_eq!(send(peer, "POST", path, &[], body).await.status, 401, "{path}");
    }
    // Its purge position is a claim that counts for nothing: the store goes on answering.
    let question = [
        ("meshcache-wire", "1; group=path; hop; purge=x.1:7"),
        ("meshcache-authority", "h"),
        ("meshcache-scheme", "http"),
    ];
    let before = origin.count();
    let asked = send(peer, "GET", "/prod/a", &question, "").await;
    assert_eq!((asked.status, asked.body.as_str(), origin.count() - before), (200, "x", 0), "{asked:?}");
    assert_eq!(send(peer, "POST", "/.meshcache/peek", &[("meshcache-wire", "1")], "").await.status, 204);
    assert_eq!(pod.get("/prod/a").await.header("cache-status").split(';').nth(1), Some(" hit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_asks_by_groupcaches_protocol_is_told_400() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let pod = Pod::before(&origin, &[]).await;
    let asked = get(pod.port("peer"), "/_groupcache/path/GET%20%2Fprod%2Fa").await;
    assert_eq!((asked.status, origin.count()), (400, 0), "404 and 503 would be 500 for its client: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_peer_port_is_as_ever() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let (_folder, token) = support::file("peer-token");
    let pod = Pod::before(&origin, &[("MESHCACHE_PEER_TOKEN_FILE", &token)]).await;
    let question =
        [("meshcache-wire", "1; group=path; hop"), ("meshcache-authority", "h"), ("meshcache-scheme", "http")];
    assert_eq!(send(pod.port("peer"), "GET", "/prod/a", &question, "").await.status, 401);
    assert_eq!(send(pod.port("peer"), "POST", "/.meshcache/peek", &[], "").await.status, 401);
}

#[test]
fn a_wrong_variable_is_one_line_and_status_2() {
    for (name, value) in
        [("RESTRICT_ROUTE_REGEXP", "[\"(\"]"), ("RESTRICT_METHOD", "GET"), ("BACKEND_URL", "x"), ("COMPUTE", "ecs")]
    {
        let ended = program(&[(name, value)]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("{name}: ")) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn what_print_prints_is_good_for_check_and_is_what_is_served() {
    let printed = program(&[("CACHE_TTL", "10s"), ("RESTRICT_METHOD", "[\"GET\"]")]).arg("--print").output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let text = String::from_utf8(printed.stdout).unwrap();
    let (_folder, path) = support::file(&text);
    let checked =
        Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator")).args(["check", "--config", &path]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}\n{text}");
    assert!(text.contains("--listen [::]:8080") && text.contains("\"2xx\": 10s"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_conditions_and_heads_are_answered_from_one_load() {
    let origin = Origin::new(|_| async { answer(200, &[("etag", "\"1\"")], "0123456789") }).await;
    let pod = Pod::before(&origin, &[]).await;
    let ask = async |method: &str, fields: &[(&str, &str)]| send(pod.port("data"), method, "/prod/a", fields, "").await;
    assert_eq!(ask("GET", &[]).await.body, "0123456789");
    for (method, fields, status, body) in [
        ("HEAD", &[][..], 200, ""),
        ("GET", &[("range", "bytes=2-3")], 206, "23"),
        ("GET", &[("if-none-match", "\"1\"")], 304, ""),
    ] {
        let reply = ask(method, fields).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{method} {fields:?}: {reply:?}");
        let names = ["age", "cache-status", "via"];
        assert!(names.iter().all(|name| reply.headers.contains_key(*name)), "{reply:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_kubecache_would_redirect_goes_to_the_backend_as_it_is() {
    let origin = Origin::new(|seen| async move { answer(200, &[], seen.target) }).await;
    let pod = Pod::before(&origin, &[]).await;
    for path in ["/prod//a", "/prod/../prod/a"] {
        let replies = [pod.get(path).await, pod.get(path).await];
        assert!(replies.iter().all(|reply| (reply.status, reply.body.as_str()) == (200, path)), "{replies:?}");
    }
    assert_eq!(origin.count(), 4, "and is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_told_to_end_answers_for_a_while_and_its_health_is_ok() {
    let origin = Origin::new(|_| async { answer(200, &[], "x") }).await;
    let mut pod = Pod::before(&origin, &[("MESHCACHE_DRAIN_TIMEOUT", "2s")]).await;
    pod.get("/prod/a").await;
    let id = rustix::process::Pid::from_child(&pod.process);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    until("it stops", async || pod.log().contains("stopping")).await;
    assert_eq!(pod.get("/prod/a").await.status, 200, "Services still send requests");
    assert_eq!(get(pod.port("health"), "/health").await.body, "health ok\n");
    until("it has ended", async || pod.process.try_wait().unwrap().is_some()).await;
    assert!(pod.process.wait().unwrap().success(), "{}", pod.log());
}

const PAGE: &str = include_str!("../../docs/kubecache.md");

#[test]
fn the_page_shows_what_print_prints() {
    let (command, shown) = PAGE.split_once("$ env ").unwrap().1.split_once('\n').unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let variables: Vec<(&str, &str)> = command.split(' ').filter_map(|word| word.split_once('=')).collect();
    assert!(command.ends_with(" meshcache-coordinator kubecache --print"), "{command}");
    let printed = program(&variables).arg("--print").output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), shown, "{}", String::from_utf8_lossy(&printed.stderr));
}

#[test]
fn the_page_names_each_variable_of_kubecache() {
    for name in [
        "TRACE",
        "DEBUG_LOG",
        "LISTEN_ADDR",
        "BACKEND_URL",
        "RESTRICT_ROUTE_REGEXP",
        "RESTRICT_METHOD",
        "BACKEND_TIMEOUT",
        "CACHE_TTL",
        "CACHE_ERROR_TTL",
        "HEALTH_ADDR",
        "HEALTH_PATH",
        "METRICS_ADDR",
        "METRICS_PATH",
        "METRICS_NAMESPACE",
        "METRICS_BUCKETS_LATENCY_HTTP",
        "EMF_SEND_LOGS",
        "EMF_ENABLE",
        "PROMETHEUS_ENABLE",
        "DOGSTATSD_ENABLE",
        "DOGSTATSD_*",
        "GROUPCACHE_VERSION",
        "GROUPCACHE_PORT",
        "GROUPCACHE_SIZE_BYTES",
        "GROUPCACHE_DISABLE_PURGE_EXPIRED",
        "GROUPCACHE_EXPIRED_KEYS_EVICTION_INTERVAL",
        "KUBEGROUP_METRICS_NAMESPACE",
        "KUBEGROUP_DEBUG",
        "KUBEGROUP_LABEL_SELECTOR",
        "KUBEGROUP_FORCE_NAMESPACE_DEFAULT",
        "COMPUTE",
        "FORCE_SINGLE_TASK",
        "ECS_*",
        "SECRET_ROLE_ARN",
        "OTEL_*",
        "OTELCONFIG_EXPORTER",
        "AUTOMEMLIMIT*",
    ] {
        let is_there = PAGE.contains(&format!("`{name}`")) || PAGE.contains(&format!("`{name}="));
        assert!(is_there, "{name}");
    }
}
