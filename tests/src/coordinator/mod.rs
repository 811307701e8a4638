//! A real coordinator: its program with ports of its own, its log, its metrics, and what may befall it.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Ask, Metrics, artifact, client, port,
    process::{Process, Signal, ending},
    wait::{SOON, await_some, await_until},
};

mod group;
pub use group::{ADMIN_TOKEN, Coordinators, PEER_TOKEN, Views};

/// The addresses of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ports {
    /// Questions from proxies, plain clients, the feed.
    pub data: SocketAddr,
    /// Purges and the status page.
    pub admin: SocketAddr,
    /// Health and metrics.
    pub status: SocketAddr,
    /// Other coordinators.
    pub peer: SocketAddr,
}

/// A running coordinator. Dropping it kills it.
pub struct Coordinator {
    /// Its process: CPU time, memory, signals, log.
    pub process: Process,
    /// Its addresses.
    pub ports: Ports,
    /// Its `--name`.
    pub name: String,
    folder: TempDir,
}

/// A program without its variables. What a developer's own shell may say must not change what a test sees.
fn without_variables(program: &Path) -> Command {
    let mut command = Command::new(program);
    let is_ours = |variable: &str| variable.starts_with("MESHCACHE_") || variable.starts_with("OTEL_");
    std::env::vars().filter(|(variable, _)| is_ours(variable)).for_each(|(variable, _)| {
        command.env_remove(variable);
    });
    command
}

impl Coordinator {
    /// Starts one on free loopback ports and waits until it is ready; panics with its log if it ends instead.
    pub async fn start(arguments: &[&str]) -> Coordinator {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        match Coordinator::try_start("alone", None, &arguments, tempfile::tempdir().unwrap()).await {
            Ok(coordinator) => coordinator,
            Err((_, log)) => panic!("the coordinator ended at start; its log:\n{log}"),
        }
    }

    /// The whole cache in one process, in front of one origin.
    pub async fn in_front_of(origin: &str, arguments: &[&str]) -> Coordinator {
        Coordinator::start(&[&["--origin", origin], arguments].concat()).await
    }

    /// Starts one with this number of worker threads; the default is one for each core.
    pub async fn with_threads(threads: usize, arguments: &[&str]) -> Coordinator {
        Coordinator::started(&artifact::coordinator(), Some(threads), arguments).await
    }

    /// Starts another program, such as an older build.
    pub async fn of_program(program: &Path, arguments: &[&str]) -> Coordinator {
        Coordinator::started(program, None, arguments).await
    }

    async fn started(program: &Path, threads: Option<usize>, arguments: &[&str]) -> Coordinator {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut command = Coordinator::command(program, "alone", None, &arguments, &folder);
        command.envs(threads.map(|threads| ("TOKIO_WORKER_THREADS", threads.to_string())));
        let process = Process::start("coordinator alone", command, &folder.path().join("log"));
        let ready = Coordinator::ready("alone", process, folder).await;
        ready.unwrap_or_else(|(_, log)| panic!("the coordinator ended at start; its log:\n{log}"))
    }

    /// Runs the program to its end, for `check`, `--help` and configurations that it refuses: how it ended, and all it
    /// said.
    pub async fn run(arguments: &[&str]) -> (ExitStatus, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = without_variables(&artifact::coordinator());
        command.args(arguments);
        let mut process = Process::start("meshcache-coordinator", command, &folder.path().join("log"));
        let status = process.exit(SOON).await;
        (status, process.log())
    }

    /// `Err`: it ended before it was ready, with this exit status and log.
    async fn try_start(
        name: &str,
        ports: Option<Ports>,
        arguments: &[String],
        folder: TempDir,
    ) -> Result<Coordinator, (ExitStatus, String)> {
        let process = Coordinator::launch(name, ports, arguments, &folder);
        Coordinator::ready(name, process, folder).await
    }

    fn launch(name: &str, ports: Option<Ports>, arguments: &[String], folder: &TempDir) -> Process {
        let command = Coordinator::command(&artifact::coordinator(), name, ports, arguments, folder);
        Process::start(&format!("coordinator {name}"), command, &folder.path().join("log"))
    }

    fn command(program: &Path, name: &str, ports: Option<Ports>, arguments: &[String], folder: &TempDir) -> Command {
        let known = folder.path().join("ports.json");
        let _ = std::fs::remove_file(&known);
        let mut command = without_variables(program);
        command.args(["--name", name]).arg("--ports-file").arg(&known);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let ports = ports.unwrap_or(Ports { data: free, admin: free, status: free, peer: free });
        for (flag, addr) in [
            ("--listen", ports.data),
            ("--admin", ports.admin),
            ("--status", ports.status),
            ("--peer-listen", ports.peer),
        ] {
            command.args([flag, &addr.to_string()]);
        }
        for argument in arguments {
            // As for `env`: `OTEL_NAME=VALUE` is a variable.
            match argument.split_once('=').filter(|(name, _)| name.starts_with("OTEL_")) {
                Some((variable, value)) => command.env(variable, value),
                None => command.arg(argument),
            };
        }
        command
    }

    async fn ready(name: &str, process: Process, folder: TempDir) -> Result<Coordinator, (ExitStatus, String)> {
        let coordinator = Coordinator::listening(name, process, folder).await?;
        coordinator.wait_ready().await;
        Ok(coordinator)
    }

    /// Waits until it listens. It may not be ready.
    async fn listening(name: &str, mut process: Process, folder: TempDir) -> Result<Coordinator, (ExitStatus, String)> {
        let file = folder.path().join("ports.json");
        let known = || serde_json::from_slice::<Value>(&std::fs::read(&file).ok()?).ok();
        let probe = || known().map(Ok).or_else(|| process.exited().map(Err));
        let ports = match await_some(probe, SOON).await {
            Some(Ok(ports)) => ports,
            Some(Err(status)) => return Err((status, process.log())),
            None => process.give_up("it did not say where it listens (--ports-file)"),
        };
        let port = |name: &str| {
            ports[name].as_str().and_then(|addr| addr.parse().ok()).expect("the ports file names four addresses")
        };
        let ports = Ports { data: port("data"), admin: port("admin"), status: port("status"), peer: port("peer") };
        Ok(Coordinator { process, ports, name: name.to_owned(), folder })
    }

    /// Waits until /readyz says yes.
    pub async fn wait_ready(&self) {
        let ready = async || client::get(self.ports.status, "/readyz").await.is_ok_and(|answer| answer.status == 200);
        await_until(ready, SOON, &format!("coordinator {} is ready", self.name)).await;
    }

    /// What the admin port's GET /peers says.
    pub async fn peers(&self) -> Value {
        self.admin("GET", "/peers", "").await.1
    }

    /// Asks the admin port: the status and what it says.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let ask = Ask::new(method, "admin", path).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let ask = ask.header("content-type", "application/json").body(body.to_owned());
        let answer = ask.send(self.ports.admin).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Its numbers now.
    pub async fn metrics(&self) -> Metrics {
        let page = client::get(self.ports.status, "/metrics").await.unwrap();
        Metrics::parse(&page.text())
    }

    /// `http://ADDRESS` of its data port.
    pub fn url(&self) -> String {
        format!("http://{}", self.ports.data)
    }

    /// A file in its own folder.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops its threads where they are: it accepts connections, and says nothing.
    pub fn freeze(&self) {
        self.process.stop();
    }

    /// Lets it go on after `freeze`.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Asks it to stop, and waits until it has; panics unless it ends well within `timeout`.
    pub async fn terminate(&mut self, timeout: Duration) {
        self.process.signal(Signal::TERM);
        let status = self.process.exit(timeout).await;
        if !status.success() {
            self.process.give_up(&ending(status));
        }
    }
}

/// Ports for a member of a group, which must be known to the others before it starts.
fn reserve() -> Ports {
    Ports { data: port::unused(), admin: port::unused(), status: port::unused(), peer: port::unused() }
}
