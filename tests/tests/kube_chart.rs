//! The chart in a real API server: every object accepted under the `restricted` level without a warning, installed and removed by helm.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use meshcache_tests::kube::Cluster;
use meshcache_tests::wait::{SOON, await_until};
use meshcache_tests::{artifact, chart};
use serde_json::{Value, json};

const RESTRICTED: [&str; 2] = ["pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"];
const GROUP: &str = "groups: [{name: g, match: {service: s.n}, origin: {url: \"http://s.n:80\"}, freshness: {default: 30s}}]\n";

#[test]
#[ignore = "needs a Kubernetes API: make test-kube"]
fn every_object_is_accepted_under_the_restricted_level_without_a_warning() {
    let cluster = Cluster::namespace("chart", &RESTRICTED);
    for more in [
        "",
        "autoscaling: {enabled: true}\nnetworkPolicy: {enabled: true, clients: [{namespaceSelector: {}}], admins: [{podSelector: {matchLabels: {app: ci}}}]}\n",
        "service: {admin: true, annotations: {a: b}}\nmonitoring: {dashboard: {enabled: true}}\nnodeSelector: {a: b}\ntolerations: [{operator: Exists}]\n",
        "auth: {existingSecret: mine}\nimage: {registry: registry.example, digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}\nimagePullSecrets: [{name: pull}]\n",
    ] {
        let values = format!("{GROUP}{more}");
        let objects = chart::objects_in(&cluster.namespace, &values).unwrap();
        // One by one: an object that is refused is named.
        for object in &objects {
            let said = cluster.apply(&[object], &["--dry-run=server"]);
            assert!(said.is_ok(), "{}\n{object:#}\nvalues:\n{values}", said.unwrap_err());
        }
    }
}

/// Runs helm. Nothing in this cluster runs Pods: the test does what the hooks' Jobs say, with their own rights, and says that they are complete.
async fn helm(cluster: &Cluster, arguments: &[&str]) -> String {
    let (out, err) = (cluster.folder().join("helm.out"), cluster.folder().join("helm.err"));
    let mut command = chart::helm();
    command.arg("--namespace").arg(&cluster.namespace).args(arguments).args(["--timeout", "120s"]);
    command.stdin(Stdio::null()).stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let mut done = BTreeSet::new();
    await_until(
        || {
            hooks(cluster, &mut done);
            std::future::ready(child.try_wait().unwrap().is_some())
        },
        SOON * 6,
        "helm ends",
    )
    .await;
    let said = std::fs::read_to_string(&out).unwrap() + &std::fs::read_to_string(&err).unwrap();
    assert!(child.wait().unwrap().success(), "helm {}: {said}", arguments.join(" "));
    assert!(!said.contains("Warning") && !said.contains("would violate"), "{said}");
    said
}

fn hooks(cluster: &Cluster, done: &mut BTreeSet<String>) {
    let jobs: Value = serde_json::from_str(&cluster.kubectl(&["get", "jobs", "--output=json"])).unwrap();
    for job in jobs["items"].as_array().unwrap() {
        if !done.insert(job["metadata"]["uid"].to_string()) {
            continue;
        }
        let pod = &job["spec"]["template"]["spec"];
        let arguments: Vec<&str> = pod["containers"][0]["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
        let account = pod["serviceAccountName"].as_str().unwrap();
        let output = Command::new(artifact::coordinator()).args(&arguments).env("KUBECONFIG", cluster.config_of(account)).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let at = &job["metadata"]["creationTimestamp"];
        let conditions = ["SuccessCriteriaMet", "Complete"].map(|kind| json!({"type": kind, "status": "True", "lastProbeTime": at, "lastTransitionTime": at}));
        let status = json!({"status": {"startTime": at, "completionTime": at, "succeeded": 1, "conditions": conditions}});
        cluster.kubectl(&["patch", "job", job["metadata"]["name"].as_str().unwrap(), "--subresource=status", "--type=merge", "--patch", &status.to_string()]);
    }
}

#[tokio::test]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn helm_installs_it_keeps_the_tokens_through_an_upgrade_and_leaves_nothing_behind() {
    let cluster = Cluster::namespace("helm", &RESTRICTED);
    let folder = chart::folder();
    let chart = folder.to_str().unwrap();
    let objects = || {
        cluster
            .kubectl(&["get", "all,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets", "--output=name"])
            .lines()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    await_until(async || objects().len() >= 2, SOON, "the namespace has what the cluster puts there").await;
    let before = objects();

    let notes = helm(&cluster, &["install", "cache", chart]).await;
    assert!(notes.contains("Nothing is cached yet"), "{notes}");
    let tokens = || cluster.kubectl(&["get", "secret", "cache-meshcache-tokens", "--output=jsonpath={.data}"]);
    let first = tokens();
    assert!(first.contains("\"peer\"") && first.contains("\"admin\""), "{first}");
    assert_eq!(cluster.kubectl(&["get", "statefulset", "cache-meshcache", "--output=jsonpath={.spec.replicas}"]), "3");

    helm(&cluster, &["upgrade", "cache", chart, "--set", "replicas=4"]).await;
    assert_eq!(tokens(), first);
    assert_eq!(cluster.kubectl(&["get", "statefulset", "cache-meshcache", "--output=jsonpath={.spec.replicas}"]), "4");

    helm(&cluster, &["uninstall", "cache"]).await;
    let left =
        || objects().difference(&before).filter(|name| !name.starts_with("pod/") && !name.starts_with("controllerrevision")).cloned().collect::<Vec<_>>();
    await_until(async || left().is_empty(), SOON, "nothing is left").await;
}
