//! The chart without a cluster: linted, rendered over a matrix of values, every object looked at, misspelt values refused.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;

use meshcache_tests::{Coordinator, chart};
use serde_json::Value;

const GROUP: &str = r#"
groups:
- name: config-server
  match: {service: config-server.platform, paths: [{prefix: /develop}], exclude: [{regex: "/develop/.*"}]}
  origin: {url: "http://config-server.platform.svc.cluster.local:9000"}
  freshness: {default: 30s, status: {"404": 1s, "5xx": 0}}
  callers: ["*"]
"#;

const ATTACH: &str = r#"
  attach:
  - {name: config-server, namespace: platform, selector: {app: config-server}, groups: [config-server]}
  - {name: all, namespace: clients, mode: CLIENT}
  - {name: gateway, namespace: gateways, gateway: public, groups: [config-server]}
"#;

/// Values that people may write, each turned on alone and all at once.
fn matrix() -> Vec<String> {
    let more = [
        "autoscaling: {enabled: true}\n",
        "networkPolicy: {enabled: true, clients: [{namespaceSelector: {}}], admins: [{podSelector: {matchLabels: {app: ci}}}]}\n",
        "monitoring: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true, expectedProxies: 4}, dashboard: {enabled: true}}\n",
        "auth: {existingSecret: mine}\nserviceAccount: {create: false, name: mine}\n",
        "image: {registry: registry.example, tag: v1, digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}\nimagePullSecrets: [{name: pull}]\n",
        "service: {ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4], admin: true, annotations: {a: b}}\n",
        "nodeSelector: {a: b}\ntolerations: [{operator: Exists}]\naffinity: {podAntiAffinity: {}}\npriorityClassName: high\npodLabels: {a: b}\npodAnnotations: {a: b}\n",
        "extraArgs: [--log-level=debug]\nextraEnv: [{name: A, value: b}]\nextraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: \"{{ .Release.Name }}-extra\", namespace: mesh}}]\n",
        "fullnameOverride: cache-of-everything\nstoreBytes: 600MiB\nmemory: 2Gi\ndrainSeconds: 60\n",
    ];
    let mut all: Vec<String> = more.iter().map(|one| format!("{GROUP}{one}")).collect();
    all.push(String::new());
    all.push(format!("{GROUP}{}", more.iter().filter(|one| !one.contains("existingSecret")).copied().collect::<String>()));
    for module in [
        "",
        "  module: {url: \"oci://registry.example/filter:1\", sha256: \"1111111111111111111111111111111111111111111111111111111111111111\", pullSecret: pull}\n",
    ] {
        for override_host in ["", "  overrideHost: {namespaces: [clients, gateways]}\n"] {
            all.push(format!("{GROUP}istio:\n  enabled: true\n{ATTACH}{module}{override_host}"));
        }
    }
    all.push(format!("{GROUP}istio: {{enabled: true, revision: canary, authorizationPolicy: {{admins: [cluster.local/ns/ops/sa/ci]}}}}\n"));
    all.push(format!("{GROUP}envoyGateway: {{enabled: true, filterOrderIsSet: true, patchPolicy: true, gateway: eg, targets: [{{kind: Gateway, name: eg}}], module: {{url: \"oci://registry.example/filter:1\", sha256: \"1111111111111111111111111111111111111111111111111111111111111111\"}}}}\n"));
    all
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn hook(object: &Value) -> &str {
    object["metadata"]["annotations"]["helm.sh/hook"].as_str().unwrap_or_default()
}

/// The template of each Pod that the objects make.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let specs = objects.iter().map(|object| if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] });
    specs.filter(|spec| spec["containers"].is_array()).collect()
}

#[test]
fn lint_has_nothing_to_say() {
    for values in matrix() {
        let said = chart::run(&["lint", "--strict"], &values).unwrap_or_else(|error| panic!("{error}\nvalues:\n{values}"));
        assert!(said.contains("0 chart(s) failed"), "{said}");
    }
}

#[test]
fn every_object_is_whole_and_no_two_have_one_name() {
    for values in matrix() {
        let objects = chart::objects(&values).unwrap_or_else(|error| panic!("{error}\nvalues:\n{values}"));
        let mut seen = std::collections::HashSet::new();
        for object in &objects {
            let part =
                |path: &str| object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{path} in {object:#}"));
            assert!(seen.insert(format!("{} {}/{} {}", part("/kind"), part("/metadata/namespace"), part("/metadata/name"), hook(object))), "twice: {object:#}");
            part("/apiVersion");
        }
    }
}

#[test]
fn every_pod_fits_the_restricted_level_and_has_a_memory_limit_but_none_for_cpu() {
    for values in matrix() {
        let objects = chart::objects(&values).unwrap();
        assert!(pods(&objects).len() >= 2);
        for pod in pods(&objects) {
            let security = &pod["securityContext"];
            assert_eq!((&security["runAsNonRoot"], &security["seccompProfile"]["type"]), (&true.into(), &"RuntimeDefault".into()), "{pod:#}");
            assert_eq!(pod["enableServiceLinks"], false);
            for container in pod["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"]["drop"][0], "ALL");
                assert!(container["resources"]["limits"]["memory"].is_string() && container["resources"]["limits"]["cpu"].is_null(), "{container:#}");
            }
        }
    }
}

#[test]
fn the_coordinators_have_stable_names_a_service_for_the_ring_and_a_grace_longer_than_the_drain() {
    let objects = chart::objects(GROUP).unwrap();
    let set = of_kind(&objects, "StatefulSet")[0];
    assert_eq!((&set["spec"]["podManagementPolicy"], &set["spec"]["replicas"]), (&"Parallel".into(), &3.into()));
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 45);
    let arguments = pod["containers"][0]["args"].to_string();
    assert!(arguments.contains("--discovery-service=$(POD_NAMESPACE)/cache-meshcache\""), "{arguments}");
    let services = of_kind(&objects, "Service");
    let ports = |service: &Value| {
        service["spec"]["ports"].as_array().unwrap().iter().map(|port| format!("{} {}", port["name"].as_str().unwrap(), port["port"])).collect::<Vec<_>>()
    };
    assert_eq!(ports(services[0]), ["http2 8080", "http-status 8082", "tcp-peer 8083"]);
    assert_eq!((&services[0]["spec"]["publishNotReadyAddresses"], &services[0]["spec"]["clusterIP"]), (&Value::Null, &Value::Null));
    assert_eq!(services[0]["spec"]["ports"][0]["appProtocol"], "kubernetes.io/h2c");
    assert_eq!(
        (ports(services[1]), &services[1]["spec"]["clusterIP"], &services[1]["spec"]["publishNotReadyAddresses"]),
        (vec!["tcp-peer 8083".to_owned()], &"None".into(), &true.into())
    );
    assert!(of_kind(&chart::objects("autoscaling: {enabled: true}").unwrap(), "StatefulSet")[0]["spec"]["replicas"].is_null());
}

#[test]
fn a_coordinator_may_list_and_watch_endpoint_slices_of_its_own_namespace_and_nothing_else() {
    let objects = chart::objects(&format!("{GROUP}auth: {{existingSecret: mine}}")).unwrap();
    let roles = of_kind(&objects, "Role");
    assert_eq!(roles.len(), 1);
    assert_eq!(roles[0]["rules"], serde_json::json!([{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]));
    assert!(of_kind(&objects, "ClusterRole").is_empty());
}

#[tokio::test]
async fn the_program_accepts_the_groups_as_the_chart_writes_them() {
    let groups = GROUP.replace("freshness: {default: 30s", "mode: off\n  freshness: {default: 30s, force: off");
    let objects = chart::objects(&groups).unwrap();
    let text = of_kind(&objects, "ConfigMap").iter().find_map(|map| map["data"]["groups.yaml"].as_str()).unwrap().to_owned();
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let (status, said) = Coordinator::run(&["check", "--identity", "xfcc", "--config", file.path().to_str().unwrap()]).await;
    assert!(status.success(), "{said}\n{text}");
}

#[tokio::test]
async fn the_program_knows_every_argument_that_the_chart_gives_it() {
    for values in matrix() {
        let objects = chart::objects(&values).unwrap();
        for pod in pods(&objects) {
            let arguments: Vec<&str> = pod["containers"][0]["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
            // `--help` at the end wins over doing anything, and unknown flags over `--help`.
            let known: Vec<&str> = arguments.iter().filter(|argument| argument.starts_with("--")).map(|argument| argument.split('=').next().unwrap()).collect();
            let verb: Vec<&str> = arguments.iter().take_while(|argument| !argument.starts_with("--")).take(1).copied().collect();
            let (status, help) = Coordinator::run(&[verb.as_slice(), &["--help"]].concat()).await;
            assert!(status.success(), "{verb:?}: {help}");
            for flag in known {
                assert!(help.contains(&format!("{flag} ")), "{verb:?} {flag} is not in\n{help}");
            }
        }
    }
}

#[test]
fn the_readme_lists_every_value() {
    fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
        match value.as_object() {
            Some(fields) if !fields.is_empty() => {
                fields.iter().for_each(|(name, inner)| paths(inner, &if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, all))
            }
            _ => all.push(at.to_owned()),
        }
    }
    let (values, readme) =
        (std::fs::read_to_string(chart::folder().join("values.yaml")).unwrap(), std::fs::read_to_string(chart::folder().join("README.md")).unwrap());
    let mut all = Vec::new();
    chart::read(&values).iter().for_each(|values| paths(values, "", &mut all));
    let missing: Vec<_> = all
        .iter()
        .filter(|path| {
            !readme.contains(&format!("| `{path}` |")) && !readme.contains(&format!("| `{}` |", path.rsplit_once('.').map_or("", |(parent, _)| parent)))
        })
        .collect();
    assert!(all.len() > 60 && missing.is_empty(), "{missing:?}");
}

#[test]
fn a_misspelt_value_is_refused_by_name() {
    let wrong = [
        ("replica: 3", "replica"),
        ("image: {tagg: x}", "tagg"),
        ("istio: {atach: []}", "atach"),
        ("istio: {attach: [{naem: x, namespace: y}]}", "naem"),
        ("groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, freshnes: {default: 1s}}]", "freshnes"),
        ("groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, freshness: {default: 1x}}]", "default"),
        ("groups: [{name: g, match: {service: s.n}}]", "origin"),
        ("memory: lots", "memory"),
        ("identity: xfc", "identity"),
        ("monitoring: {servicemonitor: {enabled: true}}", "servicemonitor"),
    ];
    for (values, field) in wrong {
        let error = chart::objects(values).expect_err(values);
        assert!(error.contains(field), "{values}: {error}");
    }
}

#[test]
fn what_would_leak_or_break_a_mesh_is_refused_with_the_reason() {
    let open = GROUP.replace("  callers: [\"*\"]\n", "");
    let istio = |groups: &str, entry: &str| format!("{groups}istio: {{enabled: true, attach: [{entry}]}}\n");
    let wrong = [
        (istio(&open, "{name: a, namespace: clients, mode: CLIENT}"), "write the group's `callers`"),
        (istio(&open, "{name: a, namespace: gateways, gateway: g}"), "write the group's `callers`"),
        (istio(GROUP, "{name: a, namespace: platform}"), "name its `groups`"),
        (istio(GROUP, "{name: a, namespace: platform, groups: [other]}"), "there is no group `other`"),
        (istio(GROUP, "{name: a, namespace: istio-system, mode: CLIENT}"), "every proxy of the mesh"),
        (istio(GROUP, "{name: a, namespace: mesh, mode: CLIENT}"), "the coordinators' own proxies"),
        (istio(GROUP, "{name: a, namespace: mesh, mode: CLIENT, selector: {app.kubernetes.io/component: coordinator}}"), "the coordinators' own pods"),
        (istio(GROUP, "{name: a, namespace: p, mode: CLIENT}, {name: a, namespace: p, mode: CLIENT}"), "two entries are p/a"),
        (istio(GROUP, "{name: a, namespace: p, selector: {a: b}, gateway: g}"), "one of selector, gateway and waypoint"),
        (format!("{GROUP}envoyGateway: {{enabled: true, targets: [{{kind: Gateway, name: eg}}]}}"), "wasm stands before rbac"),
    ];
    for (values, why) in wrong {
        let error = chart::objects(&values).expect_err(&values);
        assert!(error.contains(why), "{values}: {error}");
    }
}

#[test]
fn the_filter_is_attached_by_hooks_after_the_coordinators_and_removed_before_them() {
    let values = format!("{GROUP}istio:\n  enabled: true\n{ATTACH}");
    let objects = chart::objects(&values).unwrap();
    assert!(of_kind(&objects, "WasmPlugin").is_empty());
    let jobs: Vec<(&str, &str)> =
        of_kind(&objects, "Job").iter().map(|job| (hook(job), job["spec"]["template"]["spec"]["containers"][0]["args"][0].as_str().unwrap())).collect();
    for expected in [
        ("pre-install,pre-upgrade", "create-tokens"),
        ("post-install,post-upgrade", "attach"),
        ("pre-upgrade", "detach"),
        ("pre-delete", "detach"),
        ("post-delete", "delete-tokens"),
    ] {
        assert!(jobs.contains(&expected), "{expected:?} in {jobs:?}");
    }
    let map = of_kind(&objects, "ConfigMap").into_iter().find_map(|map| map["data"]["plugins.json"].as_str()).unwrap().to_owned();
    let plugins: Vec<Value> = serde_json::from_str(&map).unwrap();
    assert_eq!(plugins.len(), 3);
    for plugin in &plugins {
        let spec = &plugin["spec"];
        assert_eq!((&spec["failStrategy"], &spec["phase"], &spec["sha256"]), (&"FAIL_OPEN".into(), &"STATS".into(), &"SHA256".into()));
        assert_eq!(spec["url"], "http://cache-meshcache.mesh.svc.cluster.local:8082/filter/SHA256.wasm");
        assert_eq!(spec["pluginConfig"]["cluster"], "outbound|8080||cache-meshcache.mesh.svc.cluster.local");
    }
    // With an image of its own the filter needs no hook.
    let oci = chart::objects(&format!("{values}  module: {{url: \"oci://registry.example/filter:1\"}}\n")).unwrap();
    assert_eq!(of_kind(&oci, "WasmPlugin").len(), 3);
    assert!(!of_kind(&oci, "Job").iter().any(|job| hook(job).starts_with("post-install")));
}

#[test]
fn the_owner_is_named_by_those_who_call_the_coordinators_and_never_in_the_coordinators_own_inbound_cluster() {
    let objects = chart::objects(&format!("{GROUP}istio: {{enabled: true, overrideHost: {{namespaces: [clients, gateways]}}}}\n")).unwrap();
    let filters = of_kind(&objects, "EnvoyFilter");
    let namespaces: Vec<&str> = filters.iter().map(|filter| filter["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(namespaces, ["clients", "gateways"]);
    for filter in filters {
        let patches = filter["spec"]["configPatches"].as_array().unwrap();
        let contexts: Vec<&str> = patches.iter().map(|patch| patch["match"]["context"].as_str().unwrap()).collect();
        assert_eq!(contexts, ["SIDECAR_OUTBOUND", "GATEWAY"]);
        assert!(patches.iter().all(|patch| patch["match"]["cluster"]["service"] == "cache-meshcache.mesh.svc.cluster.local"), "{filter:#}");
    }
}
