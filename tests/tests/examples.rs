//! The files of envoy/ are good as they stand, not only as the tests fill them in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, process::Command, sync::Arc};

use meshcache_tests::{
    Ask, Coordinator, EnvoyConfig, Mesh, Reply, artifact, await_until, certificates::Authority, chart, groups::SHOP,
    wait::SOON,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Each with a cluster of coordinators.
const EXAMPLES: [&str; 6] =
    ["front.yaml", "native.yaml", "sidecar.yaml", "kubernetes.yaml", "credentials.yaml", "vm.yaml"];
/// Where envoy/kubernetes.yaml has the module.
const MOUNTED: &str = "/filter/plugin.wasm";
/// Where envoy/vm.yaml has the authority of the coordinators.
const AUTHORITY: &str = "/etc/meshcache/ca.pem";

#[test]
fn envoy_accepts_the_examples() {
    // They name the modules as seen from the root of a repository in which they were built.
    let root = tempfile::tempdir().unwrap();
    for (place, module) in [
        ("target/wasm32-wasip1/wasm/meshcache_filter.wasm", artifact::filter()),
        ("target/native/libmeshcache_envoy.so", artifact::native()),
    ] {
        let place = root.path().join(place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(module, place).unwrap();
    }
    let ca = root.path().join("ca.pem");
    std::fs::write(&ca, Authority::new().pem()).unwrap();
    std::fs::create_dir(root.path().join("envoy")).unwrap();
    let secret = "credentials-secret.yaml";
    std::fs::copy(artifact::file("envoy").join(secret), root.path().join("envoy").join(secret)).unwrap();
    for example in EXAMPLES {
        // Nothing is mounted here.
        let text = std::fs::read_to_string(artifact::file("envoy").join(example)).unwrap();
        let text = text.replace(MOUNTED, artifact::filter().to_str().unwrap());
        std::fs::write(root.path().join(example), text.replace(AUTHORITY, ca.to_str().unwrap())).unwrap();
        let mut envoy = Command::new(artifact::envoy());
        envoy.args(["--mode", "validate", "--log-level", "warning", "--config-path", example]);
        let output = envoy.current_dir(root.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example}: {said}");
        // A field that Envoy is about to give up is no example.
        assert!(!said.contains("eprecated") && !said.contains("work-in-progress"), "{example}: {said}");
    }
}

#[tokio::test]
async fn the_coordinator_accepts_the_example_groups() {
    let groups = artifact::file("envoy/groups.yaml");
    let (status, said) = Coordinator::run(&["check", "--config", groups.to_str().unwrap()]).await;
    assert!(status.success(), "{said}");
    assert!(!said.contains("warn"), "{said}");
}

#[tokio::test]
async fn in_kubernetes_an_envoy_reaches_the_owners_by_the_headless_name() {
    let mounted = artifact::filter();
    let mesh = Mesh::of(3, 1)
        .envoy(|_| EnvoyConfig::example("kubernetes.yaml").replace(MOUNTED, mounted.to_str().unwrap()))
        .start()
        .await;
    mesh.origin.on("*", |request| Reply::fresh(600, format!("answer {}", request.nth)));
    for path in ["/a", "/b", "/c"] {
        assert_eq!(mesh.owner(path).await, mesh.order(SHOP, path)[0], "who loads {path}");
    }
    // The names that the file has are those that the chart gives.
    let objects = chart::release("meshcache", "meshcache", &[], "").unwrap();
    let headless = objects.iter().find(|object| object["spec"]["clusterIP"] == "None").unwrap();
    assert_eq!(
        (&headless["metadata"]["name"], &headless["metadata"]["namespace"]),
        (&"meshcache-peers".into(), &"meshcache".into())
    );
    let example = std::fs::read_to_string(artifact::file("envoy/kubernetes.yaml")).unwrap();
    assert!(example.contains("address: meshcache-peers.meshcache.svc.cluster.local, port_value: 8080"));
}

/// A mesh whose coordinators show certificates for this name, with an Envoy that runs envoy/vm.yaml.
async fn on_vms(folder: &std::path::Path, name: &str) -> Mesh {
    let authority = Authority::new();
    let (cert, key) = authority.issue(&[name]).write(folder, "port");
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let [cert, key, ca] = [&cert, &key, &ca].map(|path| path.to_str().unwrap());
    Mesh::of(3, 1)
        .envoy(|_| EnvoyConfig::example("vm.yaml").replace(AUTHORITY, ca))
        .arguments(&["--tls-cert", cert, "--tls-key", key])
        .start_cold()
        .await
}

#[tokio::test]
async fn on_vms_an_envoy_asks_coordinators_over_tls_that_prove_their_name_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = on_vms(folder.path(), "cache.example.com").await;
    mesh.wait_cached().await;
    mesh.origin.on("*", |request| Reply::fresh(600, format!("answer {}", request.nth)));
    for path in ["/a", "/b", "/c"] {
        assert_eq!(mesh.owner(path).await, mesh.order(SHOP, path)[0], "who loads {path}");
    }
    // Whoever shows another name is asked nothing, and the service answers.
    let mesh = on_vms(folder.path(), "other.example.com").await;
    mesh.origin.on("*", |_| Reply::fresh(600, "from the service"));
    let failed = [("port", "data"), ("reason", "refused")];
    let refuses = async || mesh.coordinators.sum("meshcache_tls_handshakes_failed_total", &failed).await > 0.0;
    await_until(refuses, SOON, "Envoy refuses the certificate").await;
    for _ in 0..3 {
        let answer = Ask::get(SHOP, "/a").send(mesh.fronts()[0]).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "from the service".to_owned()));
        assert!(!answer.cache_status().contains("hit"), "{answer:?}");
    }
}

/// How connections to the coordinators are kept alive, in the only place of a value that has a cluster for them.
fn keepalives(value: &Value, all: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| match name.as_str() {
            "http2_protocol_options" => all.push(field["connection_keepalive"].clone()),
            _ => keepalives(field, all),
        }),
        Value::Array(items) => items.iter().for_each(|item| keepalives(item, all)),
        _ => {}
    }
}

#[test]
fn every_proxy_finds_a_dead_connection_within_12_s_and_gives_a_busy_coordinator_5() {
    let values = format!(
        "groups: [{{name: g, match: {{service: s.n}}, callers: [\"*\"], origin: {{url: \"http://o\"}}}}]\nistio: {{enabled: true}}\n\
         envoyGateway: {{enabled: true, filterOrderIsSet: true, routes: plain, patchPolicy: true, gateway: g, groups: [g], targets: [{{kind: Gateway, name: g}}], \
         module: {{url: \"http://m/m.wasm\", sha256: {}}}}}\n",
        "a".repeat(64)
    );
    let rendered = chart::objects(&values).unwrap();
    let mut all = Vec::new();
    for example in EXAMPLES {
        keepalives(&EnvoyConfig::example(example).bootstrap, &mut all);
    }
    rendered.iter().for_each(|object| keepalives(object, &mut all));
    assert_eq!(all.len(), EXAMPLES.len() + 2 + 1, "the files, two contexts of the EnvoyFilter, the EnvoyPatchPolicy");
    for keepalive in all {
        let seconds = |name: &str| {
            keepalive[name]
                .as_str()
                .and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok())
                .unwrap_or_else(|| panic!("{keepalive}"))
        };
        // Envoy adds up to 15 % to the interval.
        assert!(1.15 * seconds("interval") + seconds("timeout") <= 12.0 && seconds("timeout") >= 5.0, "{keepalive}");
    }
}

/// Goes between a proxy and a coordinator, until the connections that there are fall silent: no byte more, no end.
async fn relay(to: SocketAddr) -> (SocketAddr, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, silence) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
    let falls = silence.clone();
    tokio::spawn(async move {
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            let falls = falls.clone();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                    () = falls.notified() => std::future::pending().await,
                }
            });
        }
    });
    (address, silence)
}

/// The example, in front of this mesh, with another keepalive of its connections to coordinators.
fn front(mesh: &Mesh, coordinator: SocketAddr, change: impl Fn(&mut Value)) -> EnvoyConfig {
    let mut config =
        EnvoyConfig::example("front.yaml").cluster("service", &[mesh.origin.addr]).cluster("meshcache", &[coordinator]);
    let clusters = config.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == "meshcache").unwrap();
    let options =
        &mut cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    change(options.pointer_mut("/explicit_http_config/http2_protocol_options/connection_keepalive").unwrap());
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_late_for_want_of_cpu_keeps_its_connections() {
    let mesh = Mesh::of(1, 0).start_cold().await;
    let coordinator = &mesh.coordinators.all[0];
    // As often as may be; how late an answer may be is what the file says.
    let envoy = front(&mesh, coordinator.ports.data, |keepalive| keepalive["interval"] = json!("0.2s")).start().await;
    let cluster = [("envoy_cluster_name", "meshcache")];
    let count = async |name: &str| envoy.stats().await.sum(name, &cluster);
    await_until(async || count("envoy_cluster_upstream_cx_active").await > 0.0, SOON, "it is connected").await;
    for late in [1000, 90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 1000] {
        coordinator.freeze();
        tokio::time::sleep(std::time::Duration::from_millis(late)).await;
        coordinator.thaw();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(count("envoy_cluster_http2_keepalive_timeout").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_a_coordinator_that_falls_silent_is_replaced() {
    let mesh = Mesh::of(1, 0).start_cold().await;
    mesh.origin.on("*", |request| Reply::fresh(600, format!("answer {}", request.nth)));
    let (through, silence) = relay(mesh.coordinators.data()[0]).await;
    // As in the file, only sooner.
    let envoy =
        front(&mesh, through, |keepalive| *keepalive = json!({"interval": "0.4s", "timeout": "0.4s"})).start().await;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let is_cached = async || {
        let path = format!("/{}", next.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        let answer = Ask::get(SHOP, &path).send(envoy.listener("front")).await.unwrap();
        assert_eq!(answer.status, 200);
        answer.cache_status().contains("; stored")
    };
    await_until(is_cached, SOON, "the coordinator is asked").await;
    silence.notify_waiters();
    assert!(!is_cached().await, "the connection is silent");
    await_until(is_cached, SOON, "the coordinator is asked on a new connection").await;
}
