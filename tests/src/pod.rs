//! A Pod with a network of its own, in which all traffic passes a real sidecar: what `tests/kube/pod` and
//! `tests/kube/sidecar` make.

use std::{
    fs::File,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    Answer, Ask, Metrics, artifact, client,
    process::Process,
    wait::{LONG, await_some},
};

/// The port of a sidecar's admin page, in the Pod's own network.
const ADMIN: u16 = 15000;
/// The port of its readiness; not intercepted.
const STATUS: u16 = 15021;

/// A running Pod. Dropping it ends its network, and what runs in it.
pub struct Pod {
    /// Its name in the API.
    pub name: String,
    /// Its address, on the bridge that all Pods share.
    pub address: Ipv4Addr,
    namespace: String,
    // In the order in which they end.
    sidecar: Option<Process>,
    runtime: Option<Runtime>,
    network: Process,
    folder: TempDir,
}

impl Pod {
    /// The network of a Pod that the API has; `hosts` stands for the cluster's DNS.
    pub async fn start(namespace: &str, name: &str, address: Ipv4Addr, hosts: &Path) -> Pod {
        Pod::network(namespace, name, address, hosts, &[]).await
    }

    /// The network of a Pod without a sidecar.
    pub async fn plain(namespace: &str, name: &str, address: Ipv4Addr, hosts: &Path) -> Pod {
        Pod::network(namespace, name, address, hosts, &["plain"]).await
    }

    async fn network(namespace: &str, name: &str, address: Ipv4Addr, hosts: &Path, more: &[&str]) -> Pod {
        let folder = tempfile::tempdir().unwrap();
        let said = |variable: &str| std::env::var(variable).unwrap_or_else(|_| panic!("{variable}: tests/kube/run"));
        let mut command = Command::new(artifact::file("tests/kube/pod"));
        command.arg(format!("{address}/16")).arg(said("KUBE_ADDRESS")).arg(said("KUBE_BRIDGE")).arg(hosts).args(more);
        let mut network = Process::start(&format!("network of {name}"), command, &folder.path().join("network.log"));
        let ready = await_some(
            || network.log().ends_with("ready\n").then_some(true).or_else(|| network.exited().map(|_| false)),
            LONG,
        )
        .await;
        if ready != Some(true) {
            network.give_up("there is no network");
        }
        let link = File::open(format!("/proc/{}/ns/net", network.pid())).unwrap();
        // A socket belongs to the network of the thread that opens it, no matter which thread uses it later.
        let enter = move || move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().on_thread_start(enter).build().unwrap();
        Pod {
            name: name.to_owned(),
            address,
            namespace: namespace.to_owned(),
            sidecar: None,
            runtime: Some(runtime),
            network,
            folder,
        }
    }

    /// Starts its sidecar, and does not wait for it.
    pub fn start_sidecar(&mut self) {
        let mut command = self.command("setpriv");
        // Changing the group resets the signal that ends a child with its parent.
        command
            .args(["--regid", "1337", "--clear-groups", "--pdeathsig", "KILL"])
            .arg(artifact::file("tests/kube/sidecar"));
        command
            .args([&self.namespace, &self.name, &ADMIN.to_string()])
            .arg(self.folder.path().join("sidecar"))
            .arg(",\"concurrency\":1");
        command.env("INTERCEPTION", "REDIRECT").env("ENVOY", artifact::envoy());
        self.sidecar = Some(Process::start(
            &format!("sidecar of {}", self.name),
            command,
            &self.folder.path().join("sidecar.log"),
        ));
    }

    /// Whether its sidecar is ready.
    pub async fn sidecar_is_ready(&self) -> bool {
        client::get(SocketAddr::new(self.address.into(), STATUS), "/healthz/ready")
            .await
            .is_ok_and(|answer| answer.status == 200)
    }

    /// Starts its sidecar and waits until it is ready.
    pub async fn with_sidecar(mut self) -> Pod {
        self.start_sidecar();
        let end = Instant::now() + LONG;
        while !self.sidecar_is_ready().await {
            if Instant::now() > end || self.sidecar.as_mut().unwrap().exited().is_some() {
                let log = self.sidecar_log();
                // It says so every 50 ms.
                let lines: Vec<&str> = log.lines().filter(|line| !line.contains("Envoy proxy is NOT ready")).collect();
                panic!("the sidecar of {} is not ready:\n{}", self.name, lines.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self
    }

    /// The sidecar's log.
    pub fn sidecar_log(&self) -> String {
        self.sidecar.as_ref().map(Process::log).unwrap_or_default()
    }

    /// A program that will run in this Pod.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.network.pid().to_string(), "--net", "--mount", "--"]).arg(program);
        command
    }

    /// Does something with this Pod's network, as its application would.
    pub async fn run<F: Future<Output: Send + 'static> + Send + 'static>(&self, what: F) -> F::Output {
        self.runtime.as_ref().unwrap().spawn(what).await.unwrap()
    }

    /// Asks as its application would.
    pub async fn ask(&self, ask: &Ask, to: SocketAddr) -> anyhow::Result<Answer> {
        let ask = ask.clone();
        self.run(async move { ask.send(to).await }).await
    }

    /// A page of its Envoy's admin port.
    pub async fn admin(&self, path: &str) -> String {
        let path = path.to_owned();
        self.run(async move { client::get(SocketAddr::from(([127, 0, 0, 1], ADMIN)), &path).await })
            .await
            .unwrap()
            .text()
    }

    /// The numbers of its Envoy, the filter's included.
    pub async fn stats(&self) -> Metrics {
        Metrics::parse(&self.admin("/stats/prometheus").await)
    }

    /// A file of its own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // A runtime may not wait for its end inside of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
