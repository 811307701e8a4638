//! kubecache's own values: a release of its chart becomes one of ours, and its clients see no change.

use meshcache_tests::chart;
use serde_json::{Value, json};

use crate::of_kind;

/// A file with every value that kubecache's chart has.
const EVERY_VALUE: &str = r#"
replicaCount: 2
image: {repository: registry.example/kubecache, pullPolicy: Always, tag: 0.13.1}
imagePullSecrets: [{name: pull}]
nameOverride: config-cache
fullnameOverride: the-config-cache
serviceAccount: {create: true, annotations: {a: b}, name: reader}
redeploy: always
podAnnotations: {"sidecar.istio.io/inject": "false", team: config}
podSecurityContext: {runAsUser: 1000}
securityContext: {readOnlyRootFilesystem: true}
ingress: {enabled: false, className: "", annotations: {}, hosts: [{host: cache.example, paths: [{path: /, pathType: Prefix}]}], tls: []}
customLabels: {app: config-cache, tier: "{{ .Release.Name }}"}
resources: {requests: {cpu: 100m, memory: 300Mi}, limits: {cpu: "1", memory: 500Mi}}
autoscaling: {enabled: true, minReplicas: 3, maxReplicas: 9, targetCPUUtilizationPercentage: 60, apiVersion: autoscaling/v2}
nodeSelector: {disk: fast}
tolerations: [{operator: Exists}]
affinity: {podAntiAffinity: {}}
service: {type: NodePort, port: 9009, targetPort: 8088}
podHealthCheck: {port: 8880, path: /alive}
configMapProperties: {LISTEN_ADDR: ":8088", HEALTH_ADDR: ":8880", HEALTH_PATH: /alive, KUBEGROUP_LABEL_SELECTOR: app=config-cache}
"#;

fn objects(release: &str, values: &str) -> Vec<Value> {
    chart::release(release, "mesh", &[], values).unwrap()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    of_kind(objects, kind)[0]
}

/// Without what is random at each upgrade.
fn settled(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        if let Some(annotations) = object.pointer_mut("/spec/template/metadata/annotations/rollme") {
            annotations.take();
        }
    }
    objects
}

fn names(objects: &[Value]) -> Vec<(&str, &str)> {
    objects
        .iter()
        .map(|object| (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_release_of_their_defaults_has_their_names_labels_ports_and_probes() {
    let all = objects("kubecache", "kubecache: {enabled: true}");
    assert_eq!(
        names(&all),
        ["ServiceAccount", "ConfigMap", "Role", "RoleBinding", "Service", "Deployment", "HorizontalPodAutoscaler"]
            .map(|kind| (kind, "kubecache"))
    );
    let selector = json!({"app.kubernetes.io/name": "kubecache", "app.kubernetes.io/instance": "kubecache"});
    let service = &one(&all, "Service")["spec"];
    assert_eq!(
        *service,
        json!({"type": "ClusterIP", "selector": selector, "ports": [{"name": "http", "port": 9000, "targetPort": 8080, "protocol": "TCP"}]})
    );
    let spec = &one(&all, "Deployment")["spec"];
    assert_eq!(spec["selector"]["matchLabels"], selector);
    assert_eq!(spec["replicas"], Value::Null, "the autoscaler decides");
    let metadata = &spec["template"]["metadata"];
    assert_eq!(metadata["labels"]["app"], "kubecache");
    assert_eq!(metadata["annotations"]["prometheus.io/port"], "3000");
    assert_eq!(metadata["annotations"]["sidecar.istio.io/inject"], "true");
    assert!(metadata["annotations"]["rollme"].is_string());
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!((&container["name"], &container["args"]), (&json!("kubecache"), &json!(["kubecache"])));
    assert_eq!(container["envFrom"], json!([{"configMapRef": {"name": "kubecache"}}]));
    assert!(container["image"].as_str().unwrap().starts_with("meshcache/coordinator:"), "{container}");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"], json!({"path": "/health", "port": 8888}), "{probe}");
    }
    assert_eq!(one(&all, "ConfigMap")["data"]["OTEL_TRACES_SAMPLER_ARG"], "0.01");
    assert_eq!(
        one(&all, "Role")["rules"],
        json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}])
    );
    let scaler = &one(&all, "HorizontalPodAutoscaler")["spec"];
    assert_eq!((&scaler["minReplicas"], &scaler["maxReplicas"]), (&json!(1), &json!(100)));
    assert_eq!(scaler["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
}

#[test]
fn every_value_of_theirs_counts_but_the_image() {
    let all = objects("shop", EVERY_VALUE);
    let other: Vec<_> = names(&all).into_iter().filter(|(_, name)| *name != "the-config-cache").collect();
    assert_eq!(other, [("ServiceAccount", "reader")]);
    assert_eq!(one(&all, "Service")["spec"]["type"], "NodePort");
    let port = &one(&all, "Service")["spec"]["ports"][0];
    assert_eq!((&port["port"], &port["targetPort"]), (&json!(9009), &json!(8088)));
    assert_eq!(one(&all, "Service")["spec"]["selector"]["app.kubernetes.io/name"], "config-cache");
    let template = &one(&all, "Deployment")["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    assert_eq!((&labels["app"], &labels["tier"]), (&json!("config-cache"), &json!("shop")));
    let annotations = &template["metadata"]["annotations"];
    assert_eq!((&annotations["sidecar.istio.io/inject"], &annotations["team"]), (&json!("false"), &json!("config")));
    let pod = &template["spec"];
    assert_eq!((&pod["serviceAccountName"], &pod["nodeSelector"]["disk"]), (&json!("reader"), &json!("fast")));
    assert_eq!(
        (&pod["tolerations"][0]["operator"], &pod["affinity"]),
        (&json!("Exists"), &json!({"podAntiAffinity": {}}))
    );
    assert_eq!(
        (&pod["imagePullSecrets"][0]["name"], &pod["securityContext"]),
        (&json!("pull"), &json!({"runAsUser": 1000}))
    );
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"], json!({"readOnlyRootFilesystem": true}));
    assert_eq!(container["resources"]["limits"]["memory"], "500Mi");
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/alive", "port": 8880}));
    assert_eq!(one(&all, "ConfigMap")["data"]["KUBEGROUP_LABEL_SELECTOR"], "app=config-cache");
    let scaler = &one(&all, "HorizontalPodAutoscaler")["spec"];
    assert_eq!((&scaler["minReplicas"], &scaler["maxReplicas"]), (&json!(3), &json!(9)));
}

#[test]
fn a_file_with_some_of_their_values_has_their_defaults_for_the_rest_at_the_top_and_in_the_block() {
    let some = "configMapProperties: {BACKEND_URL: \"http://{{ .Release.Namespace }}:9000\"}\nautoscaling: {enabled: false}\nreplicaCount: 3\npodAnnotations: {a: b}\nservice: {port: 80, targetPort: 9999}\npodHealthCheck: {port: 7777}\nredeploy: reconfig\n";
    let top = objects("shop", some);
    let spec = &one(&top, "Deployment")["spec"];
    assert_eq!(one(&top, "Deployment")["metadata"]["name"], "shop-kubecache");
    assert_eq!(spec["replicas"], 3);
    assert!(of_kind(&top, "HorizontalPodAutoscaler").is_empty());
    let metadata = &spec["template"]["metadata"];
    assert_eq!(metadata["labels"]["app"], "kubecache");
    assert_eq!(
        (&metadata["annotations"]["a"], &metadata["annotations"]["prometheus.io/port"]),
        (&json!("b"), &json!("3000"))
    );
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "shop");
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/health", "port": 7777}));
    let port = &one(&top, "Service")["spec"]["ports"][0];
    assert_eq!((&port["port"], &port["targetPort"]), (&json!(80), &json!(9999)));
    let data = &one(&top, "ConfigMap")["data"];
    assert_eq!((&data["BACKEND_URL"], &data["OTELCONFIG_EXPORTER"]), (&json!("http://mesh:9000"), &json!("jaeger")));

    let block: String = some.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(objects("shop", &format!("kubecache:\n{block}")), top);
    let other = some.replace("a: b", "a: c").replace("9000", "9001");
    assert_ne!(objects("shop", &other), top);
}

#[test]
fn a_changed_variable_rolls_the_pods() {
    let checksum = |value: &str| {
        let all = objects("k", &format!("redeploy: reconfig\nconfigMapProperties: {{CACHE_TTL: {value}}}\n"));
        one(&all, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
    };
    assert!(checksum("1s").is_string() && checksum("1s") == checksum("1s") && checksum("1s") != checksum("2s"));
}

#[test]
fn their_image_is_ignored_and_the_notes_say_so() {
    let theirs = "configMapProperties: {A: b}\nimage: {repository: registry.example/kubecache, tag: 0.13.1, pullPolicy: Always}\n";
    let container =
        |values: &str| one(&objects("k", values), "Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
    let ours = container(theirs);
    assert!(ours["image"].as_str().unwrap().starts_with("meshcache/coordinator:"), "{ours}");
    assert_eq!(ours["imagePullPolicy"], "Always");
    assert!(!ours["image"].as_str().unwrap().ends_with("0.13.1"), "{ours}");
    let notes = chart::notes(theirs).unwrap();
    assert!(notes.contains("the `image` of kubecache's values is ignored"), "{notes}");
    // Where ours is, says what kubecache's values do not have.
    let from = container(&format!("{}\n", theirs.replace("image: {", "image: {registry: registry.example, ")));
    assert!(from["image"].as_str().unwrap().starts_with("registry.example/meshcache/coordinator:"), "{from}");
    let block = container(
        "image: {repository: mirror/coordinator, tag: v9}\nkubecache: {image: {repository: theirs, tag: 0.13.1}}\n",
    );
    assert_eq!(block["image"], "mirror/coordinator:v9");
}

#[test]
fn pods_with_a_secret_have_their_tokens() {
    let with = objects("k", "configMapProperties: {A: b}\nauth: {existingSecret: mine}\n");
    let pod = &one(&with, "Deployment")["spec"]["template"]["spec"];
    let env = pod["containers"][0]["env"].to_string();
    assert!(env.contains(r#"{"name":"MESHCACHE_PEER_TOKEN_FILE","value":"/etc/meshcache/tokens/peer"}"#), "{env}");
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], "mine");
    let without = one(&objects("k", "configMapProperties: {A: b}"), "Deployment").to_string();
    assert!(!without.contains("TOKEN_FILE") && !without.contains("volume"), "{without}");
}

#[test]
fn what_is_misspelt_or_has_no_effect_is_refused_with_its_place() {
    for (values, said) in [
        ("configMapProperties: {A: b}\npodHealthChek: {port: 1}", "podHealthChek"),
        ("podHealthCheck: {prt: 1}", "at '/podHealthCheck': additional properties 'prt'"),
        ("configMapProperties: {TRACE: true}", "at '/configMapProperties/TRACE': got boolean, want string"),
        ("kubecache: {configMapPropertis: {}}", "at '/kubecache': additional properties 'configMapPropertis'"),
        ("kubecache: {autoscaling: {min: 1}}", "additional properties 'min'"),
        (
            "kubecache: {replicaCount: 1}\ncustomLabels: {a: b}",
            "customLabels: kubecache's values are in `kubecache`, too",
        ),
        ("configMapProperties: {A: b}\ndebuggers: [\"*\"]", "debuggers: kubecache's values name all that is cached"),
        (
            "configMapProperties: {A: b}\nextraArgs: [--log-level=debug]",
            "extraArgs: kubecache's mode takes no --log-level=debug; set the MESHCACHE_ variable",
        ),
        ("configMapProperties: {A: b}\nistio: {enabled: true}", "istio.enabled is not for kubecache's values"),
        (
            "configMapProperties: {A: b}\nmonitoring: {serviceMonitor: {enabled: true}}",
            "monitoring.serviceMonitor.enabled is not",
        ),
        ("kubecache: {enabled: false}\nredeploy: always", "redeploy is a value of kubecache's chart"),
        ("service: {targetPort: 80}", "service.targetPort is a value of kubecache's chart"),
        ("autoscaling: {apiVersion: autoscaling/v2}", "autoscaling.apiVersion is a value of kubecache's chart"),
    ] {
        let refused = chart::release("k", "mesh", &[], values).unwrap_err();
        assert!(refused.contains(said), "{values}: {refused}");
    }
}

#[test]
fn values_of_this_chart_alone_have_nothing_of_kubecaches() {
    let off = settled(objects("cache", "kubecache: {enabled: false, replicaCount: 9}\n"));
    assert_eq!(off, settled(objects("cache", "")));
    assert!(of_kind(&off, "Deployment").is_empty() && !of_kind(&off, "StatefulSet").is_empty());
    let on = objects("cache", "kubecache: {enabled: true}\nreplicaCount: 2\nautoscaling: {enabled: false}\n");
    assert_eq!(one(&on, "Deployment")["spec"]["replicas"], 2);
}
