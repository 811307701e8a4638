//! The chart without a cluster: linted, rendered over a matrix of values, every object looked at, misspelt values
//! refused.
//!
//! Long: one table of what every rendered object must have, and its values.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway;
mod istio;
mod kubecache;
mod names;
mod native;
mod refused;
mod scaling;
mod values;

use std::io::Write;

use meshcache_tests::{Coordinator, chart};
use serde_json::{Value, json};

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
  - {name: gateway, namespace: gateways, routes: rewriting, gateway: public, groups: [config-server]}
"#;

/// Values that people may write, each turned on alone and all at once; and the files of values that the chart brings.
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
        "fullnameOverride: cache-of-everything\nstoreBytes: 600MiB\nresources: {limits: {memory: 2Gi}}\nservice: {type: LoadBalancer, port: 80}\ndrainSeconds: 60\n",
    ];
    let mut all: Vec<String> = more.iter().map(|one| format!("{GROUP}{one}")).collect();
    all.push(String::new());
    all.push(format!(
        "{GROUP}{}",
        more.iter().filter(|one| !one.contains("existingSecret")).copied().collect::<String>()
    ));
    for module in [
        "",
        "  module: {url: \"oci://registry.example/filter:1\", sha256: \"1111111111111111111111111111111111111111111111111111111111111111\", pullSecret: pull}\n",
    ] {
        for override_host in ["", "  overrideHost: {namespaces: [clients, gateways]}\n"] {
            all.push(format!("{GROUP}istio:\n  enabled: true\n{ATTACH}{module}{override_host}"));
        }
    }
    all.push(format!("{GROUP}istio: {{enabled: true, revision: canary, authorizationPolicy: {{admins: [cluster.local/ns/ops/sa/ci]}}}}\n"));
    all.push(gateway::values("patchPolicy: true, gateway: eg"));
    all.push(gateway::values("patchPolicy: true, gateway: eg, filter: native"));
    all.push(native::values("", native::ENTRIES));
    all.extend(
        ["values-production.yaml", "values-try.yaml"]
            .map(|file| std::fs::read_to_string(chart::folder().join(file)).unwrap()),
    );
    all.push("existingConfigMap: mine\ncallersAreWritten: true\nistio: {enabled: true}\n".to_owned());
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
    let specs = objects
        .iter()
        .map(|object| if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] });
    specs.filter(|spec| spec["containers"].is_array()).collect()
}

#[test]
fn lint_has_nothing_to_say() {
    for values in matrix() {
        let said =
            chart::run(&["lint", "--strict"], &values).unwrap_or_else(|error| panic!("{error}\nvalues:\n{values}"));
        assert!(said.contains("0 chart(s) failed"), "{said}");
    }
}

#[test]
fn every_object_is_whole_and_no_two_have_one_name() {
    for values in matrix() {
        let objects = chart::objects(&values).unwrap_or_else(|error| panic!("{error}\nvalues:\n{values}"));
        let mut seen = std::collections::HashSet::new();
        for object in &objects {
            let part = |path: &str| {
                object
                    .pointer(path)
                    .and_then(Value::as_str)
                    .filter(|text| !text.is_empty())
                    .unwrap_or_else(|| panic!("{path} in {object:#}"))
            };
            assert!(
                seen.insert(format!(
                    "{} {}/{} {}",
                    part("/kind"),
                    part("/metadata/namespace"),
                    part("/metadata/name"),
                    hook(object)
                )),
                "twice: {object:#}"
            );
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
            assert_eq!(
                (&security["runAsNonRoot"], &security["seccompProfile"]["type"]),
                (&true.into(), &"RuntimeDefault".into()),
                "{pod:#}"
            );
            assert_eq!(pod["enableServiceLinks"], false);
            for container in pod["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"]["drop"][0], "ALL");
                assert!(
                    container["resources"]["limits"]["memory"].is_string()
                        && container["resources"]["limits"]["cpu"].is_null(),
                    "{container:#}"
                );
            }
        }
    }
}

#[test]
fn resources_are_written_field_by_field_and_one_memory_is_both() {
    let resources = |values: &str| {
        let objects = chart::objects(values).unwrap();
        pods(&objects).iter().map(|pod| pod["containers"][0]["resources"].clone()).collect::<Vec<_>>()
    };
    let of = |values: &str| resources(values).into_iter().find(|one| one["requests"]["cpu"] != "10m").unwrap();
    assert_eq!(of(""), json!({"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}));
    for one in ["limits", "requests"] {
        let written = of(&format!("resources: {{{one}: {{memory: 2Gi}}}}\n"));
        assert_eq!(
            written,
            json!({"requests": {"cpu": "250m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}}),
            "{one}"
        );
    }
    // A quota that counts limits.cpu admits only pods that have one, hooks too.
    let quota = "resources: {limits: {cpu: 2}}\nhooks: {resources: {limits: {cpu: 100m}}}\n";
    assert!(resources(quota).iter().all(|one| !one["limits"]["cpu"].is_null()), "{:?}", resources(quota));
}

#[test]
fn what_is_reached_from_outside_is_the_data_port_alone() {
    let objects = chart::objects("service: {type: LoadBalancer, port: 80}\n").unwrap();
    let outside: Vec<&Value> =
        of_kind(&objects, "Service").into_iter().filter(|one| one["spec"]["type"] == "LoadBalancer").collect();
    let [service] = outside[..] else { panic!("{outside:#?}") };
    assert_eq!(service["metadata"]["name"], "cache-meshcache-external");
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert_eq!((ports.len(), &ports[0]["port"], &ports[0]["targetPort"]), (1, &json!(80), &json!("http2")));
}

#[test]
fn proxies_ask_at_the_port_that_the_service_has() {
    let objects = chart::objects(&format!("{GROUP}service: {{port: 80}}\nistio:\n  enabled: true\n{ATTACH}")).unwrap();
    let text = serde_json::to_string(&objects).unwrap();
    assert!(text.contains("outbound|80||cache-meshcache.mesh.svc.cluster.local"), "{text}");
    assert!(!text.contains("outbound|8080||"), "{text}");
    let cluster = of_kind(&objects, "EnvoyFilter")
        .into_iter()
        .find_map(|one| one.pointer("/spec/configPatches/0/match/cluster/portNumber"))
        .unwrap();
    assert_eq!(cluster, 80);
}

#[test]
fn security_contexts_are_written_over_ours_field_by_field() {
    let objects = chart::objects("podSecurityContext: {fsGroup: 2000}\nsecurityContext: {runAsUser: 1000}\n").unwrap();
    for pod in pods(&objects) {
        let (of_pod, of_container) = (&pod["securityContext"], &pod["containers"][0]["securityContext"]);
        assert_eq!((&of_pod["fsGroup"], &of_pod["runAsNonRoot"]), (&json!(2000), &json!(true)));
        assert_eq!((&of_container["runAsUser"], &of_container["readOnlyRootFilesystem"]), (&json!(1000), &json!(true)));
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
        service["spec"]["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| format!("{} {}", port["name"].as_str().unwrap(), port["port"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(services[0]), ["http2 8080", "http-status 8082", "tcp-peer 8083"]);
    assert_eq!(
        (&services[0]["spec"]["publishNotReadyAddresses"], &services[0]["spec"]["clusterIP"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(services[0]["spec"]["ports"][0]["appProtocol"], "kubernetes.io/h2c");
    assert_eq!(
        (ports(services[1]), &services[1]["spec"]["clusterIP"], &services[1]["spec"]["publishNotReadyAddresses"]),
        (vec!["tcp-peer 8083".to_owned()], &"None".into(), &true.into())
    );
}

#[test]
fn a_coordinator_may_list_and_watch_endpoint_slices_of_its_own_namespace_and_nothing_else() {
    let objects = chart::objects(&format!("{GROUP}auth: {{existingSecret: mine}}")).unwrap();
    let roles = of_kind(&objects, "Role");
    assert_eq!(roles.len(), 1);
    assert_eq!(
        roles[0]["rules"],
        serde_json::json!([{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}])
    );
    assert!(of_kind(&objects, "ClusterRole").is_empty());
}

#[tokio::test]
async fn the_program_accepts_the_groups_as_the_chart_writes_them() {
    let groups = GROUP.replace("freshness: {default: 30s", "mode: off\n  freshness: {default: 30s, force: off");
    let objects = chart::objects(&groups).unwrap();
    let text =
        of_kind(&objects, "ConfigMap").iter().find_map(|map| map["data"]["groups.yaml"].as_str()).unwrap().to_owned();
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let (status, said) =
        Coordinator::run(&["check", "--identity", "xfcc", "--config", file.path().to_str().unwrap()]).await;
    assert!(status.success(), "{said}\n{text}");
}

#[tokio::test]
async fn the_program_knows_every_argument_that_the_chart_gives_it() {
    for values in matrix() {
        let objects = chart::objects(&values).unwrap();
        for pod in pods(&objects) {
            let arguments: Vec<&str> = pod["containers"][0]["args"]
                .as_array()
                .unwrap()
                .iter()
                .map(|argument| argument.as_str().unwrap())
                .collect();
            // `--help` at the end wins over doing anything, and unknown flags over `--help`.
            let known: Vec<&str> = arguments
                .iter()
                .filter(|argument| argument.starts_with("--"))
                .map(|argument| argument.split('=').next().unwrap())
                .collect();
            let verb: Vec<&str> =
                arguments.iter().take_while(|argument| !argument.starts_with("--")).take(1).copied().collect();
            let (status, help) = Coordinator::run(&[verb.as_slice(), &["--help"]].concat()).await;
            assert!(status.success(), "{verb:?}: {help}");
            for flag in known {
                assert!(help.contains(&format!("{flag} ")), "{verb:?} {flag} is not in\n{help}");
            }
        }
    }
}

#[test]
fn what_helm_says_afterwards_can_be_said_for_all_values_and_names_the_next_step() {
    for values in matrix() {
        let notes = chart::notes(&values).unwrap_or_else(|error| panic!("{error}\nvalues:\n{values}"));
        assert!(notes.contains("rollout status statefulset/") && notes.contains("get secret "), "{notes}");
    }
    let first = chart::notes("").unwrap();
    assert!(first.contains("Nothing is cached yet"));
    // What is copied from there works for this release.
    for command in [
        "get secret cache-meshcache-tokens -o jsonpath='{.data.admin}'",
        "statefulset/cache-meshcache 8081",
        "-d '{\"all\": true}'",
    ] {
        assert!(first.contains(command), "{command}: {first}");
    }
    assert!(chart::notes(GROUP).unwrap().contains("-d '{\"group\": \"config-server\"}'"));
    let attached = chart::notes(&format!("{GROUP}istio:\n  enabled: true\n{ATTACH}")).unwrap();
    assert!(attached.contains("on 3 places") && attached.contains("proxyMemoryLimit"), "{attached}");
}

#[test]
fn a_change_of_groups_restarts_nothing() {
    let set = |values: &str| of_kind(&chart::objects(values).unwrap(), "StatefulSet")[0].clone();
    assert_eq!(set(GROUP), set(&GROUP.replace("30s", "60s")));
    let pod = &set(GROUP)["spec"]["template"]["spec"];
    // A file that is mounted by itself would never change.
    assert!(
        pod["containers"][0]["volumeMounts"].as_array().unwrap().iter().all(|mount| mount["subPath"].is_null()),
        "{pod:#}"
    );
}

#[test]
fn a_sync_renders_what_the_last_one_did() {
    for values in matrix() {
        assert_eq!(chart::objects(&values).unwrap(), chart::objects(&values).unwrap());
    }
}

#[test]
fn probes_ask_the_status_port_and_only_readiness_asks_more_than_whether_the_process_lives() {
    let container =
        |objects: &[Value]| of_kind(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0].clone();
    let container = container(&chart::objects(GROUP).unwrap());
    for (probe, path) in [("startupProbe", "/healthz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        assert_eq!(container[probe]["httpGet"], serde_json::json!({"path": path, "port": "http-status"}), "{probe}");
    }
}

#[test]
fn memory_is_one_value_and_the_grace_follows_the_drain() {
    let objects =
        chart::objects("resources: {limits: {memory: 2Gi}}\ndrainSeconds: 60\nistio: {enabled: true}\n").unwrap();
    let template = &of_kind(&objects, "StatefulSet")[0]["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    assert_eq!(
        (&container["resources"]["requests"]["memory"], &container["resources"]["limits"]["memory"]),
        (&"2Gi".into(), &"2Gi".into())
    );
    let arguments = container["args"].to_string();
    assert!(!arguments.contains("--store-bytes") && arguments.contains("--drain-timeout=60s"), "{arguments}");
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 75);
    let sidecar: Value =
        serde_json::from_str(template["metadata"]["annotations"]["proxy.istio.io/config"].as_str().unwrap()).unwrap();
    assert_eq!(
        sidecar,
        serde_json::json!({"holdApplicationUntilProxyStarts": true, "terminationDrainDuration": "65s"})
    );
    // A large number is written as one, not as 6.3e+08.
    let objects = chart::objects("storeBytes: 629145600\n").unwrap();
    assert!(of_kind(&objects, "StatefulSet")[0].to_string().contains("--store-bytes=629145600\""));
}

#[test]
fn disruptions_come_one_at_a_time_also_where_there_is_only_one() {
    for values in ["", "replicaCount: 1\n"] {
        let objects = chart::objects(values).unwrap();
        let budget = &of_kind(&objects, "PodDisruptionBudget")[0]["spec"];
        // minAvailable 1 would let nobody drain the node of a single coordinator.
        assert_eq!((&budget["maxUnavailable"], &budget["minAvailable"]), (&1.into(), &Value::Null));
    }
}

#[test]
fn pods_are_spread_unless_somebody_says_how() {
    let spread = |values: &str| {
        of_kind(&chart::objects(values).unwrap(), "StatefulSet")[0]["spec"]["template"]["spec"]["topologySpreadConstraints"].clone()
    };
    let keys: Vec<Value> = spread("").as_array().unwrap().iter().map(|one| one["topologyKey"].clone()).collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    let own = serde_json::json!([{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]);
    assert_eq!(spread(&format!("topologySpreadConstraints: {own}\n")), own);
}

#[test]
fn the_usual_keys_reach_the_pods() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = format!(
        "image: {{registry: registry.example, tag: v1, digest: {digest:?}}}\nimagePullSecrets: [{{name: pull}}]\nnodeSelector: {{a: b}}\n\
         tolerations: [{{operator: Exists}}]\naffinity: {{podAntiAffinity: {{}}}}\npriorityClassName: high\n\
         podLabels: {{team: x, app.kubernetes.io/instance: other}}\npodAnnotations: {{prometheus.io/scrape: \"false\"}}\nextraEnv: [{{name: A, value: b}}]\n"
    );
    let objects = chart::objects(&values).unwrap();
    for pod in pods(&objects) {
        assert_eq!(pod["containers"][0]["image"], format!("registry.example/meshcache/coordinator@{digest}"));
        assert_eq!(
            (&pod["imagePullSecrets"][0]["name"], &pod["nodeSelector"]["a"], &pod["tolerations"][0]["operator"]),
            (&"pull".into(), &"b".into(), &"Exists".into())
        );
    }
    let template = &of_kind(&objects, "StatefulSet")[0]["spec"]["template"];
    assert_eq!(
        (&template["spec"]["priorityClassName"], &template["spec"]["affinity"]),
        (&"high".into(), &serde_json::json!({"podAntiAffinity": {}}))
    );
    assert!(template["spec"]["containers"][0]["env"].to_string().contains("{\"name\":\"A\",\"value\":\"b\"}"));
    // Own annotations win; own labels cannot take a pod away from its Services.
    assert_eq!(
        (&template["metadata"]["annotations"]["prometheus.io/scrape"], &template["metadata"]["labels"]["team"]),
        (&"false".into(), &"x".into())
    );
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/instance"], "cache");
    let tag = chart::objects("image: {tag: v1}").unwrap();
    assert_eq!(pods(&tag)[0]["containers"][0]["image"], "meshcache/coordinator:v1");
}

#[test]
fn more_objects_are_templates_as_yaml_or_as_text() {
    let extra = "extraObjects:\n- {apiVersion: v1, kind: Thing, metadata: {name: \"{{ .Release.Name }}-a\"}}\n- |\n  apiVersion: v1\n  kind: Thing\n  metadata: {name: {{ include \"meshcache.fullname\" . }}-b}\n";
    let objects = chart::objects(extra).unwrap();
    let names: Vec<&Value> = of_kind(&objects, "Thing").iter().map(|thing| &thing["metadata"]["name"]).collect();
    assert_eq!(names, ["cache-a", "cache-meshcache-b"]);
}

#[test]
fn the_network_lets_in_by_port() {
    let values = "networkPolicy: {enabled: true, clients: [{namespaceSelector: {}}], admins: [{podSelector: {matchLabels: {app: ci}}}]}\n";
    let ingress = |values: &str| {
        let objects = chart::objects(values).unwrap();
        let spec = &of_kind(&objects, "NetworkPolicy")[0]["spec"];
        // What goes out is not limited: origins are anywhere.
        assert_eq!(spec["policyTypes"], serde_json::json!(["Ingress"]));
        let rules = spec["ingress"].as_array().unwrap().iter();
        rules
            .map(|rule| {
                (
                    rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect(),
                    rule["from"].clone(),
                )
            })
            .collect::<Vec<(Vec<u64>, Value)>>()
    };
    let own = serde_json::json!([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "meshcache", "app.kubernetes.io/instance": "cache", "app.kubernetes.io/component": "coordinator"}}}]);
    let (clients, admins) = (
        serde_json::json!([{"namespaceSelector": {}}]),
        serde_json::json!([{"podSelector": {"matchLabels": {"app": "ci"}}}]),
    );
    assert_eq!(
        ingress(values),
        [(vec![8080], clients), (vec![8082], Value::Null), (vec![8083], own), (vec![8081], admins)]
    );
    // Nobody is an administrator unless it is said; in a mesh the sidecar's own ports, and the tunnel's.
    let mesh: Vec<Vec<u64>> = ingress("networkPolicy: {enabled: true}\nistio: {enabled: true}\n")
        .into_iter()
        .map(|(ports, _)| ports)
        .collect();
    assert_eq!(mesh, [vec![8080, 15008], vec![8082, 15020, 15021, 15090], vec![8083, 15008]]);
}

#[test]
fn tokens_are_made_once_by_a_hook_of_install_and_upgrade_that_may_do_nothing_else() {
    let objects = chart::objects(GROUP).unwrap();
    assert!(of_kind(&objects, "Secret").is_empty(), "a template would make another one at each sync");
    let of_hook = |kind: &str, name: &str| {
        of_kind(&objects, kind).into_iter().find(|object| object["metadata"]["name"] == name).unwrap().clone()
    };
    let rules = |name: &str| of_hook("Role", name)["rules"].clone();
    assert_eq!(
        rules("cache-meshcache-tokens"),
        serde_json::json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}])
    );
    assert_eq!(
        rules("cache-meshcache-tokens-delete"),
        serde_json::json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"], "resourceNames": ["cache-meshcache-tokens"]}])
    );
    // Before the pods that need it, also where a sync knows only `pre-install`.
    assert_eq!(hook(&of_hook("Job", "cache-meshcache-tokens")), "pre-install,pre-upgrade");
    let existing = chart::objects("auth: {existingSecret: mine}\n").unwrap();
    assert!(!of_kind(&existing, "Job").iter().any(|job| job.to_string().contains("tokens")));
    let volumes = &of_kind(&existing, "StatefulSet")[0]["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[1]["secret"]["secretName"], "mine");
}

#[test]
fn scraping_finds_each_coordinator_once() {
    let objects = chart::objects("monitoring: {serviceMonitor: {enabled: true}}\nservice: {admin: true}\n").unwrap();
    let monitor = &of_kind(&objects, "ServiceMonitor")[0]["spec"];
    let wanted = monitor["selector"]["matchLabels"].as_object().unwrap();
    let fits = |service: &&&Value| wanted.iter().all(|(name, value)| &service["metadata"]["labels"][name] == value);
    let services = of_kind(&objects, "Service");
    let found: Vec<&&Value> = services.iter().filter(fits).collect();
    assert_eq!((services.len(), found.len(), &found[0]["metadata"]["name"]), (3, 1, &"cache-meshcache".into()));
    assert_eq!(monitor["endpoints"][0]["port"], found[0]["spec"]["ports"][1]["name"]);
}
