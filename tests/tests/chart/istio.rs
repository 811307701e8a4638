//! Istio: what is attached where, and what guards it.

use std::collections::BTreeMap;

use meshcache_tests::chart;
use serde_json::{Value, json};

use crate::{ATTACH, GROUP, hook, of_kind};

#[test]
fn the_filter_is_attached_by_hooks_after_the_coordinators_and_removed_before_them() {
    let values = format!("{GROUP}istio:\n  enabled: true\n{ATTACH}");
    let objects = chart::release("cache", "mesh", &["--is-upgrade"], &values).unwrap();
    assert!(of_kind(&objects, "WasmPlugin").is_empty());
    let jobs: Vec<(&str, &str)> = of_kind(&objects, "Job")
        .iter()
        .map(|job| (hook(job), job["spec"]["template"]["spec"]["containers"][0]["args"][0].as_str().unwrap()))
        .collect();
    for expected in [
        ("pre-install,pre-upgrade", "create-tokens"),
        ("post-install,post-upgrade,post-rollback", "attach"),
        ("pre-upgrade,pre-rollback", "detach"),
        ("pre-delete", "detach"),
        ("post-delete", "delete-tokens"),
    ] {
        assert!(jobs.contains(&expected), "{expected:?} in {jobs:?}");
    }
    let map = of_kind(&objects, "ConfigMap")
        .into_iter()
        .find_map(|map| map["data"]["plugins.json"].as_str())
        .unwrap()
        .to_owned();
    let plugins: Vec<Value> = serde_json::from_str(&map).unwrap();
    assert_eq!(plugins.len(), 3);
    for plugin in &plugins {
        let spec = &plugin["spec"];
        assert_eq!(
            (&spec["failStrategy"], &spec["phase"], &spec["sha256"]),
            (&"FAIL_OPEN".into(), &"STATS".into(), &"SHA256".into())
        );
        assert_eq!(spec["url"], "http://cache-meshcache.mesh.svc.cluster.local:8082/filter/SHA256.wasm");
        assert_eq!(spec["pluginConfig"]["cluster"], "outbound|8080||cache-meshcache.mesh.svc.cluster.local");
    }
    // With an image of its own the filter needs no hook.
    let oci = chart::objects(&format!("{values}  module: {{url: \"oci://registry.example/filter:1\"}}\n")).unwrap();
    assert_eq!(of_kind(&oci, "WasmPlugin").len(), 3);
    assert!(!of_kind(&oci, "Job").iter().any(|job| hook(job).starts_with("post-install")));
    // What renders and applies by itself, such as Argo CD, runs `pre-upgrade` before there is an account: only helm's
    // own upgrades have it.
    let synced = chart::objects(&values).unwrap();
    assert!(
        !of_kind(&synced, "Job")
            .iter()
            .any(|job| job["metadata"]["name"] != "cache-meshcache-tokens" && hook(job).contains("pre-upgrade"))
    );
}

#[test]
fn a_rollback_leaves_what_the_release_that_it_goes_back_to_attaches() {
    let oci = "  module: {url: \"oci://registry.example/filter:1\"}\n";
    let all: &[&str] = &["--keep=platform/config-server", "--keep=clients/all", "--keep=gateways/gateway"];
    // helm runs the hooks of the release that it goes back to: of an install as of an upgrade, of one without Istio as
    // of one with it.
    for (values, keep) in [
        (format!("{GROUP}istio:\n  enabled: true\n{ATTACH}"), all),
        (format!("{GROUP}istio: {{enabled: true}}\n"), &[]),
        (GROUP.to_owned(), &[]),
        // Its plugins are objects, which helm makes: those of the hooks go first.
        (format!("{GROUP}istio:\n  enabled: true\n{ATTACH}{oci}"), &[]),
    ] {
        for more in [&[][..], &["--is-upgrade"]] {
            let objects = chart::release("cache", "mesh", more, &values).unwrap();
            let before: Vec<&Value> =
                of_kind(&objects, "Job").into_iter().filter(|job| hook(job).contains("pre-rollback")).collect();
            let [prune] = before[..] else { panic!("{before:#?}") };
            let pod = &prune["spec"]["template"]["spec"];
            let arguments: Vec<&str> = pod["containers"][0]["args"]
                .as_array()
                .unwrap()
                .iter()
                .map(|argument| argument.as_str().unwrap())
                .collect();
            assert_eq!(arguments, [&["detach", "--file=/attach/plugins.json"], keep].concat(), "{values}");
            // There is nothing to read, or nobody to be, where the release that goes has attached nothing.
            assert_eq!(pod["volumes"][0]["configMap"], json!({"name": "cache-meshcache-attach", "optional": true}));
            let account = of_kind(&objects, "ServiceAccount")
                .into_iter()
                .find(|account| account["metadata"]["name"] == pod["serviceAccountName"]);
            assert_eq!(hook(account.unwrap()), "", "it stays from one release to the next");
        }
    }
}

/// The plugins of these entries, by name.
fn plugins(entries: &str) -> BTreeMap<String, Value> {
    let values = format!(
        "{GROUP}istio:\n  enabled: true\n  module: {{url: \"oci://registry.example/filter:1\", pullSecret: pull}}\n  attach: [{entries}]\n"
    );
    let objects = chart::objects(&values).unwrap();
    of_kind(&objects, "WasmPlugin")
        .into_iter()
        .map(|plugin| (plugin["metadata"]["name"].as_str().unwrap().to_owned(), plugin["spec"].clone()))
        .collect()
}

#[test]
fn each_entry_is_put_where_it_says() {
    let plugins = plugins(
        "{name: server, namespace: p, selector: {app: s}, groups: [config-server], ports: [9000], hotBytesPerWorker: 0}, {name: client, namespace: p, mode: CLIENT}, \
         {name: gateway, namespace: g, routes: plain, gateway: public, ports: [443]}, {name: waypoint, namespace: p, waypoint: w, groups: [config-server]}",
    );
    let server = &plugins["server"];
    assert_eq!((&server["selector"]["matchLabels"], &server["targetRefs"]), (&json!({"app": "s"}), &Value::Null));
    assert_eq!(server["match"], json!([{"mode": "SERVER", "ports": [{"number": 9000}]}]));
    let cluster = "outbound|8080||cache-meshcache.mesh.svc.cluster.local";
    assert_eq!(
        server["pluginConfig"],
        json!({"cluster": cluster, "hot_bytes_per_worker": "0", "groups": ["config-server"], "side": "inbound"})
    );
    assert_eq!(
        (&server["url"], &server["imagePullSecret"]),
        (&"oci://registry.example/filter:1".into(), &"pull".into())
    );
    let client = &plugins["client"];
    assert_eq!((&client["selector"], &client["match"]), (&Value::Null, &json!([{"mode": "CLIENT"}])));
    assert_eq!(
        client["pluginConfig"],
        json!({"cluster": cluster, "hot_bytes_per_worker": "4MiB", "groups": null, "side": "outbound"})
    );
    for (name, target) in [("gateway", "public"), ("waypoint", "w")] {
        let plugin = &plugins[name];
        assert_eq!(
            plugin["targetRefs"],
            json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": target}])
        );
        // Istio takes targets and a selector for a contradiction. Which side it is, Envoy says.
        assert_eq!((&plugin["selector"], &plugin["pluginConfig"]["side"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(
        (&plugins["gateway"]["pluginConfig"]["routes"], &plugins["waypoint"]["pluginConfig"]["routes"]),
        (&"plain".into(), &Value::Null)
    );
    assert_eq!(plugins["gateway"]["match"], json!([{"mode": "CLIENT_AND_SERVER", "ports": [{"number": 443}]}]));
    assert_eq!(plugins["waypoint"]["match"], Value::Null);
    assert!(plugins.values().all(|plugin| plugin["phase"] == "STATS" && plugin["failStrategy"] == "FAIL_OPEN"));
}

#[test]
fn who_may_come_in_is_said_by_port() {
    let rules = |more: &str| {
        let objects =
            chart::objects(&format!("{GROUP}istio: {{enabled: true, authorizationPolicy: {{{more}}}}}\n")).unwrap();
        let policy = &of_kind(&objects, "AuthorizationPolicy")[0]["spec"];
        assert_eq!(
            (&policy["action"], &policy["selector"]["matchLabels"]["app.kubernetes.io/component"]),
            (&"ALLOW".into(), &"coordinator".into())
        );
        let rules = policy["rules"].as_array().unwrap().iter();
        rules
            .map(|rule| {
                (
                    rule["to"][0]["operation"]["ports"][0].as_str().unwrap().to_owned(),
                    rule["from"][0]["source"]["principals"].clone(),
                )
            })
            .collect::<BTreeMap<_, _>>()
    };
    let peers = json!(["cluster.local/ns/mesh/sa/cache-meshcache"]);
    let open = BTreeMap::from([
        ("8080".to_owned(), json!(["*"])),
        ("8082".to_owned(), Value::Null),
        ("8083".to_owned(), peers.clone()),
    ]);
    assert_eq!(rules(""), open);
    let some = rules("clients: [cluster.local/ns/p/sa/s], admins: [cluster.local/ns/ops/sa/ci]");
    assert_eq!(
        (&some["8080"], &some["8081"], &some["8083"]),
        (&json!(["cluster.local/ns/p/sa/s"]), &json!(["cluster.local/ns/ops/sa/ci"]), &peers)
    );
}

#[test]
fn mtls_is_strict_but_for_what_is_not_secret_and_mesh_wide_rules_stay_out() {
    let objects = chart::objects(&format!("{GROUP}istio: {{enabled: true}}\n")).unwrap();
    let strict = &of_kind(&objects, "PeerAuthentication")[0]["spec"];
    assert_eq!(
        (&strict["mtls"]["mode"], &strict["portLevelMtls"]),
        (&"STRICT".into(), &json!({"8082": {"mode": "PERMISSIVE"}}))
    );
    let rule = &of_kind(&objects, "DestinationRule")[0]["spec"];
    assert_eq!(rule["host"], "cache-meshcache.mesh.svc.cluster.local");
    assert_eq!(
        (
            &rule["trafficPolicy"]["loadBalancer"]["localityLbSetting"]["enabled"],
            &rule["trafficPolicy"]["outlierDetection"]
        ),
        (&false.into(), &Value::Null)
    );
    let off = "overrideHost: {enabled: false}, destinationRule: {enabled: false}, peerAuthentication: {enabled: false}, authorizationPolicy: {enabled: false}";
    let objects = chart::objects(&format!("{GROUP}istio: {{enabled: true, {off}}}\n")).unwrap();
    for kind in ["EnvoyFilter", "DestinationRule", "PeerAuthentication", "AuthorizationPolicy"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
}

#[test]
fn a_revision_is_written_on_the_coordinators_pods_only() {
    let objects = chart::objects(&format!("{GROUP}istio: {{enabled: true, revision: canary}}\n")).unwrap();
    let revised: Vec<&Value> = objects.iter().filter(|object| object.to_string().contains("istio.io/rev")).collect();
    assert_eq!((revised.len(), &revised[0]["kind"]), (1, &"StatefulSet".into()));
    let labels = &revised[0]["spec"]["template"]["metadata"]["labels"];
    // Both would contradict each other.
    assert_eq!((&labels["istio.io/rev"], &labels["sidecar.istio.io/inject"]), (&"canary".into(), &Value::Null));
    // A hook with a sidecar would never end.
    for job in of_kind(&objects, "Job") {
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"], "false");
    }
}

#[test]
fn what_a_sidecar_is_told_besides_does_not_take_its_drain_away() {
    let with = |config: &str| {
        format!("{GROUP}istio: {{enabled: true}}\npodAnnotations: {{proxy.istio.io/config: {}}}\n", json!(config))
    };
    let told = |config: &str| -> Value {
        let objects = chart::objects(&with(config)).unwrap();
        let annotations = &of_kind(&objects, "StatefulSet")[0]["spec"]["template"]["metadata"]["annotations"];
        serde_json::from_str(annotations["proxy.istio.io/config"].as_str().unwrap()).unwrap()
    };
    let ours = json!({"holdApplicationUntilProxyStarts": true, "terminationDrainDuration": "35s"});
    assert_eq!(told(""), ours);
    let more = json!({"concurrency": 2, "holdApplicationUntilProxyStarts": true, "terminationDrainDuration": "35s"});
    assert_eq!((told("concurrency: 2"), told("{\"concurrency\": 2}")), (more.clone(), more));
    // Who says otherwise is believed.
    assert_eq!(
        told("holdApplicationUntilProxyStarts: false\nterminationDrainDuration: 90s"),
        json!({"holdApplicationUntilProxyStarts": false, "terminationDrainDuration": "90s"})
    );
    for wrong in ["fast", "[concurrency]", "{"] {
        let error = chart::objects(&with(wrong)).expect_err(wrong);
        assert!(error.contains("proxy.istio.io/config must be the fields of a ProxyConfig"), "{error}");
    }
}

#[test]
fn the_hook_may_write_the_plugins_that_it_makes_and_no_others() {
    let objects = chart::objects(&format!("{GROUP}istio:\n  enabled: true\n{ATTACH}")).unwrap();
    let roles = of_kind(&objects, "Role").into_iter().filter(|role| role["metadata"]["namespace"] != "mesh");
    let rules: BTreeMap<&str, &Value> =
        roles.map(|role| (role["metadata"]["namespace"].as_str().unwrap(), &role["rules"])).collect();
    let of = |name: &str| {
        json!([{"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "verbs": ["create"]},
            {"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "verbs": ["get", "patch", "delete"], "resourceNames": [name]}])
    };
    assert_eq!(
        rules,
        BTreeMap::from([("platform", &of("config-server")), ("clients", &of("all")), ("gateways", &of("gateway"))])
    );
}

#[test]
fn the_owner_is_named_by_those_who_call_the_coordinators_and_never_in_the_coordinators_own_inbound_cluster() {
    let objects = chart::objects(&format!(
        "{GROUP}istio: {{enabled: true, overrideHost: {{namespaces: [clients, gateways]}}}}\n"
    ))
    .unwrap();
    let filters = of_kind(&objects, "EnvoyFilter");
    let namespaces: Vec<&str> =
        filters.iter().map(|filter| filter["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(namespaces, ["clients", "gateways"]);
    for filter in filters {
        let patches = filter["spec"]["configPatches"].as_array().unwrap();
        let contexts: Vec<&str> = patches.iter().map(|patch| patch["match"]["context"].as_str().unwrap()).collect();
        assert_eq!(contexts, ["SIDECAR_OUTBOUND", "GATEWAY"]);
        assert!(
            patches
                .iter()
                .all(|patch| patch["match"]["cluster"]["service"] == "cache-meshcache.mesh.svc.cluster.local"),
            "{filter:#}"
        );
    }
}

#[test]
fn a_connection_that_is_to_close_does_so_at_once_where_the_filter_is_and_nowhere_else() {
    let attach = "{name: server, namespace: p, selector: {app: s}, groups: [config-server]}, {name: client, namespace: c, mode: CLIENT}, \
                  {name: gateway, namespace: g, routes: plain, gateway: public}, {name: waypoint, namespace: p, waypoint: w, groups: [config-server]}";
    let filters = |more: &str| {
        let values =
            format!("{GROUP}istio:\n  enabled: true\n  overrideHost: {{enabled: false}}\n  attach: [{attach}]\n{more}");
        let objects = chart::objects(&values).unwrap();
        let of =
            |filter: &Value| (filter["metadata"]["namespace"].as_str().unwrap().to_owned(), filter["spec"].clone());
        of_kind(&objects, "EnvoyFilter").into_iter().map(of).collect::<BTreeMap<_, _>>()
    };
    let all = filters("");
    let labels: [(&str, Value, &str); 3] = [
        ("c", Value::Null, "SIDECAR_OUTBOUND"),
        ("g", json!({"gateway.networking.k8s.io/gateway-name": "public"}), "GATEWAY"),
        ("p", json!({"app": "s"}), "SIDECAR_INBOUND"),
    ];
    assert_eq!(all.len(), labels.len());
    for (namespace, labels, context) in labels.clone() {
        let patch = &all[namespace]["configPatches"][0];
        assert_eq!(
            (&all[namespace]["workloadSelector"]["labels"], &patch["match"]["context"]),
            (&labels, &context.into()),
            "{namespace}"
        );
        assert_eq!(patch["patch"]["value"]["typed_config"]["delayed_close_timeout"], "0s");
    }
    assert_eq!(
        filters("  delayedCloseTimeout: 0.5s\n")["p"]["configPatches"][0]["patch"]["value"]["typed_config"]["delayed_close_timeout"],
        "0.5s"
    );
    assert!(filters("  delayedCloseTimeout: \"\"\n").is_empty());
    let chain = filters("  delayedCloseTimeout: \"\"\n  traces: {chain: true}\n");
    assert_eq!(chain.len(), labels.len());
    for (namespace, _, context) in labels {
        let [patch] = &chain[namespace]["configPatches"].as_array().unwrap()[..] else { panic!("{namespace}") };
        assert_eq!(
            (&patch["match"]["context"], &patch["patch"]["operation"]),
            (&context.into(), &"INSERT_FIRST".into())
        );
        let page = std::fs::read_to_string(meshcache_tests::artifact::file("docs/traces.md")).unwrap();
        let shown = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let shown: Value = serde_saphyr::from_str(shown).unwrap();
        assert_eq!(patch["patch"]["value"], shown, "the filter of docs/traces.md, which is tested with an Envoy");
    }
    assert_eq!(filters("  traces: {chain: true}\n")["p"]["configPatches"].as_array().unwrap().len(), 2);
}
