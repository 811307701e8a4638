//! Discovery with a real API server: coordinators are real processes at the addresses that the EndpointSlices name.
//!
//! Long: all scenarios share one harness of Pods and one control plane.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use meshcache_tests::{
    Ask, Metrics, Origin, Reply, artifact, await_until, chart, client,
    kube::{self, Cluster},
    process::{Process, Signal},
    wait::LONG,
};
use serde_json::{Value, json};

/// Every ring agrees after so long, on a machine that has nothing else to do.
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
        let version = metrics
            .0
            .iter()
            .find(|(series, value)| series.starts_with("meshcache_ring_info{") && **value == 1.0)
            .map(|(series, _)| series.clone());
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
        let wanted: Vec<&Value> =
            objects.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).collect();
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

    fn address(&self, last: usize) -> IpAddr {
        format!("{}.{}.{last}", kube::network().unwrap(), self.network).parse().unwrap()
    }

    /// One more coordinator; its Pod is not ready yet.
    fn launch(&self, n: usize) -> Member {
        self.launch_at(n, self.address(n + 1))
    }

    fn launch_at(&self, n: usize, address: IpAddr) -> Member {
        let (name, folder) = (format!("{SERVICE}-{n}"), self.cluster.folder());
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
        let member = self.launch(self.members.len());
        let labels = json!({"app.kubernetes.io/name": "meshcache", "app.kubernetes.io/instance": "cache", "app.kubernetes.io/component": "coordinator"});
        self.cluster.pod(&member.name, &labels, member.address);
        await_until(async || member.readiness().await.0 == 200, LONG, "a coordinator is ready").await;
        self.cluster.ready(&member.name, member.address, true);
        self.members.push(member);
    }

    /// All of the living agree on a ring of so many; how long that took.
    async fn agree(&self, on: f64, what: &str) -> Duration {
        let began = Instant::now();
        let agreed = async || {
            let mut rings = Vec::new();
            for member in &self.members {
                rings.push(member.ring().await);
            }
            rings.iter().all(|ring| ring.as_ref().is_some_and(|(peers, _)| *peers == on) && *ring == rings[0])
        };
        if tokio::time::timeout(LONG, await_until(agreed, LONG * 2, what)).await.is_err() {
            let mut rings = Vec::new();
            for member in &self.members {
                rings.push((member.ring().await, member.readiness().await));
            }
            let slices = self.cluster.kubectl(&["get", "endpointslices", "--output=yaml"]);
            panic!("not all rings have {on} peers: {what}\n{rings:#?}\n{}\n{slices}", self.peers().await);
        }
        began.elapsed()
    }

    /// Asks the first coordinator for keys of all owners; another number means other keys.
    async fn ask_many(&self, number: usize) {
        for n in 0..40 {
            let ask = Ask::get("service.test", &format!("/many/{number}/{n}"));
            assert_eq!(ask.send(SocketAddr::new(self.members[0].address, 8080)).await.unwrap().text(), "answer");
        }
    }

    /// A number, summed over all.
    async fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut all = 0.0;
        for member in &self.members {
            all += member.metrics().await.map_or(0.0, |metrics| metrics.sum(name, labels));
        }
        all
    }

    /// What the first coordinator says of each peer.
    async fn peers(&self) -> String {
        let ask = Ask::get("admin", "/peers").header("authorization", "Bearer token-of-the-peers");
        ask.send(SocketAddr::new(self.members[0].address, 8081)).await.unwrap().text()
    }

    /// A slice of the Service that somebody else than Kubernetes' own controller writes.
    fn slice(&self, name: &str, family: &str, ports: &[&str], endpoints: Vec<Value>) -> Value {
        let labels = json!({"kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "test", "test": "by-hand"});
        let number = |name: &str| match name {
            "http2" => 8080,
            "http-status" => 8082,
            _ => 8083,
        };
        let ports: Vec<Value> =
            ports.iter().map(|name| json!({"name": name, "port": number(name), "protocol": "TCP"})).collect();
        let metadata = json!({"name": name, "namespace": self.cluster.namespace, "labels": labels});
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": family, "ports": ports, "endpoints": endpoints})
    }

    /// How many problems of a kind the first coordinator has.
    async fn problems(&self, kind: &str) -> f64 {
        self.members[0]
            .metrics()
            .await
            .map_or(-1.0, |metrics| metrics.get("meshcache_discovery_problems", &[("problem", kind)]))
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn every_ring_follows_who_is_ready_within_two_seconds_and_requests_go_on() {
    if !kube::can_run() {
        return;
    }
    let mut ring = Ring::start(1, 3).await;
    ring.agree(3.0, "at the start").await;
    let client = Client::start(ring.members[0].address);

    // On a busy machine the API server and its controllers take longer than the coordinators: the fastest of some
    // rounds counts.
    let mut slow = BTreeSet::from(["not ready", "ready again", "added", "terminates", "gone"]);
    let mut took = Vec::new();
    ring.origin.on("*", |_| Reply::fresh(600, "answer"));
    for round in 0..5 {
        let other = (ring.members[2].name.clone(), ring.members[2].address);
        ring.cluster.ready(&other.0, other.1, false);
        took.push(("not ready", ring.agree(2.0, "one is not ready").await));
        ring.cluster.ready(&other.0, other.1, true);
        took.push(("ready again", ring.agree(3.0, "it is ready again").await));

        ring.join().await;
        took.push(("added", ring.agree(4.0, "one was added").await));
        ring.ask_many(round).await;
        let found = ring.sum("meshcache_peeks_total", &[("outcome", "found")]).await;

        // As at the end of a Pod: it terminates and serves, so it leaves the ring at once; then it is gone.
        let last = ring.members.last().unwrap().name.clone();
        ring.cluster.kubectl(&["delete", "pod", &last, "--grace-period=30", "--wait=false"]);
        took.push(("terminates", ring.agree(3.0, "one terminates").await));
        // Its keys have other owners now, who ask it for what it has.
        ring.ask_many(round).await;
        assert!(
            ring.sum("meshcache_peeks_total", &[("outcome", "found")]).await > found,
            "who terminates is not asked for what it has"
        );
        ring.members.last().unwrap().process.signal(Signal::TERM);
        ring.cluster.remove(&last);
        ring.members.pop();
        took.push(("gone", ring.agree(3.0, "one was taken away").await));

        took.iter().filter(|(_, took)| *took <= AGREED).for_each(|(what, _)| {
            slow.remove(what);
        });
        if slow.is_empty() {
            break;
        }
    }
    assert!(slow.is_empty(), "later than {AGREED:?}: {slow:?}; all: {took:?}");

    client.expect_no_failure();
    assert!(ring.members[0].metrics().await.unwrap().get("kubegroup_events", &[]) > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn an_api_server_that_goes_away_leaves_the_ring_and_is_followed_when_it_is_back() {
    if !kube::can_run() {
        return;
    }
    let ring = Ring::start(2, 3).await;
    ring.agree(3.0, "at the start").await;
    let client = Client::start(ring.members[0].address);
    kube::api_server(false);
    let aged = async || {
        let mut all = true;
        for member in &ring.members {
            all &= member.metrics().await.is_some_and(|metrics| metrics.get("meshcache_ring_age_seconds", &[]) >= 1.0);
        }
        all
    };
    await_until(aged, LONG, "the ring's age grows").await;
    ring.agree(3.0, "the API server is away").await;
    let (status, line) = ring.members[0].readiness().await;
    assert!(status == 200 && line.starts_with("ready, with a ring that is "), "{status} {line}");

    // One that starts without an API server says what it waits for, and is not ready.
    let late = ring.launch(3);
    let said = async || {
        late.readiness().await.0 == 503
            && late.readiness().await.1.contains(": cannot list endpointslices.discovery.k8s.io: ")
    };
    await_until(said, LONG, "readiness says what is missing").await;

    kube::api_server(true);
    let answers = async || ring.cluster.try_kubectl(&["get", "--raw", "/readyz"], "").is_ok();
    await_until(answers, LONG, "the API server is back").await;
    ring.cluster.ready(&ring.members[2].name, ring.members[2].address, false);
    // The controller that writes the slices comes back in its own time.
    let written = async || {
        ring.cluster
            .kubectl(&[
                "get",
                "endpointslices",
                "--output=json",
                "--selector",
                &format!("kubernetes.io/service-name={SERVICE}"),
            ])
            .matches("\"ready\": true")
            .count()
            == 2
    };
    await_until(written, LONG, "the slice says who is ready").await;
    ring.agree(2.0, "a change after the API server is back").await;
    let young = async || {
        ring.members[0].metrics().await.is_some_and(|metrics| metrics.get("meshcache_ring_age_seconds", &[]) == 0.0)
    };
    await_until(young, LONG, "the ring is confirmed").await;
    await_until(async || late.readiness().await.0 == 200, LONG, "the late one is ready").await;
    client.expect_no_failure();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn rights_that_are_missing_are_named_and_readiness_says_so() {
    if !kube::can_run() {
        return;
    }
    let mut ring = Ring::start(3, 2).await;
    ring.agree(2.0, "at the start").await;
    let binding = ring.cluster.kubectl(&["get", "rolebinding", SERVICE, "--output=json"]);
    ring.cluster.kubectl(&["delete", "rolebinding", SERVICE]);

    let late = ring.launch(2);
    let said = async || {
        late.readiness().await.0 == 503
            && late.readiness().await.1.contains("no right to list endpointslices.discovery.k8s.io")
    };
    await_until(said, LONG, "readiness names verb and resource").await;
    assert!(late.process.log().contains("no right to list endpointslices.discovery.k8s.io"), "{}", late.process.log());
    // Those that know a ring keep it, and are ready; when their watch ends they say what is missing.
    let told = async || {
        let (status, line) = ring.members[0].readiness().await;
        assert_eq!(status, 200, "{line}");
        line.starts_with("ready, with a ring that is ")
            && line.contains(" no right to list endpointslices.discovery.k8s.io ")
    };
    await_until(told, LONG, "who has a ring names verb and resource, too").await;
    let line = "no right to list endpointslices.discovery.k8s.io (a Role with the verbs list and watch gives it)";
    assert!(ring.members[0].process.log().contains(line), "{}", ring.members[0].process.log_tail(30));
    ring.agree(2.0, "rights were withdrawn").await;

    let mut binding: Value = serde_json::from_str(&binding).unwrap();
    binding["metadata"] = json!({"name": SERVICE});
    ring.cluster.apply(&[&binding], &[]).unwrap();
    await_until(async || late.readiness().await.0 == 200, LONG, "it is ready with its rights").await;
    ring.members.push(late);
    ring.agree(2.0, "the late one knows the ring").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn bad_endpoints_are_named_and_counted_a_thousand_are_taken_and_the_rest_is_the_ring() {
    if !kube::can_run() {
        return;
    }
    const PORTS: [&str; 3] = ["http2", "http-status", "tcp-peer"];
    let ring = Ring::start(5, 2).await;
    ring.agree(2.0, "at the start").await;
    let client = Client::start(ring.members[0].address);
    let pod = |name: &str, address: &str| json!({"addresses": [address], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": name}});

    // What the API itself refuses can never reach a coordinator.
    for (addresses, why) in
        [(json!([]), "addresses"), (json!(["cache.example"]), "addresses"), (json!(["127.0.0.1"]), "addresses")]
    {
        let endpoint = json!({"addresses": addresses, "targetRef": {"kind": "Pod", "name": "bare"}});
        let refused = ring.cluster.apply(&[&ring.slice("refused", "IPv4", &PORTS, vec![endpoint])], &[]).unwrap_err();
        assert!(refused.contains("invalid") && refused.contains(why), "{refused}");
    }

    let nobody = json!({"addresses": ["10.244.99.1"], "conditions": {"ready": true}});
    let node = json!({"addresses": ["10.244.99.2"], "targetRef": {"kind": "Node", "name": "node"}});
    let bad = [
        ring.slice("nobodys", "IPv4", &PORTS, vec![nobody.clone(), node]),
        ring.slice("portless", "IPv4", &PORTS[..2], vec![pod("portless", "10.244.99.3")]),
    ];
    ring.cluster.apply(&[&bad[0], &bad[1]], &[]).unwrap();
    let warned = ring
        .cluster
        .apply(&[&ring.slice("named", "FQDN", &PORTS, vec![pod("named", "cache.example")])], &[])
        .unwrap_err();
    assert!(warned.contains("FQDN endpoints are deprecated"), "{warned}");
    let counted = async || {
        (ring.problems("no-target").await, ring.problems("no-port").await, ring.problems("bad-address").await)
            == (2.0, 1.0, 1.0)
    };
    await_until(counted, LONG, "each problem is counted").await;
    for line in [
        "EndpointSlice nobodys: endpoint 10.244.99.1 names no Pod and is left out",
        "EndpointSlice nobodys: endpoint 10.244.99.2 names no Pod and is left out",
        "EndpointSlice portless has no TCP port named tcp-peer: its endpoints are left out",
        "EndpointSlice named: `cache.example` is no IP address and is left out",
    ] {
        let said = async || ring.members[0].process.log().contains(line);
        await_until(said, LONG, line).await;
    }
    ring.agree(2.0, "bad endpoints").await;

    // A thousand in ten slices, one in each without a Pod.
    let many: Vec<Value> = (0..10)
        .map(|s| {
            let one = |e| {
                if e == 50 { nobody.clone() } else { pod(&format!("pod-{s}-{e}"), &format!("10.244.{}.{e}", 100 + s)) }
            };
            ring.slice(&format!("many-{s}"), "IPv4", &PORTS, (0..100).map(one).collect())
        })
        .collect();
    ring.cluster.apply(&many.iter().collect::<Vec<_>>(), &[]).unwrap();
    ring.agree(992.0, "a thousand endpoints").await;
    assert_eq!(ring.problems("no-target").await, 12.0);

    ring.cluster.kubectl(&["delete", "endpointslices", "--selector=test=by-hand"]);
    ring.agree(2.0, "the bad are gone").await;
    assert_eq!((ring.problems("no-target").await, ring.problems("no-port").await), (0.0, 0.0));
    client.expect_no_failure();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn a_pod_may_have_two_families_and_may_come_back_at_another_address() {
    if !kube::can_run() {
        return;
    }
    let mut ring = Ring::start(6, 2).await;
    ring.agree(2.0, "at the start").await;
    let client = Client::start(ring.members[0].address);

    // The same name at another address, as a Pod of a StatefulSet comes back.
    let before = ring.members[1].ring().await.unwrap();
    ring.members[1].process.kill();
    let moved = ring.launch_at(1, ring.address(77));
    await_until(async || moved.readiness().await.0 == 200, LONG, "it is ready at its new address").await;
    ring.cluster.ready(&moved.name, moved.address, true);
    ring.members[1] = moved;
    let known = async || ring.members[0].ring().await.is_some_and(|ring| ring.1 != before.1);
    await_until(known, LONG, "its new address is known").await;
    ring.agree(2.0, "one has moved").await;
    assert!(ring.peers().await.contains(&format!("{}:8083", ring.address(77))), "{}", ring.peers().await);

    // Dual stack is two slices. Who is in both is asked by the sixth version: by the other this one could not be
    // reached.
    let Some(six) = kube::network6() else {
        eprintln!("left out: this machine has no IPv6");
        return client.expect_no_failure();
    };
    let both = ring.launch_at(2, six);
    await_until(async || both.readiness().await.0 == 200, LONG, "it is ready").await;
    let endpoint = |address: IpAddr| json!({"addresses": [address], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": both.name}});
    let ports = ["http2", "http-status", "tcp-peer"];
    let slices = [("four", "IPv4", ring.address(78)), ("six", "IPv6", six)]
        .map(|(name, family, at)| ring.slice(name, family, &ports, vec![endpoint(at)]));
    ring.cluster.apply(&[&slices[0], &slices[1]], &[]).unwrap();
    ring.members.push(both);
    ring.agree(3.0, "one is in two families").await;
    assert!(ring.peers().await.contains(&format!("[{six}]:8083")), "{}", ring.peers().await);
    ring.origin.on("*", |_| Reply::fresh(600, "answer"));
    let before = ring.members[0].metrics().await.unwrap();
    ring.ask_many(0).await;
    let since = ring.members[0].metrics().await.unwrap().since(&before);
    assert_eq!(since.sum("groupcache_peer_errors_total", &[]), 0.0);
    let asked = ring.members[2].metrics().await.unwrap();
    assert!(asked.sum("groupcache_server_requests_total", &[]) > 0.0, "nobody has asked it");
    client.expect_no_failure();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: make test-kube"]
async fn the_filter_is_attached_when_every_coordinator_serves_it_and_taken_off_again() {
    if !kube::can_run() {
        return;
    }
    let ring = Ring::start(4, 2).await;
    ring.cluster.istio_kinds();
    let platform = Cluster::namespace("platform", &[]);
    let values = format!(
        "auth: {{existingSecret: none}}\ngroups: [{{name: g, match: {{service: s.n}}, origin: {{url: \"http://s.n\"}}, callers: [\"*\"]}}]\nistio: {{enabled: true, rootNamespace: {at}, attach: [{{name: g, namespace: {at}, selector: {{app: s}}, groups: [g]}}]}}",
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
        let output =
            Command::new(artifact::coordinator()).args(arguments).env("KUBECONFIG", &account).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let there = || platform.kubectl(&["get", "wasmplugins", "--output=jsonpath={.items[*].spec.url}"]);

    ring.agree(2.0, "at the start").await;
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
