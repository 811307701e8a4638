//! What scheduler and kubelet do for the Pods of a Deployment: each gets a network, its program and probes, and is
//! ended when the API says so.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use meshcache_tests::{
    Metrics, artifact, client,
    kube::Cluster,
    pod::Pod,
    process::{Process, Signal},
};
use serde_json::Value;

use crate::{
    load::{Target, Targets},
    old_program::{self, Peers},
};

/// The image of kubecache.
pub(crate) const OLD_IMAGE: &str = "udhos/kubecache:0.13.1";
/// So many requests a Pod answers after it was told to end: a Service needs that time until it knows.
const AFTER_THE_SIGNAL: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    Old,
}

struct Container {
    pod: Pod,
    /// `None`: the stand-in, which ends with the Pod.
    process: Option<Process>,
    target: Arc<Target>,
    is_ready: bool,
    /// How many requests it had answered when it was told to end.
    told: Option<usize>,
}

impl Container {
    fn program(&self) -> Program {
        if self.process.is_some() { Program::Ours } else { Program::Old }
    }
}

/// What was seen of the rings.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Looks at a ring of ours while Pods of both programs were ready.
    pub(crate) mixed_rings: usize,
    /// Those that had more members than there were Pods of ours.
    pub(crate) strangers_in_a_ring: usize,
}

pub(crate) struct Kubelet {
    cluster: Arc<Cluster>,
    /// The kubeconfig of the Pods' account.
    config: PathBuf,
    hosts: PathBuf,
    token: PathBuf,
    network: u8,
    made: u8,
    containers: BTreeMap<String, Container>,
    /// The log of those that have ended.
    ended: String,
    pub(crate) peers: Arc<Peers>,
    pub(crate) targets: Targets,
    pub(crate) seen: Seen,
}

impl Kubelet {
    pub(crate) fn new(cluster: Arc<Cluster>, network: u8) -> Kubelet {
        let hosts = cluster.folder().join("hosts");
        std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        let (config, token) = (cluster.config_of("kubecache"), cluster.folder().join("token"));
        std::fs::write(&token, "token-of-the-pods\n").unwrap();
        let (peers, targets) = Default::default();
        Kubelet {
            cluster,
            config,
            hosts,
            token,
            network,
            made: 0,
            containers: BTreeMap::new(),
            ended: String::new(),
            peers,
            targets,
            seen: Seen::default(),
        }
    }

    /// The programs of all Pods.
    pub(crate) fn programs(&self) -> Vec<Program> {
        self.containers.values().map(Container::program).collect()
    }

    /// Where the Pods of ours are.
    pub(crate) fn ours(&self) -> Vec<IpAddr> {
        let ours = self.containers.values().filter(|container| container.program() == Program::Ours);
        ours.map(|container| container.pod.address.into()).collect()
    }

    /// The Pods of ours by name, and where they are.
    pub(crate) fn named(&self) -> Vec<(String, IpAddr)> {
        self.containers.iter().map(|(name, container)| (name.clone(), container.pod.address.into())).collect()
    }

    /// The process in a Pod of ours.
    pub(crate) fn process(&self, name: &str) -> &Process {
        self.containers[name].process.as_ref().unwrap()
    }

    /// The end of each log.
    pub(crate) fn logs(&self) -> String {
        let logs = self.containers.values().filter_map(|container| container.process.as_ref());
        logs.map(|process| format!("{}\n\n", process.log_tail(40))).collect::<String>() + &self.ended
    }

    /// One look at what the API wants.
    pub(crate) async fn tick(&mut self) {
        let list: Value = serde_json::from_str(&self.cluster.kubectl(&["get", "pods", "--output=json"])).unwrap();
        for pod in list["items"].as_array().unwrap() {
            let name = pod["metadata"]["name"].as_str().unwrap();
            match (self.containers.contains_key(name), pod["metadata"]["deletionTimestamp"].is_string()) {
                (false, true) => self.cluster.remove(name),
                (false, false) => self.start(name, &pod["spec"]).await,
                (true, true) => self.end(name).await,
                (true, false) => self.probe(name).await,
            }
        }
        self.look().await;
    }

    async fn start(&mut self, name: &str, spec: &Value) {
        self.made += 1;
        let address = Ipv4Addr::new(10, 245, self.network, self.made);
        self.cluster.bind(name);
        self.cluster.ready(name, address.into(), false);
        let pod = Pod::plain(&self.cluster.namespace, name, address, &self.hosts).await;
        let container = &spec["containers"][0];
        let config =
            self.cluster.object("configmap", container["envFrom"][0]["configMapRef"]["name"].as_str().unwrap());
        let config = config.unwrap()["data"].clone();
        let process = if container["image"] == OLD_IMAGE {
            let backend = config["BACKEND_URL"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
            pod.run(old_program::start(address, self.peers.clone(), backend)).await;
            None
        } else {
            // The name of the Pod is its host name, as in a cluster.
            let mut command = pod.command("unshare");
            let named = r#"echo "$0" > /proc/sys/kernel/hostname && exec "$@""#;
            command.args(["--uts", "sh", "-c", named, name]).arg(artifact::coordinator());
            command.args(container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()));
            command.env("KUBECONFIG", &self.config);
            for (variable, value) in config.as_object().unwrap() {
                command.env(variable, value.as_str().unwrap());
            }
            for variable in container["env"].as_array().unwrap() {
                // No Secret is mounted: all files that are named are this one.
                if variable["value"].is_string() {
                    command.env(variable["name"].as_str().unwrap(), &self.token);
                }
            }
            Some(Process::start(name, command, &pod.file("log")))
        };
        let at = SocketAddr::new(address.into(), 8080);
        let target = Arc::new(Target { at, answered: AtomicUsize::new(0), in_flight: AtomicUsize::new(0) });
        self.containers.insert(name.to_owned(), Container { pod, process, target, is_ready: false, told: None });
    }

    /// The readiness probe of the chart.
    async fn probe(&mut self, name: &str) {
        let container = self.containers.get_mut(name).unwrap();
        if let Some(process) = &mut container.process
            && process.exited().is_some()
        {
            process.give_up("it has ended by itself");
        }
        let at = SocketAddr::new(container.pod.address.into(), 8888);
        if container.is_ready || !client::get(at, "/health").await.is_ok_and(|answer| answer.status == 200) {
            return;
        }
        container.is_ready = true;
        self.cluster.ready(name, container.pod.address.into(), true);
        self.peers.ready.lock().unwrap().push(container.pod.address);
        self.targets.lock().unwrap().push(container.target.clone());
    }

    /// Ends a Pod: ours goes on to answer for a while after the signal; of kubecache is known that it does not.
    async fn end(&mut self, name: &str) {
        let container = self.containers.get_mut(name).unwrap();
        let (target, address) = (container.target.clone(), container.pod.address);
        let answered = target.answered.load(Ordering::SeqCst);
        let Some(told) = container.told else {
            container.told = Some(answered);
            self.peers.ready.lock().unwrap().retain(|ready| *ready != address);
            match &container.process {
                Some(process) => process.signal(Signal::TERM),
                None => self.leave(&target),
            }
            return;
        };
        if container.process.is_some() && answered < told + AFTER_THE_SIGNAL && container.is_ready {
            return;
        }
        self.leave(&target);
        if target.in_flight.load(Ordering::SeqCst) > 0 {
            return;
        }
        let Some(mut container) = self.containers.remove(name) else { return };
        if let Some(process) = &mut container.process {
            let status = process.exit(Duration::from_secs(30)).await;
            self.ended += &format!("{name} has ended: {status}\n{}\n\n", process.log_tail(40));
        }
        self.cluster.remove(name);
    }

    /// Takes a Pod out of the Service.
    fn leave(&self, target: &Arc<Target>) {
        self.targets.lock().unwrap().retain(|other| !Arc::ptr_eq(other, target));
    }

    /// Looks at the rings while there are Pods of both programs.
    async fn look(&mut self) {
        let (ours, all) = (self.ours(), self.containers.values().filter(|container| container.is_ready).count());
        if ours.is_empty() || all <= ours.len() {
            return;
        }
        for at in &ours {
            let Ok(page) = client::get(SocketAddr::new(*at, 3000), "/metrics").await else { continue };
            let metrics = Metrics::parse(&page.text());
            let named = metrics.get("meshcache_discovery_problems", &[("problem", "no-answer")]) > 0.0;
            self.seen.mixed_rings += usize::from(named);
            self.seen.strangers_in_a_ring += usize::from(metrics.get("kubegroup_peers", &[]) > ours.len() as f64);
        }
    }
}
