//! The chart in a real API server: every object accepted under the `restricted` level without a warning, installed and
//! removed by helm.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use meshcache_tests::{
    chart,
    helm::helm,
    kube::Cluster,
    wait::{LONG, await_until},
};

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

    helm(&cluster, &["upgrade", "cache", chart, "--set", "replicas=4"]).await;
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
