//! Discovery with a real API server: coordinators are real processes at the addresses that the EndpointSlices name.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use meshcache_tests::kube::{self, Cluster};
use meshcache_tests::process::{Process, Signal};
use meshcache_tests::{Ask, Metrics, Origin, Reply, artifact, await_until, chart, client, wait::SOON};
use serde_json::{Value, json};

/// Every ring agrees after so long.
const AGREED: Duration = Duration::from_secs(2);
const SERVICE: &str = "cache-meshcache";

/// A coordinator at the address of its Pod.
struct Member {
    name: String,
    address: IpAddr,
    process: Process,
}

impl Member {
    async fn metrics(&self) -> Option<Metrics> {
        let page = client::get(SocketAddr::new(self.address, 8082), "/metrics").await.ok()?;
        Some(Metrics::parse(&page.text()))
    }

    async fn readiness(&self) -> (u16, String) {
        match client::get(SocketAddr::new(self.address, 8082), "/readyz").await {
            Ok(answer) => (answer.status, answer.text().trim().to_owned()),
            Err(_) => (0, String::new()),
        }
    }

    /// How many peers there are in its ring, and which ring it is.
    async fn ring(&self) -> Option<(f64, String)> {
        let metrics = self.metrics().await?;
        let version = metrics.0.iter().find(|(series, value)| series.starts_with("meshcache_ring_info{") && **value == 1.0).map(|(series, _)| series.clone());
        Some((metrics.get("kubegroup_peers", &[]), version.unwrap_or_default()))
    }
}

/// Coordinators that find each other in one namespace, and what they cache.
struct Ring {
    cluster: Cluster,
    /// The kubeconfig of the coordinators' own account.
    config: PathBuf,
    origin: Origin,
    network: u8,
    members: Vec<Member>,
}

impl Ring {
    /// `network`: the third part of the Pods' addresses; each test has its own.
    async fn start(network: u8, members: usize) -> Ring {
        let cluster = Cluster::namespace("discovery", &[]);
        let objects = chart::objects_in(&cluster.namespace, "auth: {existingSecret: none}").unwrap();
        let kinds = ["ServiceAccount", "Role", "RoleBinding", "Service"];
        let wanted: Vec<&Value> = objects.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).collect();
        cluster.apply(&wanted, &[]).unwrap();
        let origin = Origin::start().await;
        origin.always("/answer", Reply::ok("answer").header("cache-control", "max-age=60"));
        let config = cluster.config_of(SERVICE);
        let mut ring = Ring { cluster, config, origin, network, members: Vec::new() };
        for _ in 0..members {
            ring.join().await;
        }
        ring
    }

    /// One more coordinator; its Pod is not ready yet.
    async fn launch(&self, n: usize) -> Member {
        let (name, folder) = (format!("{SERVICE}-{n}"), self.cluster.folder());
        let address: IpAddr = format!("{}.{}.{}", kube::network().unwrap(), self.network, n + 1).parse().unwrap();
        let groups = json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["service.test"]}, "origin": {"url": self.origin.url()}}]});
        std::fs::write(folder.join("groups.yaml"), groups.to_string()).unwrap();
        std::fs::write(folder.join("token"), "token-of-the-peers\n").unwrap();
        let mut command = Command::new(artifact::coordinator());
        command.env("KUBECONFIG", &self.config).args(["--name", &name, "--log-level", "debug"]);
        for (flag, port) in [("--listen", 8080), ("--admin", 8081), ("--status", 8082), ("--peer-listen", 8083)] {
            command.args([flag, &SocketAddr::new(address, port).to_string()]);
        }
        command.args(["--discovery", "kube", "--discovery-service", &format!("{}/{SERVICE}", self.cluster.namespace)]);
        command.arg("--config").arg(folder.join("groups.yaml"));
        std::fs::write(folder.join("filter.wasm"), "a module").unwrap();
        command.arg("--filter").arg(folder.join("filter.wasm"));
        for flag in ["--peer-token-file", "--admin-token-file"] {
            command.arg(flag).arg(folder.join("token"));
        }
        let process = Process::start(&name, command, &folder.join(format!("{name}.log")));
        Member { name, address, process }
    }

    async fn join(&mut self) {
        let member = self.launch(self.members.len()).await;
        let labels = json!({"app.kubernetes.io/name": "meshcache", "app.kubernetes.io/instance": "cache", "app.kubernetes.io/component": "coordinator"});
        self.cluster.pod(&member.name, &labels, member.address);
        await_until(async || member.readiness().await.0 == 200, SOON, "a coordinator is ready").await;
        self.cluster.ready(&member.name, member.address, true);
        self.members.push(member);
    }

    /// All of the living agree on a ring of so many.
    async fn agree(&self, on: f64, within: Duration, what: &str) {
        let agreed = async || {
            let mut rings = Vec::new();
            for member in &self.members {
                rings.push(member.ring().await);
            }
            rings.iter().all(|ring| ring.as_ref().is_some_and(|(peers, _)| *peers == on) && *ring == rings[0])
        };
        await_until(agreed, within, &format!("all rings have {on} peers: {what}")).await;
    }
}

/// A client that asks the first coordinator again and again.
struct Client {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

impl Client {
    fn start(at: IpAddr) -> Client {
        let client = Client { stop: Arc::default(), failed: Arc::default(), answered: Arc::default() };
        let (stop, failed, answered) = (client.stop.clone(), client.failed.clone(), client.answered.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match Ask::get("service.test", "/answer").send(SocketAddr::new(at, 8080)).await {
                    Ok(answer) if answer.text() == "answer" => answered.fetch_add(1, Ordering::Relaxed),
                    _ => failed.fetch_add(1, Ordering::Relaxed),
                };
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        client
    }

    fn expect_no_failure(&self) {
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.failed.load(Ordering::Relaxed), 0);
        assert!(self.answered.load(Ordering::Relaxed) > 10);
    }
}

fn can_run() -> bool {
    if kube::network().is_none() {
        eprintln!("left out: the addresses of this cluster's Pods are not this machine's");
    }
    kube::network().is_some()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn every_ring_follows_who_is_ready_within_two_seconds_and_requests_go_on() {
    if !can_run() {
        return;
    }
    let mut ring = Ring::start(1, 3).await;
    ring.agree(3.0, SOON, "at the start").await;
    let client = Client::start(ring.members[0].address);

    let other = (ring.members[2].name.clone(), ring.members[2].address);
    ring.cluster.ready(&other.0, other.1, false);
    ring.agree(2.0, AGREED, "one is not ready").await;
    ring.cluster.ready(&other.0, other.1, true);
    ring.agree(3.0, AGREED, "it is ready again").await;

    ring.join().await;
    ring.agree(4.0, AGREED, "one was added").await;

    // As at the end of a Pod: it terminates and serves, so it leaves the ring at once; then it is gone.
    let last = ring.members.last().unwrap().name.clone();
    ring.cluster.kubectl(&["delete", "pod", &last, "--grace-period=30", "--wait=false"]);
    ring.agree(3.0, AGREED, "one terminates").await;
    ring.members.last().unwrap().process.signal(Signal::TERM);
    ring.cluster.remove(&last);
    ring.members.pop();
    ring.agree(3.0, AGREED, "one was taken away").await;

    client.expect_no_failure();
    assert!(ring.members[0].metrics().await.unwrap().get("kubegroup_events", &[]) > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn an_api_server_that_goes_away_leaves_the_ring_and_is_followed_when_it_is_back() {
    if !can_run() {
        return;
    }
    let ring = Ring::start(2, 3).await;
    ring.agree(3.0, SOON, "at the start").await;
    let client = Client::start(ring.members[0].address);
    kube::api_server(false);
    let aged = async || {
        let mut all = true;
        for member in &ring.members {
            all &= member.metrics().await.is_some_and(|metrics| metrics.get("meshcache_ring_age_seconds", &[]) >= 1.0);
        }
        all
    };
    await_until(aged, SOON, "the ring's age grows").await;
    ring.agree(3.0, AGREED, "the API server is away").await;
    let (status, line) = ring.members[0].readiness().await;
    assert!(status == 200 && line.starts_with("ready, with a ring that is "), "{status} {line}");

    // One that starts without an API server says what it waits for, and is not ready.
    let late = ring.launch(3).await;
    let said = async || late.readiness().await.0 == 503 && late.readiness().await.1.contains(": cannot list endpointslices.discovery.k8s.io: ");
    await_until(said, SOON, "readiness says what is missing").await;

    kube::api_server(true);
    let answers = async || ring.cluster.try_kubectl(&["get", "--raw", "/readyz"], "").is_ok();
    await_until(answers, SOON * 3, "the API server is back").await;
    ring.cluster.ready(&ring.members[2].name, ring.members[2].address, false);
    // The controller that writes the slices comes back in its own time.
    let written = async || {
        ring.cluster
            .kubectl(&["get", "endpointslices", "--output=json", "--selector", &format!("kubernetes.io/service-name={SERVICE}")])
            .matches("\"ready\": true")
            .count()
            == 2
    };
    await_until(written, SOON * 3, "the slice says who is ready").await;
    ring.agree(2.0, AGREED, "a change after the API server is back").await;
    let young = async || ring.members[0].metrics().await.is_some_and(|metrics| metrics.get("meshcache_ring_age_seconds", &[]) == 0.0);
    await_until(young, SOON, "the ring is confirmed").await;
    await_until(async || late.readiness().await.0 == 200, SOON, "the late one is ready").await;
    client.expect_no_failure();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn rights_that_are_missing_are_named_and_readiness_says_so() {
    if !can_run() {
        return;
    }
    let mut ring = Ring::start(3, 2).await;
    ring.agree(2.0, SOON, "at the start").await;
    let binding = ring.cluster.kubectl(&["get", "rolebinding", SERVICE, "--output=json"]);
    ring.cluster.kubectl(&["delete", "rolebinding", SERVICE]);

    let late = ring.launch(2).await;
    let said = async || late.readiness().await.0 == 503 && late.readiness().await.1.contains("no right to list endpointslices.discovery.k8s.io");
    await_until(said, SOON, "readiness names verb and resource").await;
    assert!(late.process.log().contains("no right to list endpointslices.discovery.k8s.io"), "{}", late.process.log());
    // Those that know a ring keep it, and are ready.
    ring.agree(2.0, AGREED, "rights were withdrawn").await;
    assert_eq!(ring.members[0].readiness().await.0, 200);

    let mut binding: Value = serde_json::from_str(&binding).unwrap();
    binding["metadata"] = json!({"name": SERVICE});
    ring.cluster.apply(&[&binding], &[]).unwrap();
    await_until(async || late.readiness().await.0 == 200, SOON, "it is ready with its rights").await;
    ring.members.push(late);
    ring.agree(2.0, SOON, "the late one knows the ring").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn the_filter_is_attached_when_every_coordinator_serves_it_and_taken_off_again() {
    if !can_run() {
        return;
    }
    let ring = Ring::start(4, 2).await;
    ring.cluster.istio_kinds();
    let platform = Cluster::namespace("platform", &[]);
    let values = format!(
        "auth: {{existingSecret: none}}\ngroups: [{{name: g, match: {{service: s.n}}, origin: {{url: \"http://s.n\"}}}}]\nistio: {{enabled: true, rootNamespace: {at}, attach: [{{name: g, namespace: {at}, selector: {{app: s}}, groups: [g]}}]}}",
        at = platform.namespace
    );
    let objects = chart::objects_in(&ring.cluster.namespace, &values).unwrap();
    for object in &objects {
        // What Istio's own schema says of each object, the hooks' Jobs included.
        let cluster = if object["metadata"]["namespace"] == platform.namespace { &platform } else { &ring.cluster };
        let hook = object["metadata"]["annotations"]["helm.sh/hook"].is_string() || object["kind"] == "StatefulSet";
        let said = cluster.apply(&[object], if hook { &["--dry-run=server"] } else { &["--force-conflicts"] });
        assert!(said.is_ok(), "{}\n{object:#}", said.unwrap_err());
    }
    let plugins = objects.iter().find_map(|object| object["data"]["plugins.json"].as_str()).unwrap();
    let folder = ring.cluster.folder();
    std::fs::write(folder.join("plugins.json"), plugins).unwrap();
    std::fs::write(folder.join("other.wasm"), "another module").unwrap();
    let account = ring.cluster.config_of(&format!("{SERVICE}-attach"));
    let file = format!("--file={}", folder.join("plugins.json").display());
    let service = format!("--service={}/{SERVICE}", ring.cluster.namespace);
    let filter = |name: &str| format!("--filter={}", folder.join(name).display());
    let hook = |arguments: &[&str]| {
        let output = Command::new(artifact::coordinator()).args(arguments).env("KUBECONFIG", &account).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let there = || platform.kubectl(&["get", "wasmplugins", "--output=jsonpath={.items[*].spec.url}"]);

    ring.agree(2.0, SOON, "at the start").await;
    // The coordinators serve another module, as in the middle of an upgrade.
    let (done, said) = hook(&["attach", &file, &service, &filter("other.wasm"), "--timeout=1s"]);
    assert!(!done && said.contains("the filter was not attached: ") && said.contains("404"), "{said}");
    assert_eq!(there(), "");

    let (done, said) = hook(&["attach", &file, &service, &filter("filter.wasm"), "--timeout=30s"]);
    assert!(done, "{said}");
    assert!(there().contains(":8082/filter/") && !there().contains("SHA256"), "{}", there());

    let keep = format!("--keep={}/g", platform.namespace);
    assert_eq!(hook(&["detach", &file, &keep]), (true, "nothing detached\n".into()));
    assert!(!there().is_empty());
    assert_eq!(hook(&["detach", &file]), (true, format!("detached: {}/g\n", platform.namespace)));
    assert_eq!(there(), "");
    assert_eq!(hook(&["detach", &file]), (true, "nothing detached\n".into()));
}
