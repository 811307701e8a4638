//! A real mesh for a test: istiod, namespaces under STRICT mTLS, Pods with sidecars, and the coordinators that a
//! release of the chart describes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU8, Ordering},
};

use serde_json::{Value, json};

use crate::{
    Metrics, artifact, chart, client,
    helm::helm,
    kube::Cluster,
    pod::Pod,
    process::Process,
    wait::{LONG, await_some, await_until},
};

/// The name of the release's objects.
pub const CACHE: &str = "cache-meshcache";

/// The label that Istio's injector, which does not run here, gives a Pod with a sidecar: it can be called with mTLS.
const INJECTED: (&str, &str) = ("security.istio.io/tlsMode", "istio");

/// Namespaces of a mesh: one for the coordinators, one for everything else.
pub struct Mesh {
    /// Of the coordinators.
    pub cache: Cluster,
    /// Of services and clients.
    pub apps: Cluster,
    hosts: PathBuf,
    names: std::sync::Mutex<BTreeMap<String, IpAddr>>,
    next: AtomicU8,
    network: u8,
}

/// A coordinator of the release, in its Pod.
pub struct Member {
    /// Its Pod.
    pub pod: Pod,
    /// Its program.
    pub process: Process,
}

/// Whether this machine runs Pods: where `tests/kube/run` made a bridge for them.
pub fn can_run() -> bool {
    let can = std::env::var_os("KUBE_PODS").is_some();
    if !can {
        eprintln!("left out: Pods of this cluster are not this machine's");
    }
    can
}

impl Mesh {
    /// `network`: the third part of the Pods' addresses; each test has its own.
    pub fn start(network: u8) -> Mesh {
        let (cache, apps) = (Cluster::namespace("cache", &[]), Cluster::namespace("apps", &[]));
        let hosts = cache.folder().join("hosts");
        let mesh = Mesh { cache, apps, hosts, names: Default::default(), next: 1.into(), network };
        mesh.name("localhost", [127, 0, 0, 1].into());
        mesh.name("istiod.istio-system.svc", std::env::var("KUBE_ADDRESS").unwrap().parse().unwrap());
        let api = mesh.cache.kubectl(&[
            "get",
            "service",
            "kubernetes",
            "--namespace=default",
            "--output=jsonpath={.spec.clusterIP}",
        ]);
        mesh.name("kubernetes.default.svc", api.parse().unwrap());
        let strict = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "istio-system"}, "spec": {"mtls": {"mode": "STRICT"}}});
        mesh.put(&strict);
        // As a platform has them for all: traffic stays in its zone where it can, and hosts that fail are left out.
        let policy = json!({"loadBalancer": {"localityLbSetting": {"enabled": true}}, "outlierDetection": {"consecutive5xxErrors": 5}});
        mesh.put(&json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "default", "namespace": "istio-system"},
            "spec": {"host": "*.svc.cluster.local", "trafficPolicy": policy}}));
        mesh
    }

    /// Applies an object that says its own namespace.
    pub fn put(&self, object: &Value) {
        self.put_as("kubectl", object);
    }

    /// Applies it in the name of another field manager.
    pub fn put_as(&self, manager: &str, object: &Value) {
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        let mut command = chart::kubectl();
        command.args([
            "--namespace",
            namespace,
            "apply",
            "--server-side",
            "--field-manager",
            manager,
            "--validate=strict",
            "-f",
            "-",
        ]);
        let (said, error, success) = crate::kube::run(command, &object.to_string());
        assert!(success && !error.contains("Warning"), "{error}{said}\n{object:#}");
    }

    /// Resolves a name for all Pods.
    fn name(&self, name: &str, address: IpAddr) {
        let mut names = self.names.lock().unwrap();
        names.insert(name.to_owned(), address);
        let lines: Vec<String> = names.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        // In place: a replaced file would stay the old one for those that have it mounted.
        std::fs::write(&self.hosts, lines.concat()).unwrap();
    }

    /// Makes the name of a Service known to all Pods, as the cluster's DNS would; its address.
    pub fn announce(&self, cluster: &Cluster, service: &str) -> Ipv4Addr {
        let address: Ipv4Addr =
            cluster.kubectl(&["get", "service", service, "--output=jsonpath={.spec.clusterIP}"]).parse().unwrap();
        for name in ["", ".svc", ".svc.cluster.local"] {
            self.name(&format!("{service}.{}{name}", cluster.namespace), address.into());
        }
        address
    }

    fn address(&self) -> Ipv4Addr {
        let network = std::env::var("KUBE_PODS").unwrap();
        format!("{network}.{}.{}", self.network, self.next.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
    }

    /// Limits what the proxies of a namespace know to these hosts (`NAMESPACE/HOST`).
    pub fn limit_egress(&self, of: &Cluster, hosts: &[String]) {
        self.put(&json!({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
            "metadata": {"name": "default", "namespace": of.namespace}, "spec": {"egress": [{"hosts": hosts}]}}));
    }

    /// A Pod of the label and account `app`, with a sidecar, ready.
    pub async fn app(&self, app: &str, name: &str) -> Pod {
        let address = self.address();
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": app, "namespace": self.apps.namespace}});
        self.put(&account);
        self.apps.pod_of(app, name, &json!({"app": app, INJECTED.0: INJECTED.1}), address.into());
        let pod = Pod::start(&self.apps.namespace, name, address, &self.hosts).await;
        self.proxy(&pod);
        let pod = pod.with_sidecar().await;
        self.apps.ready(name, address.into(), true);
        pod
    }

    /// A Service on port 80 for the Pods with the label `app`, which listen on port 9000; where clients reach it.
    pub fn service(&self, app: &str) -> SocketAddr {
        let spec = json!({"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": 9000}]});
        self.put(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": app, "namespace": self.apps.namespace}, "spec": spec}));
        SocketAddr::new(self.announce(&self.apps, app).into(), 80)
    }

    /// Installs or upgrades the release with these values, and runs its hooks. What helm says.
    pub async fn release(&self, values: &str) -> String {
        let (file, folder) = (self.cache.folder().join("values.yaml"), chart::folder());
        std::fs::write(&file, values).unwrap();
        let said = helm(
            &self.cache,
            &["upgrade", "--install", "cache", folder.to_str().unwrap(), "--values", file.to_str().unwrap()],
        )
        .await;
        self.announce(&self.cache, CACHE);
        said
    }

    /// Does what kube-proxy does for processes whose traffic no sidecar takes: the agent that fetches the filter. Its
    /// port, at any Service's address, leads to the first coordinator.
    fn proxy(&self, pod: &Pod) {
        let to = format!("{}:8082", self.member_address(0));
        let mut command = pod.command("iptables");
        command.args([
            "-t",
            "nat",
            "-A",
            "OUTPUT",
            "-p",
            "tcp",
            "-d",
            "10.96.0.0/16",
            "--dport",
            "8082",
            "-j",
            "DNAT",
            "--to-destination",
            &to,
        ]);
        let (said, error, success) = crate::kube::run(command, "");
        assert!(success, "{error}{said}");
    }

    fn member_address(&self, n: u8) -> Ipv4Addr {
        format!("{}.{}.{}", std::env::var("KUBE_PODS").unwrap(), self.network, 200 + n).parse().unwrap()
    }

    /// The coordinators' address for clients.
    pub fn cache_service(&self) -> SocketAddr {
        SocketAddr::new(self.names.lock().unwrap()[&format!("{CACHE}.{}", self.cache.namespace)], 8080)
    }

    /// Does for a Pod of the release's StatefulSet what scheduler and kubelet would: it runs, and is ready when it says
    /// so.
    pub async fn member(&self, n: u8) -> Member {
        let (name, address) = (format!("{CACHE}-{n}"), self.member_address(n));
        let made = await_some(|| self.cache.object("pod", &name), LONG).await;
        let spec = made.unwrap_or_else(|| panic!("the StatefulSet has made no Pod {name}"))["spec"].clone();
        self.cache.kubectl(&["label", "pod", &name, &format!("{}={}", INJECTED.0, INJECTED.1)]);
        self.cache.bind(&name);
        self.cache.ready(&name, address.into(), false);
        let pod = Pod::start(&self.cache.namespace, &name, address, &self.hosts).await.with_sidecar().await;
        let mut command = pod.command(artifact::coordinator());
        let arguments = self.cache.arguments(&spec, &pod.file("volumes")).into_iter();
        command.args(
            arguments.map(|text| text.replace("$(POD_NAME)", &name).replace("$(POD_NAMESPACE)", &self.cache.namespace)),
        );
        command.env("KUBECONFIG", self.cache.config_in_pod(spec["serviceAccountName"].as_str().unwrap()));
        // What the image and the memory limit of the Pod say.
        command.env("MESHCACHE_FILTER", artifact::filter()).env("MESHCACHE_STORE_BYTES", "64MiB");
        command.env("MESHCACHE_NATIVE_FILTER", artifact::native());
        let process = Process::start(&name, command, &pod.file("log"));
        let member = Member { pod, process };
        let ready = async || client::get(member.status(), "/readyz").await.is_ok_and(|answer| answer.status == 200);
        await_until(ready, LONG, &format!("coordinator {name} is ready")).await;
        self.cache.ready(&name, address.into(), true);
        member
    }

    /// The first coordinators of the release, when all of them know each other.
    pub async fn members(&self, count: u8) -> Vec<Member> {
        let mut members = Vec::new();
        for n in 0..count {
            members.push(self.member(n).await);
        }
        let agreed = async || {
            let mut all = true;
            for member in &members {
                all &= member.metrics().await.get("kubegroup_peers", &[]) == f64::from(count);
            }
            all
        };
        await_until(agreed, LONG, "the coordinators know each other").await;
        members
    }
}

impl Member {
    /// Its address for other coordinators.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.pod.address.into(), 8083)
    }

    fn status(&self) -> SocketAddr {
        SocketAddr::new(self.pod.address.into(), 8082)
    }

    /// Its numbers now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&client::get(self.status(), "/metrics").await.unwrap().text())
    }
}

/// The sum of a number over coordinators.
pub async fn sum(members: &[Member], name: &str) -> f64 {
    let mut all = 0.0;
    for member in members {
        all += member.metrics().await.sum(name, &[]);
    }
    all
}

/// The numbers of istiod.
pub async fn istiod() -> Metrics {
    let url = std::env::var("ISTIOD_METRICS").unwrap();
    let at = url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    Metrics::parse(&client::get(at, "/metrics").await.unwrap().text())
}
