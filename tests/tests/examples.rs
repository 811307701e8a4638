//! The files of envoy/ are good as they stand, not only as the tests fill them in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use meshcache_tests::{Coordinator, artifact};

#[test]
fn envoy_accepts_the_examples() {
    // They name the module as seen from the root of a repository in which it was built.
    let root = tempfile::tempdir().unwrap();
    let modules = root.path().join("target/wasm32-wasip1/wasm");
    std::fs::create_dir_all(&modules).unwrap();
    std::os::unix::fs::symlink(artifact::filter(), modules.join("meshcache_filter.wasm")).unwrap();
    for example in ["front.yaml", "sidecar.yaml"] {
        let mut envoy = Command::new(artifact::envoy());
        envoy.args(["--mode", "validate", "--log-level", "warning", "--config-path"]);
        let output = envoy.arg(artifact::file("envoy").join(example)).current_dir(root.path()).output().unwrap();
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
