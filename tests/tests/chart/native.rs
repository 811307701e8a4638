//! The filter as a dynamic module: an EnvoyFilter in the place of the WasmPlugin, and Envoy Gateway's policy.

use std::{collections::BTreeMap, process::Command};

use meshcache_tests::{artifact, chart};
use serde_json::{Value, json};

use crate::{GROUP, gateway, hook, of_kind, scaling};

/// Where clients of a mesh reach the coordinators' status port.
const STATUS: &str = "outbound|8082||cache-meshcache.mesh.svc.cluster.local";

/// Values with these entries; `native`: fields of `istio.native`.
pub(crate) fn values(native: &str, entries: &str) -> String {
    format!("{GROUP}istio: {{enabled: true, filter: native, native: {{{native}}}, attach: [{entries}]}}\n")
}

fn digest(of: &str, digit: &str) -> String {
    format!("{of}: \"{}\"", digit.repeat(64))
}

pub(crate) const ENTRIES: &str = "{name: server, namespace: p, selector: {app: s}, groups: [config-server], ports: [9000, 9001]}, \
     {name: client, namespace: c, selector: {app: c}, mode: CLIENT, hotBytes: 0}, \
     {name: gateway, namespace: g, routes: rewriting, gateway: public}";

/// The patches that insert a filter, by the EnvoyFilter's namespace.
fn inserted(objects: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let of = |filter: &'_ Value| -> Vec<usize> {
        let patches = filter["spec"]["configPatches"].as_array().unwrap();
        (0..patches.len()).filter(|at| patches[*at]["patch"]["operation"] == "INSERT_BEFORE").collect()
    };
    of_kind(objects, "EnvoyFilter")
        .into_iter()
        .map(|filter| {
            let patches = of(filter).into_iter().map(|at| &filter["spec"]["configPatches"][at]).collect();
            (filter["metadata"]["namespace"].as_str().unwrap(), patches)
        })
        .collect()
}

/// The configuration that the module reads.
fn configuration(patch: &Value) -> Value {
    serde_json::from_str(patch["patch"]["value"]["typed_config"]["filter_config"]["value"].as_str().unwrap()).unwrap()
}

#[test]
fn the_filter_stands_where_a_plugin_would_and_nothing_depends_on_hooks() {
    let objects = chart::objects(&values("", ENTRIES)).unwrap();
    assert!(of_kind(&objects, "WasmPlugin").is_empty());
    assert!(!of_kind(&objects, "Job").iter().any(|job| hook(job).starts_with("post-install")));
    let all = inserted(&objects);
    let ports = |namespace: &str| -> Vec<Value> {
        all[namespace].iter().map(|patch| patch["match"]["listener"]["portNumber"].clone()).collect()
    };
    assert_eq!(
        (ports("p"), ports("c"), ports("g")),
        (vec![9000.into(), 9001.into()], vec![Value::Null], vec![Value::Null])
    );
    let cluster = "outbound|8080||cache-meshcache.mesh.svc.cluster.local";
    for (namespace, context, expected) in [
        (
            "p",
            "SIDECAR_INBOUND",
            json!({"cluster": cluster, "hot_bytes": "16MiB", "groups": ["config-server"], "side": "inbound"}),
        ),
        ("c", "SIDECAR_OUTBOUND", json!({"cluster": cluster, "hot_bytes": "0", "groups": null, "side": "outbound"})),
        (
            "g",
            "GATEWAY",
            json!({"cluster": cluster, "hot_bytes": "16MiB", "groups": null, "side": "outbound", "routes": "rewriting"}),
        ),
    ] {
        let patch = all[namespace][0];
        assert_eq!((&patch["applyTo"], &patch["match"]["context"]), (&"HTTP_FILTER".into(), &context.into()));
        // What istiod puts behind the plugins of the phase STATS.
        let before = &patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"];
        assert_eq!((before, configuration(patch)), (&"envoy.filters.http.grpc_stats".into(), expected));
        let module = &patch["patch"]["value"]["typed_config"]["dynamic_module_config"];
        assert_eq!(
            (&module["module"], &module["do_not_close"]),
            (&json!({"local": {"filename": "/etc/meshcache/libmeshcache_envoy.so"}}), &true.into())
        );
    }
}

#[test]
fn a_module_that_proxies_fetch_is_that_of_the_coordinators_and_envoy_takes_the_filter() {
    let objects = chart::objects(&values(&format!("sha256: {{{}}}", digest("arm64", "a")), ENTRIES)).unwrap();
    let digest = "a".repeat(64);
    for patch in inserted(&objects).values().flatten() {
        let filter = &patch["patch"]["value"];
        let remote = &filter["typed_config"]["dynamic_module_config"]["module"]["remote"];
        let url = format!("http://cache-meshcache.mesh.svc.cluster.local:8082/filter/{digest}.so");
        assert_eq!(
            (&remote["http_uri"]["uri"], &remote["http_uri"]["cluster"], &remote["sha256"]),
            (&url.into(), &STATUS.into(), &digest.as_str().into())
        );
        let router = json!({"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}});
        let manager = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "p", "route_config": {}, "http_filters": [filter, router]});
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        let envoy = json!({"static_resources": {
            "listeners": [{"name": "l", "address": address, "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}],
            "clusters": [{"name": STATUS, "connect_timeout": "1s", "load_assignment": {"cluster_name": STATUS}}]}});
        let mut file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        std::io::Write::write_all(&mut file, envoy.to_string().as_bytes()).unwrap();
        let mut envoy = Command::new(artifact::envoy());
        envoy.args(["--mode", "validate", "--log-level", "warning", "--config-path"]).arg(file.path());
        let output = envoy.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_cannot_run_natively_is_refused_and_says_what_to_write() {
    let file = "{name: a, namespace: p, mode: CLIENT}";
    let server = "{name: a, namespace: p, selector: {app: s}, groups: [config-server]}";
    for (values, why) in [
        (
            values("", "{name: a, namespace: p, waypoint: w, groups: [config-server]}"),
            "istio.attach p/a: an EnvoyFilter does not reach a waypoint's requests: write `filter: wasm` here",
        ),
        (values("", file), "istio.attach p/a: name the pods (`selector`) that have the module's file"),
        (
            values("", &server.replace("name: a", "name: a, hotBytesPerWorker: 4MiB")),
            "istio.attach p/a: `hotBytesPerWorker` is Wasm's; a native filter has `hotBytes`",
        ),
        (
            values("", &server.replace("name: a", "name: a, filter: wasm, hotBytes: 4MiB")),
            "istio.attach p/a: `hotBytes` is for a native filter",
        ),
        (
            values(&format!("sha256: {{{}, {}}}", digest("amd64", "1"), digest("arm64", "2")), server),
            "istio.native.sha256: a proxy's configuration names one module, so a mesh of two architectures cannot fetch it",
        ),
        (
            values("istioVersion: \"1.30.3\"", server),
            "istio.attach p/a: proxies of Istio 1.30.3 (istio.native.istioVersion) know no native filter",
        ),
        (values("sha256: {riscv64: x}", server), "riscv64"),
        (values("path: libmeshcache_envoy.so", server), "path"),
        (values("", server).replace("filter: native", "filter: nativ"), "filter"),
        // What holds for a plugin holds here.
        (values("", "{name: a, namespace: p, selector: {app: s}}"), "name its `groups`"),
        (
            values("", "{name: a, namespace: p, gateway: g, groups: [config-server]}"),
            "istio.attach p/a: write `routes`",
        ),
    ] {
        let error = chart::objects(&values).expect_err(&values);
        assert!(error.contains(why), "{values}: {error}");
    }
    chart::objects(&values("istioVersion: \"1.31\"", server)).unwrap();
    // Who fetches the module needs no volume, and so may be any proxy.
    chart::objects(&values(&format!("sha256: {{{}}}", digest("amd64", "1")), file)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_istiod_that_is_too_old_is_seen_in_the_cluster() {
    let native = values("", "{name: a, namespace: p, selector: {app: s}, groups: [config-server]}");
    let api = scaling::api(&native, &[("apps/v1", "Deployment")]).await;
    let istiod = |revision: &str, version: &str| {
        json!({"metadata": {"name": format!("istiod-{revision}"), "namespace": "istio-system",
            "labels": {"app": "istiod", "istio.io/rev": revision, "app.kubernetes.io/version": version}}})
    };
    let runs = |all: &[Value]| {
        let list = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": all});
        api.always("/apis/apps/v1/namespaces/istio-system/deployments", scaling::answer(&list));
    };
    let old = "proxies of Istio 1.30.3 (istiod istiod-old) know no native filter";
    runs(&[istiod("old", "1.30.3"), istiod("new", "1.31.0-rc.0")]);
    let error = chart::upgraded(&api.url(), &native).unwrap_err();
    assert!(error.contains(old), "{error}");
    // Of the revision that injects; and who says a version is believed.
    chart::upgraded(&api.url(), &native.replace("enabled: true,", "enabled: true, revision: new,")).unwrap();
    chart::upgraded(&api.url(), &native.replace("native: {}", "native: {istioVersion: \"1.31.2\"}")).unwrap();
    runs(&[istiod("new", "1.31.0-rc.0")]);
    chart::upgraded(&api.url(), &native).unwrap();
}

#[test]
fn one_workload_after_the_other_goes_over_and_only_plugins_have_hooks() {
    let entries = format!("{}, {{name: old, namespace: o, filter: wasm, groups: [config-server]}}", ENTRIES);
    let objects = chart::release("cache", "mesh", &["--is-upgrade"], &values("", &entries)).unwrap();
    let map = of_kind(&objects, "ConfigMap").into_iter().find_map(|map| map["data"]["plugins.json"].as_str()).unwrap();
    let plugins: Vec<Value> = serde_json::from_str(map).unwrap();
    assert_eq!((plugins.len(), &plugins[0]["metadata"]["name"]), (1, &"old".into()));
    let prune = of_kind(&objects, "Job").into_iter().find(|job| hook(job).contains("pre-rollback")).unwrap();
    assert_eq!(
        prune["spec"]["template"]["spec"]["containers"][0]["args"],
        json!(["detach", "--file=/attach/plugins.json", "--keep=o/old"])
    );
    let roles: Vec<&Value> = of_kind(&objects, "Role")
        .iter()
        .map(|role| &role["metadata"]["namespace"])
        .filter(|at| *at != "mesh")
        .collect();
    assert_eq!(roles, ["o"]);
    assert!(
        inserted(&objects)
            .values()
            .all(|patches| patches.iter().all(|patch| configuration(patch)["hot_bytes"].is_string()))
    );
}

#[test]
fn in_envoy_gateway_it_is_a_module_of_the_envoy_proxy_that_the_docs_show() {
    let values = gateway::values("cluster: theirs, filter: native, native: {hotBytes: 8MiB}, groups: [config-server]");
    let objects = chart::objects(&values).unwrap();
    let policy = &of_kind(&objects, "EnvoyExtensionPolicy")[0]["spec"];
    assert_eq!(policy["wasm"], Value::Null);
    let config = json!({"cluster": "theirs", "hot_bytes": "8MiB", "groups": ["config-server"], "side": "outbound", "routes": "plain"});
    assert_eq!(policy["dynamicModule"], json!([{"name": "meshcache", "filterName": "meshcache", "config": config}]));
    let page = std::fs::read_to_string(artifact::file("docs/native.md")).unwrap();
    let shown = page.split("```yaml\n").skip(1).map(|rest| chart::read(rest.split("```").next().unwrap()).remove(0));
    let proxy = shown.into_iter().find(|object| object["kind"] == "EnvoyProxy").unwrap();
    assert_eq!(proxy["spec"]["dynamicModules"][0]["name"], policy["dynamicModule"][0]["name"]);
    assert_eq!(
        proxy["spec"]["filterOrder"],
        json!([{"name": "envoy.filters.http.dynamic_modules", "after": "envoy.filters.http.rbac"}])
    );
    let error = chart::objects(&values.replace("filterOrderIsSet: true", "filterOrderIsSet: false")).unwrap_err();
    assert!(
        error.contains("Add {name: envoy.filters.http.dynamic_modules, after: envoy.filters.http.rbac}"),
        "{error}"
    );
    // It needs no URL: the EnvoyProxy has the module.
    let module = &values[values.find("module: {").unwrap()..=values.find("pull}").unwrap() + 5];
    chart::objects(&values.replace(module, "")).unwrap();
}
