//! Envoy Gateway, without Istio.

use meshcache_tests::chart;
use serde_json::json;

use crate::{GROUP, of_kind};

/// Values with the filter on a Gateway; `more`: fields of `envoyGateway`.
pub(crate) fn values(more: &str) -> String {
    let module = format!(
        "module: {{url: \"oci://registry.example/filter:1\", sha256: \"{}\", pullSecret: pull}}",
        "1".repeat(64)
    );
    format!(
        "{GROUP}envoyGateway: {{enabled: true, filterOrderIsSet: true, routes: plain, targets: [{{kind: Gateway, name: eg}}], {module}, {more}}}\n"
    )
}

#[test]
fn it_is_not_rendered_where_it_would_leak_or_do_nothing() {
    for (values, why) in [
        (
            values("patchPolicy: true, gateway: eg").replace("filterOrderIsSet: true", "filterOrderIsSet: false"),
            "wasm stands before rbac",
        ),
        (
            values("patchPolicy: true, gateway: eg").replace("routes: plain, ", ""),
            "envoyGateway.routes: the filter decides before",
        ),
        (values("patchPolicy: true"), "the Gateway whose clusters are patched"),
        (values("hotBytesPerWorker: 1MiB"), "the filter asks a cluster of Envoy's"),
        (values("patchPolicy: true, gateway: eg, cluster: c"), "not both"),
        (values("cluster: c, groups: [other]"), "there is no group `other`"),
        (
            values("cluster: c").replace("targets: [{kind: Gateway, name: eg}]", "targets: []"),
            "name the Gateways or HTTPRoutes",
        ),
        (values("cluster: c").replace(&"1".repeat(64), ""), "url and sha256"),
    ] {
        let error = chart::objects(&values).expect_err(&values);
        assert!(error.contains(why), "{values}: {error}");
    }
}

#[test]
fn the_policies_are_where_the_gateway_is_and_lead_to_the_coordinators() {
    let objects = chart::objects(&values(
        "patchPolicy: true, gateway: eg, namespace: gateways, groups: [config-server], hotBytesPerWorker: 0",
    ))
    .unwrap();
    let (policy, patch) = (of_kind(&objects, "EnvoyExtensionPolicy")[0], of_kind(&objects, "EnvoyPatchPolicy")[0]);
    // A policy is for targets of its own namespace only.
    assert!([policy, patch].iter().all(|object| object["metadata"]["namespace"] == "gateways"));
    let wasm = &policy["spec"]["wasm"][0];
    assert_eq!(
        wasm["code"]["image"],
        json!({"url": "registry.example/filter:1", "sha256": "1".repeat(64), "pullSecretRef": {"name": "pull"}})
    );
    assert_eq!((&wasm["failOpen"], &wasm["rootID"]), (&true.into(), &"meshcache".into()));
    assert_eq!(
        wasm["config"],
        json!({"cluster": "cache-meshcache-mesh", "hot_bytes_per_worker": "0", "groups": ["config-server"], "routes": "plain"})
    );
    let change = &patch["spec"]["jsonPatches"][0];
    assert_eq!(
        (&change["name"], &change["operation"]["value"]["name"]),
        (&"cache-meshcache-mesh".into(), &"cache-meshcache-mesh".into())
    );
    let to = &change["operation"]["value"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        ["socket_address"];
    // The headless name: each pod's own address, so that an owner can be named.
    assert_eq!(to, &json!({"address": "cache-meshcache-peers.mesh.svc.cluster.local", "port_value": 8080}));
    let own = chart::objects(&values("cluster: theirs")).unwrap();
    assert!(of_kind(&own, "EnvoyPatchPolicy").is_empty());
    let policy = of_kind(&own, "EnvoyExtensionPolicy")[0];
    assert_eq!(
        (&policy["metadata"]["namespace"], &policy["spec"]["wasm"][0]["config"]["cluster"]),
        (&"mesh".into(), &"theirs".into())
    );
}
