//! The measured mesh, as its users run it: Envoys from envoy/front.yaml with the filter, coordinators, and a group.

use std::net::SocketAddr;

use meshcache_tests::{
    Answer, Ask, Coordinators, Envoy, EnvoyConfig, Host, artifact,
    wait::{SOON, await_until},
};

/// The host that the group names.
pub(crate) const HOST: &str = "bench.example.com";

/// Coordinators and the Envoys before them.
pub(crate) struct Mesh {
    /// The coordinators.
    pub(crate) coordinators: Coordinators,
    /// The Envoys.
    pub(crate) envoys: Vec<Envoy>,
}

/// The size of the mesh.
pub(crate) struct Shape {
    /// The number of coordinators.
    pub(crate) coordinators: usize,
    /// The number of Envoys.
    pub(crate) envoys: usize,
    /// Where the filter runs.
    pub(crate) host: Host,
    /// Worker threads of each Envoy.
    pub(crate) concurrency: usize,
    /// The filter's `hot_bytes_per_worker`; four times that is the native one's `hot_bytes`.
    pub(crate) hot_bytes: &'static str,
    /// Whether the group matches what is asked.
    pub(crate) matches: bool,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { coordinators: 1, envoys: 1, host: Host::Wasm, concurrency: 1, hot_bytes: "4MiB", matches: true }
    }
}

impl Mesh {
    /// Starts all of it in front of `origin`, and waits until the filters know the group.
    pub(crate) async fn start(origin: SocketAddr, shape: Shape) -> Mesh {
        let host = if shape.matches { HOST } else { "another.example.com" };
        let groups = groups(host, &format!("http://{origin}"));
        let coordinators = Coordinators::start(shape.coordinators, &groups, &["--store-bytes", "1GiB"]).await;
        let mut envoys = Vec::new();
        for _ in 0..shape.envoys {
            let config = front().host(shape.host).concurrency(shape.concurrency);
            let config = config.cluster("service", &[origin]);
            let config = config.filter(|filter| filter["hot_bytes_per_worker"] = shape.hot_bytes.into());
            envoys.push(config.cluster("meshcache", &coordinators.data()).start().await);
        }
        let mesh = Mesh { coordinators, envoys };
        for at in mesh.fronts() {
            // The group's own host, whatever is asked later: an answer that carries Cache-Status shows that the feed
            // has come.
            let knows = async || Ask::get(host, "/1k").send(at).await.is_ok_and(|answer| answer.has("cache-status"));
            await_until(knows, SOON, "the filter knows its group").await;
        }
        mesh
    }

    /// The Envoys' addresses.
    pub(crate) fn fronts(&self) -> Vec<SocketAddr> {
        self.envoys.iter().map(|envoy| envoy.listener("front")).collect()
    }
}

/// What `MESHCACHE_FILTER` says does not count here.
fn front() -> EnvoyConfig {
    EnvoyConfig::load(&artifact::file("envoy/front.yaml"))
}

/// One group, for a host and its origin.
pub(crate) fn groups(host: &str, origin: &str) -> String {
    format!("version: 1\ngroups:\n- name: bench\n  match: {{hosts: [{host}]}}\n  origin: {{url: \"{origin}\"}}\n")
}

/// Envoy's front without the filter, straight to the service: an ordinary proxied request.
pub(crate) async fn plain(origin: SocketAddr) -> Envoy {
    plain_with(origin, 1).await
}

/// The same with so many workers.
pub(crate) async fn plain_with(origin: SocketAddr, concurrency: usize) -> Envoy {
    let config = front().without_filter().concurrency(concurrency);
    config.cluster("service", &[origin]).start().await
}

/// A GET as clients send it.
pub(crate) fn ask(path: &str) -> Ask {
    Ask::get(HOST, path).header("user-agent", "bench").header("accept", "*/*")
}

/// Asks until the answer is as it is to be measured: from the right place, and whole.
pub(crate) async fn warm(at: SocketAddr, ask: &Ask, what: &str, holds: impl Fn(&Answer) -> bool) {
    let mut last = None;
    for _ in 0..200 {
        let answer = ask.send(at).await.unwrap();
        if answer.status == 200 && holds(&answer) {
            return;
        }
        last = Some(answer);
    }
    let headers = last.map(|answer| {
        (
            answer.status,
            answer.headers.iter().map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v))).collect::<Vec<_>>(),
        )
    });
    panic!("{}: never {what}; the last answer was {headers:?}", ask.path());
}
