//! A real Envoy that runs a file of envoy/, with the test's own addresses and ports filled in.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Answer, Host, Metrics, artifact, client, host,
    process::{Process, Signal},
    wait::{SOON, await_some, await_until},
};

/// The modules as the examples name them; `artifact` finds the real ones.
const FILTER: &str = "target/wasm32-wasip1/wasm/meshcache_filter.wasm";
const BARE: &str = "target/wasm32-wasip1/wasm/meshcache_bare.wasm";
const BARE_NATIVE: &str = "target/native/libmeshcache_bare.so";

/// An Envoy configuration in the making.
#[derive(Clone)]
pub struct EnvoyConfig {
    name: String,
    /// The whole bootstrap, for changes that have no method here.
    pub bootstrap: Value,
    program: Option<PathBuf>,
    concurrency: usize,
    log_level: String,
}

impl EnvoyConfig {
    /// A file of envoy/, such as `front.yaml`: all listeners and the admin page on loopback and free ports. The filter is
    /// that of `MESHCACHE_FILTER`.
    pub fn example(file: &str) -> EnvoyConfig {
        EnvoyConfig::load(&artifact::file("envoy").join(file)).host(Host::chosen())
    }

    /// Reads any other file in the same way.
    pub fn load(path: &Path) -> EnvoyConfig {
        let yaml = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bootstrap = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = format!("envoy {}", path.file_name().unwrap().display());
        let mut config =
            EnvoyConfig { name, bootstrap, program: None, concurrency: 1, log_level: "warning".to_owned() };
        let free = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        config.bootstrap["admin"]["address"] = free.clone();
        config.listeners().for_each(|listener| listener["address"] = free.clone());
        config
    }

    /// Worker threads; 1 without this.
    pub fn concurrency(self, concurrency: usize) -> EnvoyConfig {
        EnvoyConfig { concurrency, ..self }
    }

    /// Envoy's `--log-level`; `warning` without this.
    pub fn log_level(self, level: &str) -> EnvoyConfig {
        EnvoyConfig { log_level: level.to_owned(), ..self }
    }

    /// The hosts of a cluster.
    pub fn cluster(mut self, name: &str, hosts: &[SocketAddr]) -> EnvoyConfig {
        let address = |host: &SocketAddr| json!({"address": host.ip().to_string(), "port_value": host.port()});
        let host = |host| json!({"endpoint": {"address": {"socket_address": address(host)}}});
        let endpoints: Vec<Value> = hosts.iter().map(host).collect();
        let mut clusters = self.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap().iter_mut();
        let cluster = clusters.find(|cluster| cluster["name"] == name).unwrap_or_else(|| panic!("no cluster {name}"));
        cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": endpoints}]);
        self
    }

    /// Another program than `artifact::envoy`.
    pub fn program(self, program: PathBuf) -> EnvoyConfig {
        EnvoyConfig { program: Some(program), ..self }
    }

    /// Runs the filter in this host. What is native already stays so.
    pub fn host(mut self, host: Host) -> EnvoyConfig {
        if host == Host::Native {
            self.filters(host::make_native);
            self.bootstrap["layered_runtime"] = host::native_runtime();
        }
        self
    }

    /// Changes the configuration of the filter in every listener: cluster, hot_bytes_per_worker, groups.
    pub fn filter(mut self, change: impl Fn(&mut Value)) -> EnvoyConfig {
        self.filters(|typed_config| host::change(typed_config, &change));
        self
    }

    /// Takes the filter out.
    pub fn without_filter(mut self) -> EnvoyConfig {
        self.listeners().for_each(|listener| {
            let filters = http_filters(listener).as_array_mut().unwrap();
            filters.retain(|filter| filter["name"] != "meshcache");
        });
        self
    }

    /// Sends the requests of one host elsewhere: a service of its own behind the first listener, which has 2 s to
    /// answer.
    pub fn route(mut self, host: &str, to: SocketAddr) -> EnvoyConfig {
        let mut cluster = self.bootstrap["static_resources"]["clusters"][0].clone();
        cluster["name"] = json!(host);
        self.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap().push(cluster);
        let manager =
            &mut self.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": host, "timeout": "2s"}});
        let service = json!({"name": host, "domains": [host], "routes": [route]});
        manager["route_config"]["virtual_hosts"].as_array_mut().unwrap().push(service);
        self.cluster(host, &[to])
    }

    /// Without all other listeners.
    pub fn listeners_only(mut self, names: &[&str]) -> EnvoyConfig {
        let listeners = self.bootstrap["static_resources"]["listeners"].as_array_mut().unwrap();
        listeners.retain(|listener| names.iter().any(|name| listener["name"] == *name));
        self
    }

    /// Puts `text` wherever a value is exactly `placeholder`: a module's path, a body.
    pub fn replace(mut self, placeholder: &str, text: &str) -> EnvoyConfig {
        replace(&mut self.bootstrap, placeholder, text);
        self
    }

    /// Starts it and waits until it takes requests.
    pub async fn start(mut self) -> Envoy {
        let modules = [
            (FILTER, artifact::filter as fn() -> PathBuf),
            (BARE, artifact::bare),
            (BARE_NATIVE, artifact::bare_native),
            (host::MODULE, artifact::native),
        ];
        for (module, artifact) in modules {
            if mentions(&self.bootstrap, module) {
                self = self.replace(module, artifact().to_str().unwrap());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |file: &str| folder.path().join(file);
        std::fs::write(at("envoy.json"), self.bootstrap.to_string()).unwrap();
        let mut command = Command::new(self.program.clone().unwrap_or_else(artifact::envoy));
        // No hot restart: nothing in shared memory that a killed Envoy would leave behind, and any number of them on
        // one machine.
        command.arg("--disable-hot-restart").arg("--config-path").arg(at("envoy.json"));
        command.arg("--admin-address-path").arg(at("admin")).args(["--concurrency", &self.concurrency.to_string()]);
        command.args(["--log-level", &self.log_level]);
        let process = Process::start(&self.name, command, &at("log"));
        Envoy::ready(process, &at("admin"), folder).await
    }

    fn listeners(&mut self) -> impl Iterator<Item = &mut Value> {
        self.bootstrap["static_resources"]["listeners"].as_array_mut().unwrap().iter_mut()
    }

    fn filters(&mut self, change: impl Fn(&mut Value)) {
        for listener in self.listeners() {
            let filters = http_filters(listener).as_array_mut().unwrap().iter_mut();
            filters
                .filter(|filter| filter["name"] == "meshcache")
                .for_each(|filter| change(&mut filter["typed_config"]));
        }
    }
}

fn http_filters(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
}

fn parts(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    }
}

fn replace(value: &mut Value, placeholder: &str, text: &str) {
    if value == placeholder {
        *value = text.into();
    }
    parts(value).into_iter().for_each(|part| replace(part, placeholder, text));
}

fn mentions(value: &Value, text: &str) -> bool {
    value.to_string().contains(text)
}

/// A running Envoy. Dropping it kills it.
pub struct Envoy {
    /// Its process: CPU time, memory, signals, log.
    pub process: Process,
    /// Its admin page.
    pub admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    _folder: TempDir,
}

impl Envoy {
    async fn ready(mut process: Process, admin: &PathBuf, folder: TempDir) -> Envoy {
        let known = || std::fs::read_to_string(admin).ok()?.trim().parse().ok();
        let probe = || known().map(Ok).or_else(|| process.exited().map(Err));
        let admin: SocketAddr = match await_some(probe, SOON).await {
            Some(Ok(admin)) => admin,
            Some(Err(_)) => process.give_up("it ended at start"),
            None => process.give_up("no admin page"),
        };
        let ready = async || client::get(admin, "/ready").await.is_ok_and(|answer| answer.status == 200);
        await_until(ready, SOON, "Envoy is ready").await;
        let answer = client::get(admin, "/listeners?format=json").await.unwrap();
        let all: Value = serde_json::from_slice(&answer.body).unwrap();
        let listeners =
            all["listener_statuses"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(|listener| {
                let address = &listener["local_address"]["socket_address"];
                let ip = address["address"].as_str().unwrap().parse().unwrap();
                let port = address["port_value"].as_u64().unwrap() as u16;
                (listener["name"].as_str().unwrap().to_owned(), SocketAddr::new(ip, port))
            });
        let listeners = listeners.collect();
        Envoy { process, admin, listeners, _folder: folder }
    }

    /// The address of a listener.
    pub fn listener(&self, name: &str) -> SocketAddr {
        *self.listeners.get(name).unwrap_or_else(|| panic!("no listener {name}"))
    }

    /// Envoy's own numbers.
    pub async fn stats(&self) -> Metrics {
        Metrics::parse(&self.page("/stats/prometheus").await.text())
    }

    /// A page of the admin interface.
    pub async fn page(&self, path: &str) -> Answer {
        client::get(self.admin, path).await.unwrap()
    }

    /// Stops it as a supervisor does.
    pub async fn stop(mut self) {
        self.process.signal(Signal::TERM);
        self.process.exit(SOON).await;
    }
}
