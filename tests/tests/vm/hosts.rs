//! Hosts in namespaces: each has a network interface, a host name, `/etc`, `/opt`, `/srv` and systemd's units of its own. One
//! more has the name server.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use meshcache_tests::{
    artifact,
    process::{Process, Signal},
    wait::{SOON, await_some},
};
use tempfile::TempDir;

/// The name server's address.
const NAME_SERVER: &str = "10.0.0.53";
/// Programs that would change the machine, or need another one, and what stands in for them.
const STAND_INS: [(&str, &str); 3] = [
    ("useradd", "exit 0"),
    ("chown", "exit 0"),
    // scp -r FOLDER/. root@HOST.DOMAIN:/PATH/
    (
        "scp",
        r#"to=${3#*@}; host=${to%%.*}; path=${to#*:}; mkdir -p "$HOSTS/$host$path" && cp -r "$2" "$HOSTS/$host$path""#,
    ),
];

/// All hosts, and the folder with what is theirs.
pub(crate) struct Hosts {
    folder: TempDir,
    switch: Process,
    hosts: BTreeMap<String, Host>,
    dns: Option<Process>,
}

struct Host {
    /// The process that keeps its namespaces.
    holder: Process,
    /// What runs on it, by unit.
    units: BTreeMap<String, Process>,
}

impl Hosts {
    /// A network with a switch, and these hosts with these addresses.
    pub(crate) async fn start(addresses: &[(&str, &str)]) -> Hosts {
        let folder = tempfile::tempdir().unwrap();
        let setup = format!(
            "ip link set lo up && ip link add br0 type bridge && ip addr add {NAME_SERVER}/24 dev br0 && ip link set br0 up"
        );
        let mut unshare = Command::new("unshare");
        unshare.args(if is_root() { &[][..] } else { &["--user", "--map-root-user"] }).args(["--net", "--mount"]);
        let switch = hold(unshare, &setup, folder.path(), "switch").await;
        for (name, text) in STAND_INS {
            let file = folder.path().join("stand-ins").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut all = Hosts { folder, switch, hosts: BTreeMap::new(), dns: None };
        fs::create_dir_all(all.root("admin")).unwrap();
        for (name, address) in addresses {
            all.add(name, address).await;
        }
        all
    }

    async fn add(&mut self, name: &str, address: &str) {
        let root = self.root(name);
        ["opt/meshcache", "srv", "home"].iter().for_each(|folder| fs::create_dir_all(root.join(folder)).unwrap());
        std::os::unix::fs::symlink(artifact::file("envoy"), root.join("home/envoy")).unwrap();
        let program = |name: &str, of: PathBuf| std::os::unix::fs::symlink(of, root.join("opt/meshcache").join(name));
        program("meshcache-coordinator", artifact::coordinator()).unwrap();
        program("meshcache_filter.wasm", artifact::filter()).unwrap();
        program("envoy", artifact::envoy()).unwrap();
        // What only root may read is not there for others; nothing here needs it.
        let _ = Command::new("cp").args(["-a", "/etc"]).arg(&root).stderr(std::process::Stdio::null()).status();
        let etc = root.join("etc");
        let _ = fs::remove_file(etc.join("resolv.conf"));
        fs::write(etc.join("resolv.conf"), format!("nameserver {NAME_SERVER}\n")).unwrap();
        fs::create_dir_all(etc.join("systemd/system")).unwrap();
        fs::create_dir_all(etc.join("meshcache")).unwrap();
        let binds = ["etc", "opt", "srv"].map(|folder| format!("mount --bind {}/{folder} /{folder}", root.display()));
        // An Envoy of its own: Envoys of one machine share memory.
        let setup = format!("{} && mount -t tmpfs shm /dev/shm && hostname {name}", binds.join(" && "));
        let mut unshare = enter(&self.switch, &["--net", "--mount"]);
        unshare.args(["unshare", "--net", "--mount", "--uts"]);
        let holder = hold(unshare, &setup, self.folder.path(), name).await;
        let mut link = enter(&self.switch, &["--net"]);
        link.args(["sh", "-ec"]).arg(format!(
            "ip link add {name} type veth peer name eth0 netns {} && ip link set {name} master br0 up",
            holder.pid()
        ));
        good(link.output().unwrap());
        self.hosts.insert(name.to_owned(), Host { holder, units: BTreeMap::new() });
        self.run(name, &format!("ip link set lo up && ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip route add default dev eth0"));
    }

    /// Answers these names.
    pub(crate) fn serve_names(&mut self, records: &[(String, String)]) {
        let mut dnsmasq = enter(&self.switch, &["--net"]);
        dnsmasq.args(["dnsmasq", "--keep-in-foreground", "--no-hosts", "--no-resolv", "--user=root", "--pid-file="]);
        dnsmasq.args(["--bind-interfaces", "--log-facility=-", "--local=/example.com/"]);
        dnsmasq.arg(format!("--listen-address={NAME_SERVER}"));
        dnsmasq.args(records.iter().map(|(name, address)| format!("--host-record={name},{address}")));
        self.dns = Some(Process::start("dnsmasq", dnsmasq, &self.folder.path().join("dnsmasq.log")));
    }

    /// Writes a file on a host.
    pub(crate) fn write(&self, host: &str, path: &str, text: &str) {
        let file = self.root(host).join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Runs a command on a host to its end; it must end well. Returns what it printed.
    pub(crate) fn run(&self, host: &str, line: &str) -> String {
        good(self.command(host, line).output().unwrap())
    }

    /// Runs a command on a host again and again until its output fits.
    pub(crate) async fn run_until(&self, host: &str, line: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let probe = || {
            let output = self.command(host, line).output().unwrap();
            last = String::from_utf8_lossy(&output.stdout).into_owned();
            fits(&last).then(|| last.clone())
        };
        match await_some(probe, SOON).await {
            Some(output) => output,
            None => panic!("{host}$ {line}\n{last}\n{}", self.logs()),
        }
    }

    /// Starts a unit of a host.
    pub(crate) fn start_unit(&mut self, host: &str, unit: &str) {
        let text = fs::read_to_string(self.root(host).join(format!("etc/systemd/system/{unit}.service"))).unwrap();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let environment =
            value("EnvironmentFile").map_or_else(String::new, |file| format!("set -a && . {file} && set +a && "));
        self.start_program(host, unit, &format!("{environment}exec {}", value("ExecStart").unwrap()));
    }

    /// Starts a program of a host as a unit.
    pub(crate) fn start_program(&mut self, host: &str, unit: &str, line: &str) {
        let command = self.command(host, line);
        let process = Process::start(
            &format!("{unit} on {host}"),
            command,
            &self.folder.path().join(format!("{host}.{unit}.log")),
        );
        self.hosts.get_mut(host).unwrap().units.insert(unit.to_owned(), process);
    }

    /// Stops a unit of a host as systemd does.
    pub(crate) async fn stop_unit(&mut self, host: &str, unit: &str) {
        let mut process = self.hosts.get_mut(host).unwrap().units.remove(unit).unwrap();
        process.signal(Signal::TERM);
        let status = process.exit(Duration::from_secs(40)).await;
        assert!(status.success(), "{unit} on {host}: {status}\n{}", process.log());
    }

    /// What a unit has written.
    pub(crate) fn log(&self, host: &str, unit: &str) -> String {
        self.hosts[host].units[unit].log()
    }

    fn logs(&self) -> String {
        let all = self.hosts.values().flat_map(|host| &host.units);
        all.map(|(unit, process)| format!("--- {unit}\n{}\n", process.log_tail(30))).collect()
    }

    fn root(&self, host: &str) -> PathBuf {
        self.folder.path().join("hosts").join(host)
    }

    fn command(&self, host: &str, line: &str) -> Command {
        let mut command = match self.hosts.get(host) {
            Some(host) => enter(&host.holder, &["--net", "--mount", "--uts"]),
            None => Command::new("env"),
        };
        let home = if self.hosts.contains_key(host) { "home" } else { "" };
        // Whoever enters namespaces is at their root.
        command.args(["sh", "-ec"]).arg(format!("cd {}\n{line}", self.root(host).join(home).display()));
        command.env("PATH", format!("{}:{}", self.folder.path().join("stand-ins").display(), path()));
        command.env("HOSTS", self.folder.path().join("hosts"));
        // What a developer's own shell may say must not change what a test sees.
        let own = |name: &str| name.starts_with("MESHCACHE_") || name.to_lowercase().ends_with("_proxy");
        std::env::vars().filter(|(name, _)| own(name)).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command
    }
}

/// Whether the programs are there of which hosts are made.
pub(crate) fn may_be_made() -> bool {
    let mut sh = Command::new("sh");
    sh.env("PATH", path()).args(["-c", "command -v dnsmasq ip openssl curl"]);
    sh.output().is_ok_and(|output| output.status.success())
}

/// Where programs are, those for administrators included.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts a process that keeps the namespaces which a command makes, once they are set up.
async fn hold(mut command: Command, setup: &str, folder: &Path, name: &str) -> Process {
    command.env("PATH", path()).args(["sh", "-ec"]).arg(format!("{setup} && echo ready && exec sleep infinity"));
    let mut process = Process::start(name, command, &folder.join(format!("{name}.log")));
    let is_ready = || (process.log().contains("ready") || process.exited().is_some()).then_some(());
    await_some(is_ready, SOON).await;
    if !process.log().contains("ready") {
        process.give_up("no namespaces: this test needs root, or a kernel that lets others make user namespaces");
    }
    process
}

/// A command that runs in the namespaces of a process.
fn enter(process: &Process, kinds: &[&str]) -> Command {
    let mut nsenter = Command::new("nsenter");
    nsenter.env("PATH", path());
    nsenter.args(["--target", &process.pid().to_string()]).args(kinds);
    nsenter.args(if is_root() { &[][..] } else { &["--user", "--preserve-credentials"] });
    nsenter
}

fn good(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
