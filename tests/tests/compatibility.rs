//! What the parts around meshcache really do, and that nobody meets it: the rows of docs/compatibility.md that no other
//! test holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use meshcache_tests::{
    Ask, EnvoyConfig, Host, Mesh, Reply, artifact,
    groups::SHOP,
    run,
    wait::{SOON, await_until},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long it takes until the answer to this request is over, where that is when the connection ends.
async fn until_closed(to: SocketAddr, ask: &Ask) -> Duration {
    let begun = Instant::now();
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(&ask.wire()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200"), "{}", all.escape_ascii());
    begun.elapsed()
}

/// Asks until the proxy answers from its own memory.
async fn make_hot(mesh: &Mesh, ask: &Ask) {
    let hot =
        async || ask.send(mesh.fronts()[0]).await.is_ok_and(|answer| answer.cache_status().ends_with("detail=proxy"));
    await_until(hot, SOON, "it is in the hot cache").await;
}

#[test]
fn who_reads_to_the_end_of_the_connection_has_a_hot_answer_sooner_than_a_miss() {
    run(async {
        let mesh = Mesh::of(1, 1).start().await;
        mesh.origin.on("*", |_| Reply::fresh(600, "x").delay(Duration::from_millis(300)));
        let ask = |path: &str| Ask::get(SHOP, path);
        make_hot(&mesh, &ask("/hot")).await;
        let (mut hits, mut misses) = (Vec::new(), Vec::new());
        for n in 0..5 {
            hits.push(until_closed(mesh.fronts()[0], &ask("/hot").header("connection", "close")).await);
            misses
                .push(until_closed(mesh.fronts()[0], &ask(&format!("/miss/{n}")).header("connection", "close")).await);
        }
        hits.sort();
        misses.sort();
        // The origin's time is all that a miss waits for, and none of it a hit's.
        assert!(hits[2] < misses[2], "hits {hits:?}, misses {misses:?}");
    });
}

#[test]
fn a_client_that_pauses_in_the_middle_of_a_hot_answer_gets_the_rest_of_it() {
    run(async {
        let roomy = |configuration: &mut Value| configuration["hot_bytes_per_worker"] = json!("64MiB");
        let mesh = Mesh::of(1, 1).envoy(|envoy| envoy.filter(roomy)).start().await;
        // More than the kernel takes off a proxy's hands.
        let size = 7_900 * 1024;
        mesh.origin.on("*", move |_| Reply::fresh(600, vec![b'x'; size]));
        let ask = Ask::get(SHOP, "/large");
        make_hot(&mesh, &ask).await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // So little fits on the way that most of it waits in the proxy.
        socket.set_recv_buffer_size(4096).unwrap(); //X
        let mut stream = socket.connect(mesh.fronts()[0]).await.unwrap();
        stream.write_all(&ask.header("connection", "close").wire()).await.unwrap();
        let mut first = vec![0; 1024];
        stream.read_exact(&mut first).await.unwrap();
        // Longer than Envoy waits by default for a client that takes nothing.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest).await;
        let body = first.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!((end.is_ok(), first.len() - body + rest.len()), (true, size));
    });
}

/// The filter of an Envoy in a file that it watches, so that it can be replaced while it runs, as Istio does it.
struct Plugin {
    folder: tempfile::TempDir,
    typed_config: Value,
}

impl Plugin {
    /// Takes it out of a configuration.
    fn of(mut envoy: EnvoyConfig) -> (Plugin, EnvoyConfig) {
        let folder = tempfile::tempdir().unwrap();
        let filters = &mut envoy.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
            ["http_filters"];
        let typed_config = filters[0]["typed_config"].take();
        let source = json!({"resource_api_version": "V3", "path_config_source": {"path": folder.path().join("plugin.json"), "watched_directory": {"path": folder.path()}}});
        filters[0] = json!({"name": "meshcache", "config_discovery": {"config_source": source, "type_urls": [typed_config["@type"]]}});
        envoy.bootstrap["node"] = json!({"id": "test", "cluster": "test"});
        let plugin = Plugin { folder, typed_config };
        plugin.replace("first");
        (plugin, envoy)
    }

    /// Writes it with another module: Envoy then replaces the filter's VMs. What is moved into place is seen whole.
    fn replace(&self, name: &str) {
        let mut typed_config = self.typed_config.clone();
        typed_config["config"]["vm_config"]["code"]["local"]["filename"] = json!(self.module(name));
        let resource = json!({"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "meshcache", "typed_config": typed_config});
        let beside = self.folder.path().join("beside");
        std::fs::write(&beside, json!({"version_info": name, "resources": [resource]}).to_string()).unwrap();
        std::fs::rename(beside, self.folder.path().join("plugin.json")).unwrap();
    }

    /// The filter with an empty section of this name at its end: the same program, and another module.
    fn module(&self, name: &str) -> std::path::PathBuf {
        let file = self.folder.path().join(format!("{name}.wasm"));
        let length = name.len() as u8;
        std::fs::write(
            &file,
            [&std::fs::read(artifact::filter()).unwrap(), &[0, length + 1, length][..], name.as_bytes()].concat(),
        )
        .unwrap();
        file
    }
}

#[test]
fn the_gauges_are_right_again_after_each_replacement_of_the_filter() {
    if Host::Native.leaves_out("there is one cache in the process, which no replacement of VMs empties") {
        return;
    }
    run(async {
        let mut plugin = None;
        let mesh = Mesh::of(1, 1).groups(|groups| groups.set("shop", "/hot/ttl", json!("10m"))).envoy(|envoy| {
            let (file, envoy) = Plugin::of(envoy);
            plugin = Some(file);
            envoy
        });
        let (mesh, plugin) = (mesh.start().await, plugin.unwrap());
        mesh.origin.on("*", |_| Reply::fresh(600, vec![b'x'; 20_000]));
        let asks: Vec<Ask> = (0..40).map(|n| Ask::get(SHOP, &format!("/{n}"))).collect();
        let held = async || {
            let stats = mesh.envoys[0].stats().await;
            (stats.get("meshcache_filter_hot_items", &[]), stats.get("meshcache_filter_hot_bytes", &[]))
        };
        for module in ["second", "third"] {
            for ask in &asks {
                make_hot(&mesh, ask).await;
            }
            // At times the probe by which the mesh was found ready is hot, too.
            await_until(
                async || (40.0..=41.0).contains(&held().await.0),
                SOON,
                &format!("what is hot is counted once, before the {module} module"),
            )
            .await;
            assert!((800_000.0..900_000.0).contains(&held().await.1), "{:?}", held().await);
            plugin.replace(module);
            await_until(async || held().await.0 <= 1.0, SOON, "what the VMs before held is gone with them").await;
            mesh.wait_cached().await;
        }
    });
}

#[test]
fn the_age_of_a_cache_behind_counts_for_a_miss_a_join_and_a_hit() {
    run(async {
        let mesh = Mesh::of(1, 1).start().await;
        for (n, to) in [mesh.fronts()[0], mesh.coordinators.data()[0]].into_iter().enumerate() {
            let path = format!("/aged/{n}");
            mesh.origin.on("*", |_| Reply::fresh(600, "x").header("age", "100").delay(Duration::from_millis(200)));
            let ask = Ask::get(SHOP, &path);
            let (miss, join) = tokio::join!(ask.send(to), ask.send(to));
            let hit = ask.send(to).await;
            assert_eq!(mesh.origin.hits(&path), 1);
            for answer in [miss.unwrap(), join.unwrap(), hit.unwrap()] {
                let age: u64 = answer.header("age").parse().unwrap();
                assert!(
                    (100..=160).contains(&age),
                    "whoever caches it next would keep it for 100 s too long: {answer:?}"
                );
            }
        }
    });
}

#[test]
fn two_lines_of_a_header_in_the_key_are_neither_the_first_of_them_nor_any_other_text() {
    run(async {
        let mesh =
            Mesh::of(1, 1).groups(|groups| groups.set("shop", "/key/headers", json!(["x-tenant"]))).start().await;
        for (n, to) in [mesh.fronts()[0], mesh.coordinators.data()[0]].into_iter().enumerate() {
            let path = format!("/lines/{n}");
            mesh.origin.on("*", |request| {
                let lines: Vec<String> =
                    request.headers.get_all("x-tenant").iter().map(|line| line.to_str().unwrap().to_owned()).collect();
                Reply::fresh(600, lines.join("|"))
            });
            let ask =
                |lines: &[&str]| lines.iter().fold(Ask::get(SHOP, &path), |ask, line| ask.header("x-tenant", line));
            for lines in [&["a"][..], &["a", "b"], &["b", "a"], &["b"], &[]] {
                // Each is asked for often enough to be hot, where there is a proxy.
                for _ in 0..4 {
                    let answer = ask(lines).send(to).await.unwrap();
                    // Envoy may send two lines on as one.
                    assert_eq!(
                        answer.text().replace(", ", "|").replace(',', "|"),
                        lines.join("|"),
                        "{lines:?}: {answer:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn the_filter_reads_the_requests_headers_at_one_place_which_comes_before_the_response() {
    let folder = artifact::file("filter/src");
    let mut reads = Vec::new();
    for entry in std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"))
    {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        reads.extend(
            text.lines().filter(|line| line.contains("header_map(host::Map::Request)")).map(|_| entry.file_name()),
        );
    }
    assert_eq!(reads, ["exports.rs"]);
}
