//! What is the dynamic module's own: one state for all workers, panics, callouts that end with their streams.
//!
//! Long: what only the native host has, each with its Envoy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use meshcache_tests::{
    Answer, Ask, Envoy, EnvoyConfig, Gate, Host, Mesh, Reply, artifact, await_until, groups::SHOP, herd::Gathered,
    mesh::MeshConfig, wait::SOON,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Where the example says that the module is.
const MODULE: &str = "target/native/libmeshcache_envoy.so";

/// `MESHCACHE_TRAP_NATIVE`, else the module with the feature `trap` as `make test-modules` builds it.
fn trapping() -> PathBuf {
    std::env::var_os("MESHCACHE_TRAP_NATIVE")
        .map_or_else(|| artifact::target().join("trap/libmeshcache_envoy.so"), PathBuf::from)
}

/// An Envoy with the module and several workers, whose metrics have the names that Wasm's have.
fn native(envoy: EnvoyConfig) -> EnvoyConfig {
    let mut envoy = envoy.host(Host::Native).concurrency(4);
    let guard = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
    envoy.bootstrap["layered_runtime"] = json!({"layers": [{"name": "static", "static_layer": {guard: true}}]});
    envoy
}

fn mesh(coordinators: usize) -> MeshConfig {
    Mesh::of(coordinators, 1).envoy(native)
}

async fn get(mesh: &Mesh, path: &str) -> Answer {
    Ask::get(SHOP, path).send(mesh.fronts()[0]).await.unwrap()
}

async fn stat(envoy: &Envoy, name: &str) -> f64 {
    envoy.stats().await.sum(name, &[])
}

/// The workers that have a connection of a client.
async fn busy_workers(envoy: &Envoy) -> usize {
    let page = envoy.page("/stats?filter=worker_._downstream_cx_active|worker_.\\.downstream_cx_active").await;
    page.text().lines().filter(|line| line.starts_with("listener.") && !line.ends_with(": 0")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_all_workers_for_one_key_share_one_lookup() {
    let mesh = mesh(1).start().await;
    let gate = Gate::shut();
    mesh.origin.always("/held", Reply::fresh(60, "held").behind(&gate));
    let waiting = tokio::spawn(Gathered::gather(40, &mesh.fronts(), |_| Ask::get(SHOP, "/held")).await.go());
    let joined = async || stat(&mesh.envoys[0], "meshcache_filter_joined").await;
    await_until(async || joined().await == 39.0, SOON, "39 have joined the first").await;
    assert!(busy_workers(&mesh.envoys[0]).await > 1, "they are on several workers");
    gate.open();
    let herd = waiting.await.unwrap();
    herd.expect_all_ok();
    assert!(herd.answers().all(|answer| answer.text() == "held"));
    assert_eq!(mesh.origin.hits("/held"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_copy_is_of_all_workers_and_outlives_a_time_without_requests() {
    let mesh = mesh(1).groups(|groups| groups.set("shop", "/hot/ttl", json!("60s"))).start().await;
    mesh.origin.always("/hot", Reply::fresh(60, "hot"));
    assert_eq!(get(&mesh, "/hot").await.text(), "hot");
    let counted = async || {
        let labels = [("group", "shop"), ("outcome", "hot")];
        mesh.envoys[0].stats().await.get("meshcache_requests_total", &labels)
    };
    let answers = async || stat(&mesh.envoys[0], "meshcache_filter_feed_answers").await;
    let heard = answers().await;
    await_until(async || answers().await >= heard + 5.0, SOON, "trust would have lapsed without the feed").await;
    let before = counted().await;
    let herd = Gathered::gather(20, &mesh.fronts(), |_| Ask::get(SHOP, "/hot")).await.go().await;
    assert!(herd.answers().all(|answer| answer.cache_status().contains("detail=proxy")), "{:?}", herd.statuses());
    assert_eq!(mesh.origin.hits("/hot"), 1);
    await_until(async || counted().await == before + 20.0, SOON, "they are counted by group").await;
    let waits = mesh.envoys[0].stats().await;
    assert!(waits.0.keys().any(|series| series.contains("lock_waits")), "a counter says how many waited for others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_client_leaves_whose_request_was_looked_up_the_others_have_their_answer() {
    let mesh = mesh(1).start().await;
    let gate = Gate::shut();
    mesh.origin.always("/left", Reply::fresh(60, "left").behind(&gate));
    let mut first = TcpStream::connect(mesh.fronts()[0]).await.unwrap();
    first.write_all(&Ask::get(SHOP, "/left").wire()).await.unwrap();
    await_until(async || mesh.origin.under_way() == 1, SOON, "the first one's lookup is a load").await;
    let waiting = tokio::spawn(Gathered::gather(10, &mesh.fronts(), |_| Ask::get(SHOP, "/left")).await.go());
    let joined = async || stat(&mesh.envoys[0], "meshcache_filter_joined").await;
    await_until(async || joined().await == 10.0, SOON, "the others have joined").await;
    let lookups = stat(&mesh.envoys[0], "meshcache_filter_questions").await;
    drop(first);
    let asked = async || stat(&mesh.envoys[0], "meshcache_filter_questions").await > lookups;
    await_until(asked, SOON, "another one has asked").await;
    gate.open();
    waiting.await.unwrap().expect_all_ok();
    assert_eq!(mesh.origin.hits("/left"), 1, "its load is the one that was there");
}

/// What an origin does that holds back the rest of a body.
enum Then {
    Rest,
    Cut,
}

/// An origin that sends a head and half a body, and then what it is told. Returns its URL and the way to tell it.
async fn holding_back() -> (String, mpsc::UnboundedSender<Then>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let start = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\nfirst";
            stream.write_all(start).await.unwrap();
            if let Some(Then::Rest) = told.recv().await {
                stream.write_all(b" half").await.unwrap();
            }
        }
    });
    (url, tell)
}

/// Asks, and reads until the first half of the body is there.
async fn first_half(mesh: &Mesh, path: &str) -> (TcpStream, String) {
    let mut client = TcpStream::connect(mesh.fronts()[0]).await.unwrap();
    client.write_all(&Ask::get("held.test", path).wire()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"first") {
        assert!(client.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
    (client, String::from_utf8(read).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_the_first_bytes_while_the_origin_holds_back_the_rest() {
    let (url, tell) = holding_back().await;
    let group = json!({"match": {"hosts": ["held.test"]}, "origin": {"url": url}});
    let mesh = mesh(2).groups(|groups| groups.plus("held", group)).start().await;
    let (mut first, head) = first_half(&mesh, "/x").await;
    assert!(head.contains("content-length: 10") && head.contains("cache-status: meshcache; fwd=uri-miss"), "{head}");
    let (mut second, _) = first_half(&mesh, "/x").await;
    tell.send(Then::Rest).unwrap();
    for client in [&mut first, &mut second] {
        let mut rest = [0; 5];
        client.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b" half");
    }
    let hot = async || {
        let answer = Ask::get("held.test", "/x").send(mesh.fronts()[0]).await.unwrap();
        assert_eq!(answer.text(), "first half");
        answer.cache_status().contains("hit")
    };
    await_until(hot, SOON, "it is stored once it is whole").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_half_a_body_is_cut_off_when_the_origin_is_and_nothing_is_stored() {
    let (url, tell) = holding_back().await;
    let group = json!({"match": {"hosts": ["held.test"]}, "origin": {"url": url}});
    let mesh = mesh(1).groups(|groups| groups.plus("held", group)).start().await;
    let (mut first, _) = first_half(&mesh, "/x").await;
    tell.send(Then::Cut).unwrap();
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "its connection ends");
    let (mut second, _) = first_half(&mesh, "/x").await;
    tell.send(Then::Rest).unwrap();
    let mut rest = [0; 5];
    second.read_exact(&mut rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_the_middle_of_a_body_does_not_notice_that_its_owner_is_killed() {
    let body: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let half = body.len() / 2;
    let (sent, (counted, mut loads)) = (body.clone(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = if is_first { sent[..half].to_vec() } else { sent.clone() };
            is_first = false;
            let (counted, length) = (counted.clone(), sent.len());
            tokio::spawn(async move {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                counted.send(()).unwrap();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag: \"1\"\r\ncontent-length: {length}\r\n\r\n"
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                std::future::pending::<()>().await;
            });
        }
    });
    let group = json!({"match": {"hosts": ["held.test"]}, "origin": {"url": url}});
    let mut mesh = mesh(3).groups(|groups| groups.plus("held", group)).start().await;
    let path = mesh.owned_by(0, "held.test", "/x");
    let mut client = TcpStream::connect(mesh.fronts()[0]).await.unwrap();
    client.write_all(&Ask::get("held.test", &path).header("connection", "close").wire()).await.unwrap();
    let mut read = Vec::new();
    let whole = |read: &[u8]| read.windows(4).position(|four| four == b"\r\n\r\n").map(|end| read.len() - end - 4);
    while whole(&read).is_none_or(|had| had < half) {
        assert!(client.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
    mesh.coordinators.all[0].kill();
    let _ = client.read_to_end(&mut read).await;
    let had = whole(&read).unwrap();
    assert!(read.ends_with(&body) && had == body.len(), "{had} of {}", body.len());
    assert!(loads.try_recv().is_ok() && loads.try_recv().is_ok() && loads.try_recv().is_err(), "one more load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_40_mib_comes_whole_from_a_coordinator() {
    let mesh = mesh(1).start().await;
    let body = vec![b'x'; 40 << 20];
    mesh.origin.always("/large", Reply::fresh(60, body.clone()));
    for _ in 0..2 {
        let answer = get(&mesh, "/large").await;
        assert_eq!((answer.status, answer.body.len()), (200, body.len()));
        assert!(answer.body == body, "the bytes are the origin's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_nobody_an_answer_and_three_in_a_minute_switch_the_module_off() {
    let module = trapping();
    assert!(module.exists(), "{} is missing: run `make test-modules`", module.display());
    let mesh = mesh(1).envoy(|envoy| envoy.replace(MODULE, module.to_str().unwrap())).start().await;
    let gate = Gate::shut();
    mesh.origin.always("/held", Reply::fresh(60, "held").behind(&gate)).always("/x", Reply::fresh(60, "x"));
    let waiting = tokio::spawn(Gathered::gather(10, &mesh.fronts(), |_| Ask::get(SHOP, "/held")).await.go());
    let joined = async || stat(&mesh.envoys[0], "meshcache_filter_joined").await;
    await_until(async || joined().await == 9.0, SOON, "ten wait").await;
    let trap = async || {
        let answer = Ask::get(SHOP, "/x").header("x-trap", "panic").send(mesh.fronts()[0]).await.unwrap();
        assert_eq!((answer.status, answer.text(), answer.cache_status()), (200, "x".into(), String::new()));
    };
    trap().await;
    trap().await;
    gate.open();
    waiting.await.unwrap().expect_all_ok();
    assert!(get(&mesh, "/held").await.cache_status().contains("hit"), "the cache goes on after two");
    trap().await;
    for _ in 0..3 {
        assert_eq!(get(&mesh, "/held").await.cache_status(), "", "after three it passes all");
    }
    let panics = async || stat(&mesh.envoys[0], "meshcache_panics_total").await == 3.0;
    await_until(panics, SOON, "they are counted").await;
    let log = mesh.envoys[0].process.log();
    assert_eq!(log.matches("a test wished so").count(), 3, "a line for each: {log}");
    assert!(log.contains("three panics in a minute"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_module_cannot_be_told_to_panic() {
    let module = std::fs::read(artifact::native()).unwrap();
    assert!(!module.windows(6).any(|bytes| bytes == b"x-trap"), "the word is in the module");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_field_of_the_wasm_module_is_refused_by_name_and_all_passes() {
    let wrong = |envoy: EnvoyConfig| {
        let text = r#"{"cluster": "meshcache", "hot_bytes_per_worker": "4MiB", "side": "outbound"}"#;
        let mut envoy = native(envoy);
        let filter = &mut envoy.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
            ["http_filters"][0]["typed_config"];
        filter["filter_config"]["value"] = json!(text);
        envoy
    };
    let mesh = Mesh::of(1, 1).envoy(wrong).start_cold().await;
    mesh.origin.always("/x", Reply::fresh(60, "x"));
    for hits in 1..=2 {
        assert_eq!((get(&mesh, "/x").await.text(), mesh.origin.hits("/x")), ("x".to_owned(), hits));
    }
    let log = mesh.envoys[0].process.log();
    assert!(log.contains("`hot_bytes_per_worker` is the Wasm module's"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_log_has_no_details_of_our_own_replies() {
    let logged = |mut envoy: EnvoyConfig| {
        envoy = native(envoy);
        let typed = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog";
        let format = "details=%RESPONSE_CODE_DETAILS% of %PATH(NQ)%\n";
        let log = json!({"name": "stderr", "typed_config": {"@type": typed, "log_format": {"text_format_source": {"inline_string": format}}}});
        let manager = &mut envoy.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
        manager["typed_config"]["access_log"] = json!([log]);
        envoy
    };
    let mesh = Mesh::of(1, 1).envoy(logged).start().await;
    mesh.origin
        .always("/x", Reply::fresh(60, "x"))
        .always("/private", Reply::ok("x").header("cache-control", "private"));
    for path in ["/x", "/x", "/private"] {
        assert_eq!(get(&mesh, path).await.status, 200);
    }
    let log = async || {
        let log = mesh.envoys[0].process.log();
        log.matches("details= of /x\n").count() == 2 && log.contains("details=via_upstream of /private")
    };
    await_until(log, SOON, "docs/native.md says so").await;
}

/// The front listener comes from a file, which can be replaced.
fn from_file(mut envoy: EnvoyConfig, file: &Path) -> EnvoyConfig {
    envoy = native(envoy).replace(MODULE, artifact::native().to_str().unwrap());
    let mut listener = envoy.bootstrap["static_resources"]["listeners"].as_array_mut().unwrap().remove(0);
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    std::fs::write(file, json!({"resources": [listener]}).to_string()).unwrap();
    envoy.bootstrap["node"] = json!({"id": "native", "cluster": "tests"});
    envoy.bootstrap["dynamic_resources"] = json!({"lds_config": {"path_config_source": {"path": file}}});
    envoy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_is_replaced_leaves_those_that_wait_and_shares_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listeners.json");
    let mesh = Mesh::of(1, 1).envoy(|envoy| from_file(envoy, &file)).start().await;
    let gate = Gate::shut();
    mesh.origin.always("/held", Reply::fresh(60, "held").behind(&gate));
    let ask = async || tokio::spawn(Gathered::gather(5, &mesh.fronts(), |_| Ask::get(SHOP, "/held")).await.go());
    let joined = async || stat(&mesh.envoys[0], "meshcache_filter_joined").await;
    let old = ask().await;
    await_until(async || joined().await == 4.0, SOON, "five wait").await;
    let next = folder.path().join("next");
    std::fs::write(
        &next,
        std::fs::read_to_string(&file).unwrap().replace("stat_prefix\":\"front", "stat_prefix\":\"new"),
    )
    .unwrap();
    std::fs::rename(&next, &file).unwrap();
    let replaced = async || stat(&mesh.envoys[0], "envoy_listener_manager_listener_in_place_updated").await == 1.0;
    await_until(replaced, SOON, "it is replaced").await;
    let new = ask().await;
    await_until(async || joined().await == 9.0, SOON, "five more wait for the same").await;
    gate.open();
    for asked in [old, new] {
        asked.await.unwrap().expect_all_ok();
    }
    assert_eq!(mesh.origin.hits("/held"), 1);
}
