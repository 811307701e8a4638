//! The chart in a real API server: every object accepted under the `restricted` level without a warning, installed and
//! removed by helm.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, path::Path};

use meshcache_tests::{
    chart,
    helm::helm,
    kube::Cluster,
    wait::{LONG, await_until},
};
use serde_json::Value;

const RESTRICTED: [&str; 2] =
    ["pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"];
const GROUP: &str =
    "groups: [{name: g, match: {service: s.n}, origin: {url: \"http://s.n:80\"}, freshness: {default: 30s}}]\n";

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

#[tokio::test]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn helm_installs_it_keeps_the_tokens_through_an_upgrade_and_leaves_nothing_behind() {
    let cluster = Cluster::namespace("helm", &RESTRICTED);
    let folder = chart::folder();
    let chart = folder.to_str().unwrap();
    let objects = || {
        cluster
            .kubectl(&[
                "get",
                "all,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets",
                "--output=name",
            ])
            .lines()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    await_until(async || objects().len() >= 2, LONG, "the namespace has what the cluster puts there").await;
    let before = objects();

    let notes = helm(&cluster, &["install", "cache", chart]).await;
    assert!(notes.contains("Nothing is cached yet"), "{notes}");
    let tokens = || cluster.kubectl(&["get", "secret", "cache-meshcache-tokens", "--output=jsonpath={.data}"]);
    let first = tokens();
    assert!(first.contains("\"peer\"") && first.contains("\"admin\""), "{first}");
    assert_eq!(cluster.kubectl(&["get", "statefulset", "cache-meshcache", "--output=jsonpath={.spec.replicas}"]), "3");

    helm(&cluster, &["upgrade", "cache", chart, "--set", "replicaCount=4"]).await;
    assert_eq!(tokens(), first);
    assert_eq!(cluster.kubectl(&["get", "statefulset", "cache-meshcache", "--output=jsonpath={.spec.replicas}"]), "4");

    helm(&cluster, &["uninstall", "cache"]).await;
    let left = || {
        objects()
            .difference(&before)
            .filter(|name| !name.starts_with("pod/") && !name.starts_with("controllerrevision"))
            .cloned()
            .collect::<Vec<_>>()
    };
    await_until(async || left().is_empty(), LONG, "nothing is left").await;
}

/// A chart with the name and the values of kubecache's, and the Deployment and Service that it would make.
fn kubecaches(folder: &Path) {
    const VALUES: &str = "replicaCount: 2\nautoscaling: {enabled: false}\ncustomLabels: {app: kubecache}\nservice: {type: ClusterIP, port: 9000, targetPort: 8080}\nimage: {repository: udhos/kubecache, tag: \"\", pullPolicy: IfNotPresent}\nserviceAccount: {create: true, name: \"\", annotations: {}}\npodHealthCheck: {port: 8888, path: /health}\nconfigMapProperties: {CACHE_TTL: 60s}\nredeploy: reconfig\n";
    let mut objects = chart::release("kubecache", "n", &[], VALUES).unwrap();
    for object in &mut objects {
        object["metadata"].as_object_mut().unwrap().remove("namespace");
        if let Some(namespace) = object.pointer_mut("/subjects/0/namespace") {
            *namespace = "{{ .Release.Namespace }}".into();
        }
        if object["kind"] == "Deployment" {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["image"] = "udhos/kubecache:0.13.1".into();
            container.as_object_mut().unwrap().remove("args");
        }
    }
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), "{apiVersion: v2, name: kubecache, version: 0.13.1}").unwrap();
    std::fs::write(folder.join("values.yaml"), VALUES).unwrap();
    let all = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    std::fs::write(folder.join("templates/all.yaml"), all).unwrap();
}

#[tokio::test]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn a_release_of_kubecache_is_upgraded_to_ours_with_its_own_values_and_rolled_back() {
    let cluster = Cluster::namespace("swap", &RESTRICTED);
    // Its own defaults.
    for object in chart::release("kubecache", &cluster.namespace, &[], "kubecache: {enabled: true}").unwrap() {
        let said = cluster.apply(&[&object], &["--dry-run=server"]);
        assert!(said.is_ok(), "{}\n{object:#}", said.unwrap_err());
    }
    let theirs = cluster.folder().join("kubecache");
    kubecaches(&theirs);
    helm(&cluster, &["install", "kubecache", theirs.to_str().unwrap()]).await;
    let container = || {
        let paths = ["image", "args[0]"].map(|path| format!("{{.spec.template.spec.containers[*].{path}}}"));
        cluster.kubectl(&["get", "deployment", "kubecache", &format!("--output=jsonpath={} {}", paths[0], paths[1])])
    };
    let uid = || cluster.kubectl(&["get", "deployment,service", "--output=jsonpath={.items[*].metadata.uid}"]);
    let (before, old) = (uid(), container());
    assert_eq!(old.trim(), "udhos/kubecache:0.13.1");

    let (folder, values) = (chart::folder(), theirs.join("values.yaml"));
    for how in [vec!["--values", values.to_str().unwrap()], vec!["--reuse-values"]] {
        let said = helm(&cluster, &[&["upgrade", "kubecache", folder.to_str().unwrap()], &how[..]].concat()).await;
        assert!(said.contains("the `image` of kubecache's values is ignored"), "{said}");
        let ours = container();
        assert!(ours.starts_with("meshcache/coordinator:") && ours.ends_with(" kubecache"), "{ours}");
        assert_eq!(uid(), before, "the same objects, changed");
        assert!(cluster.kubectl(&["get", "configmap", "kubecache", "--output=jsonpath={.data}"]).contains("60s"));
        helm(&cluster, &["rollback", "kubecache", "1"]).await;
        assert_eq!(container(), old);
    }
}
