//! Releases of the chart in a real API, by helm.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    artifact, chart,
    kube::{Cluster, warns},
    wait::{LONG, await_until},
};

/// Runs helm. Nothing in this cluster runs Pods: the test does what the hooks' Jobs say, with their own rights, and
/// says that they are complete.
pub async fn helm(cluster: &Cluster, arguments: &[&str]) -> String {
    let (out, err) = (cluster.folder().join("helm.out"), cluster.folder().join("helm.err"));
    let mut command = chart::helm();
    command.arg("--namespace").arg(&cluster.namespace).args(arguments).args(["--timeout", "300s"]);
    command
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(std::fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let mut done = BTreeSet::new();
    await_until(
        || {
            hooks(cluster, &mut done);
            std::future::ready(child.try_wait().unwrap().is_some())
        },
        LONG * 3,
        "helm ends",
    )
    .await;
    let said = std::fs::read_to_string(&out).unwrap() + &std::fs::read_to_string(&err).unwrap();
    assert!(child.wait().unwrap().success(), "helm {}: {said}", arguments.join(" "));
    assert!(!warns(&said), "{said}");
    said
}

fn hooks(cluster: &Cluster, done: &mut BTreeSet<String>) {
    let jobs: Value = serde_json::from_str(&cluster.kubectl(&["get", "jobs", "--output=json"])).unwrap();
    for job in jobs["items"].as_array().unwrap() {
        if !done.insert(job["metadata"]["uid"].to_string()) {
            continue;
        }
        let pod = &job["spec"]["template"]["spec"];
        let folder = cluster.folder().join(job["metadata"]["name"].as_str().unwrap());
        let arguments = cluster.arguments(pod, &folder);
        let account = pod["serviceAccountName"].as_str().unwrap();
        let mut command = Command::new(artifact::coordinator());
        // The image says where the filter is.
        command
            .args(&arguments)
            .env("KUBECONFIG", cluster.config_of(account))
            .env("MESHCACHE_FILTER", artifact::filter());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let at = &job["metadata"]["creationTimestamp"];
        let conditions = ["SuccessCriteriaMet", "Complete"]
            .map(|kind| json!({"type": kind, "status": "True", "lastProbeTime": at, "lastTransitionTime": at}));
        let status =
            json!({"status": {"startTime": at, "completionTime": at, "succeeded": 1, "conditions": conditions}});
        cluster.kubectl(&[
            "patch",
            "job",
            job["metadata"]["name"].as_str().unwrap(),
            "--subresource=status",
            "--type=merge",
            "--patch",
            &status.to_string(),
        ]);
    }
}
