//! The files of envoy/ are good as they stand, not only as the tests fill them in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use meshcache_tests::groups::SHOP;
use meshcache_tests::{Coordinator, EnvoyConfig, Mesh, Reply, artifact, chart};

/// Where envoy/kubernetes.yaml has the module.
const MOUNTED: &str = "/filter/plugin.wasm";

#[test]
fn envoy_accepts_the_examples() {
    // They name the module as seen from the root of a repository in which it was built.
    let root = tempfile::tempdir().unwrap();
    let modules = root.path().join("target/wasm32-wasip1/wasm");
    std::fs::create_dir_all(&modules).unwrap();
    std::os::unix::fs::symlink(artifact::filter(), modules.join("meshcache_filter.wasm")).unwrap();
    for example in ["front.yaml", "sidecar.yaml", "kubernetes.yaml"] {
        // Nothing is mounted here.
        let text = std::fs::read_to_string(artifact::file("envoy").join(example)).unwrap();
        std::fs::write(root.path().join(example), text.replace(MOUNTED, artifact::filter().to_str().unwrap())).unwrap();
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
    let mesh = Mesh::of(3, 1).envoy(|_| EnvoyConfig::example("kubernetes.yaml").replace(MOUNTED, mounted.to_str().unwrap())).start().await;
    mesh.origin.on("*", |request| Reply::fresh(600, format!("answer {}", request.nth)));
    for path in ["/a", "/b", "/c"] {
        assert_eq!(mesh.owner(path).await, mesh.order(SHOP, path)[0], "who loads {path}");
    }
    // The names that the file has are those that the chart gives.
    let objects = chart::release("meshcache", "meshcache", &[], "").unwrap();
    let headless = objects.iter().find(|object| object["spec"]["clusterIP"] == "None").unwrap();
    assert_eq!((&headless["metadata"]["name"], &headless["metadata"]["namespace"]), (&"meshcache-peers".into(), &"meshcache".into()));
    let example = std::fs::read_to_string(artifact::file("envoy/kubernetes.yaml")).unwrap();
    assert!(example.contains("address: meshcache-peers.meshcache.svc.cluster.local, port_value: 8080"));
}
