//! The chart's alerts and dashboard in a real Prometheus (PROMETHEUS_BIN and PROMTOOL_BIN, else what `scripts/setup
//! prometheus` fetched): each alert fires where it should and nowhere else, and each query finds series of real
//! coordinators. Where there is no Prometheus, that is said and nothing is tried.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use meshcache_tests::{
    Ask, Coordinators, Mesh, Reply, artifact, await_until, chart, groups::SHOP, port, process::Process, wait::LONG,
};
use serde_json::{Value, json};

/// The pods of the release `cache` in the namespace `mesh`.
const POD: &str = "cache-meshcache-0";

fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| artifact::file(&format!(".tools/{name}")), PathBuf::from);
    if !path.exists() {
        eprintln!("there is no {name} here: scripts/setup prometheus");
        return None;
    }
    Some(path)
}

fn objects() -> Vec<Value> {
    chart::objects("monitoring: {prometheusRule: {enabled: true, expectedProxies: 4}, dashboard: {enabled: true}}\n")
        .unwrap()
}

/// The alerts as a file of rules.
fn rules(folder: &Path) -> Value {
    let rule = objects().into_iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    std::fs::write(folder.join("rules.yaml"), rule["spec"].to_string()).unwrap();
    rule["spec"]["groups"][0]["rules"].clone()
}

/// A series of a pod, with its values for an hour, four a minute: `0x240` stays, `0+1x240` grows by one each time.
fn series(metric: &str, labels: &str, values: &str) -> Value {
    let labels = if labels.is_empty() { String::new() } else { format!(",{labels}") };
    json!({"series": format!("{metric}{{namespace=\"mesh\",pod=\"{POD}\"{labels}}}"), "values": values})
}

/// What all is well with.
fn healthy() -> Vec<Value> {
    let up = (0..3)
        .map(|n| json!({"series": format!("up{{namespace=\"mesh\",pod=\"cache-meshcache-{n}\"}}"), "values": "1x240"}));
    up.chain([
        series("meshcache_proxies", "filter_version=\"0.1.0\"", "4x240"),
        series("meshcache_config_last_reload_successful", "", "1x240"),
        series("meshcache_ring_info", "version=\"a\"", "1x240"),
        series("meshcache_config_info", "digest=\"a\"", "1x240"),
        series("meshcache_ring_age_seconds", "", "0x240"),
        series("meshcache_purge_lease_held", "", "1x240"),
        series("meshcache_requests_total", "group=\"g\",outcome=\"hit\",reason=\"\"", "0+9x240"),
        series("meshcache_requests_total", "group=\"g\",outcome=\"pass\",reason=\"overload\"", "5x240"),
        series("meshcache_loads_waiting", "group=\"g\"", "0 1 0 0 2 0x240"),
        // One failure in a while, as when an origin is deployed anew.
        series("meshcache_origin_failures_total", "group=\"g\",reason=\"connect\"", "0x60 3x180"),
        series("meshcache_origin_tokens_total", "group=\"g\",outcome=\"granted\"", "0+1x240"),
        series("meshcache_origin_tokens_total", "group=\"g\",outcome=\"denied\"", "0+1x240"),
        series("meshcache_certificate_due", "certificate=\"tls\"", "0x240"),
        series("meshcache_observe_mismatch_total", "group=\"g\"", "7x240"),
        series("process_resident_memory_bytes", "", "500x240"),
        series("kube_pod_container_resource_limits", "container=\"coordinator\",resource=\"memory\"", "1000x240"),
        series("meshcache_proxy_panics_total", "", "2x240"),
    ])
    .collect()
}

/// For each alert the series that make it fire, in place of those of the same name.
fn broken() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("MeshcacheCoordinatorsMissing", vec![series("up", "", "1x20 0x220")]),
        ("MeshcacheReloadFailed", vec![series("meshcache_config_last_reload_successful", "", "0x240")]),
        (
            "MeshcacheRingsDisagree",
            vec![
                series("meshcache_ring_info", "version=\"a\"", "1x240"),
                series("meshcache_ring_info", "version=\"b\"", "1x240"),
            ],
        ),
        (
            "MeshcacheConfigurationsDisagree",
            vec![
                series("meshcache_config_info", "digest=\"a\"", "1x240"),
                series("meshcache_config_info", "digest=\"b\"", "1x240"),
            ],
        ),
        ("MeshcacheRingOld", vec![series("meshcache_ring_age_seconds", "", "0+15x240")]),
        ("MeshcacheOverload", vec![series("meshcache_loads_waiting", "group=\"g\"", "3x240")]),
        (
            "MeshcacheOriginFails",
            vec![series("meshcache_origin_failures_total", "group=\"g\",reason=\"timeout\"", "0+3x240")],
        ),
        (
            "MeshcacheOriginTokenFails",
            vec![series("meshcache_origin_tokens_total", "group=\"g\",outcome=\"denied\"", "0+1x240")],
        ),
        ("MeshcacheCertificateDue", vec![series("meshcache_certificate_due", "certificate=\"peer\"", "1x240")]),
        ("MeshcacheObserveMismatch", vec![series("meshcache_observe_mismatch_total", "group=\"g\"", "0x100 1x140")]),
        ("MeshcachePurgeLeaseLost", vec![series("meshcache_purge_lease_held", "", "0x240")]),
        ("MeshcacheMemory", vec![series("process_resident_memory_bytes", "", "950x240")]),
        ("MeshcacheFilterPanics", vec![series("meshcache_proxy_panics_total", "", "0x140 1x100")]),
        ("MeshcacheProxiesMissing", vec![series("meshcache_proxies", "filter_version=\"0.1.0\"", "3x240")]),
    ]
}

fn name(series: &Value) -> &str {
    series["series"].as_str().unwrap().split('{').next().unwrap()
}

#[test]
fn each_alert_fires_where_it_should_and_no_other_with_it() {
    let Some(promtool) = program("PROMTOOL_BIN", "promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(folder.path());
    let alerts: Vec<&str> = rules.as_array().unwrap().iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    let broken = broken();
    assert_eq!(broken.iter().map(|(alert, _)| *alert).collect::<Vec<_>>(), alerts, "each alert has a case");
    let firing = |alert: Option<&str>, instead: &[Value]| {
        let mut all = healthy();
        all.retain(|one| instead.iter().all(|other| name(one) != name(other) || name(one) == "up"));
        all.retain(|one| instead.iter().all(|other| one["series"] != other["series"]));
        all.extend_from_slice(instead);
        let expected: Vec<Value> = alert
            .map(|alert| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1}))
            .into_iter()
            .collect();
        json!({"name": alert.unwrap_or("all is well"), "interval": "15s", "input_series": all, "promql_expr_test":
            [{"expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})", "eval_time": "40m", "exp_samples": expected}]})
    };
    let cases: Vec<Value> = std::iter::once(firing(None, &[]))
        .chain(broken.iter().map(|(alert, series)| firing(Some(alert), series)))
        .collect();
    let file = folder.path().join("cases.yaml");
    let content = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": cases});
    std::fs::File::create(&file).unwrap().write_all(content.to_string().as_bytes()).unwrap();
    let output = Command::new(promtool).args(["test", "rules"]).arg(&file).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A Prometheus that scrapes coordinators as a ServiceMonitor would have it.
struct Prometheus {
    at: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    async fn start(program: PathBuf, coordinators: &Coordinators) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let targets: Vec<Value> = (coordinators.all.iter().enumerate())
            .map(|(n, one)| json!({"targets": [one.ports.status.to_string()], "labels": {"namespace": "mesh", "pod": format!("cache-meshcache-{n}")}}))
            .collect();
        let _ = rules(folder.path());
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "meshcache", "static_configs": targets}],
        });
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let at = port::unused();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={at}"));
        let process = Process::start("prometheus", command, &folder.path().join("log"));
        Prometheus { at, _process: process, _folder: folder }
    }

    /// What the API says, if it answers.
    async fn get(&self, path: &str) -> Option<Value> {
        let answer = Ask::get(&self.at.to_string(), path).send(self.at).await.ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Asks until there is an answer that is not empty.
    async fn wait(&self, what: &str, path: &str) -> Value {
        let seen = std::sync::Mutex::new(Value::Null);
        let there = async || {
            let Some(answer) = self.get(path).await else { return false };
            assert!(answer["status"] != "error", "{what}: {answer}");
            let found = &answer["data"];
            let is = found["result"].as_array().or(found.as_array()).is_some_and(|list| !list.is_empty());
            *seen.lock().unwrap() = answer;
            is
        };
        await_until(there, LONG, what).await;
        seen.into_inner().unwrap()
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What there is only with TLS, with tokens of origins, or under overload.
const NOT_HERE: [&str; 3] = ["meshcache_certificate", "meshcache_origin_token", "overload|full"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_finds_series_of_real_coordinators() {
    let Some(program) = self::program("PROMETHEUS_BIN", "prometheus") else { return };
    let mesh = Mesh::of(2, 1).start_cold().await;
    mesh.origin.always("/a", Reply::fresh(60, "a"));
    mesh.origin.always("/private", Reply::ok("p").header("cache-control", "private"));
    let prometheus = Prometheus::start(program, &mesh.coordinators).await;
    let ask = async |path: &str| {
        for at in mesh.coordinators.data().into_iter().chain(mesh.fronts()) {
            Ask::get(SHOP, path).send(at).await.unwrap();
        }
    };
    let dashboard = objects().iter().find_map(|object| Some(object["data"]["meshcache.json"].as_str()?.to_owned()));
    let dashboard: Value = serde_json::from_str(&dashboard.unwrap()).unwrap();
    let told = |text: &str| {
        let text = text.replace("$namespace", "mesh").replace("$release", "cache-meshcache").replace("$group", ".*");
        text.replace("$__rate_interval", "1m").replace("$__range", "1m")
    };
    // The first scrape sees nothing, so that what comes later is an increase.
    prometheus
        .wait("coordinators are scraped", &format!("/api/v1/query?query={}", encoded("meshcache_build_info")))
        .await;
    for path in ["/a", "/a", "/private", "/missing"] {
        ask(path).await;
    }
    mesh.wait_cached().await;
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"].as_str().and_then(|query| query.strip_prefix("label_values(")) else {
            continue;
        };
        let (series, label) = query.trim_end_matches(')').rsplit_once(", ").unwrap();
        prometheus.wait(query, &format!("/api/v1/label/{label}/values?match[]={}", encoded(&told(series)))).await;
    }
    let mut tried = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = told(target["expr"].as_str().unwrap());
            let path = format!("/api/v1/query?query={}", encoded(&query));
            if NOT_HERE.iter().any(|metric| query.contains(metric)) {
                let answer = prometheus.get(&path).await.unwrap();
                assert_eq!(answer["status"], "success", "{query}: {answer}");
            } else {
                prometheus.wait(&query, &path).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
    let saved =
        "1 - sum(increase(meshcache_service_requests_total[1m])) / sum(increase(meshcache_client_requests_total[1m]))";
    let saved = prometheus.wait("saved", &format!("/api/v1/query?query={}", encoded(saved))).await;
    let saved: f64 = saved["data"]["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!(saved > 0.0 && saved < 1.0, "{saved}");
    // And Prometheus accepts the rules.
    let well = async || {
        let Some(answer) = prometheus.get("/api/v1/rules").await else { return false };
        let rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
    };
    await_until(well, LONG, "Prometheus has evaluated the rules").await;
}
