//! A whole mesh, small: an origin, coordinators in front of it, and Envoys that run envoy/front.yaml or envoy/native.yaml.

use std::net::SocketAddr;

use meshcache_protocol::{Peer, Ring, groups::GroupMatch};

use crate::{
    Ask, Coordinators, Envoy, EnvoyConfig, Groups, Host, Metrics, Origin, Reply,
    coordinator::Views,
    groups::SHOP,
    wait::{SOON, await_until},
};

/// A path of the origin that tells when the Envoys know their groups.
const PROBE: &str = "/meshcache-tests-probe";

/// Where envoy/groups.yaml has the shop.
const EXAMPLE_ORIGIN: &str = "http://127.0.0.1:9000";

/// A running mesh. Dropping it stops it all.
pub struct Mesh {
    /// The service behind it all: the group `shop`.
    pub origin: Origin,
    /// Three of them, say.
    pub coordinators: Coordinators,
    /// And two of these.
    pub envoys: Vec<Envoy>,
    /// The coordinators' groups.
    pub groups: Groups,
}

/// A mesh in the making.
pub struct MeshConfig {
    views: Views,
    envoys: usize,
    groups: Groups,
    envoy: EnvoyConfig,
    arguments: Vec<String>,
    token: bool,
}

impl Mesh {
    /// A mesh of coordinators and Envoys with the examples' configuration.
    pub fn of(coordinators: usize, envoys: usize) -> MeshConfig {
        let example = match Host::chosen() {
            Host::Wasm => "front.yaml",
            Host::Native => "native.yaml",
        };
        let (groups, envoy) = (Groups::example(), EnvoyConfig::example(example));
        MeshConfig {
            views: Views::Peers(vec![(0..coordinators).collect(); coordinators]),
            envoys,
            groups,
            envoy,
            arguments: Vec::new(),
            token: true,
        }
    }

    /// The Envoys' addresses for clients.
    pub fn fronts(&self) -> Vec<SocketAddr> {
        self.envoys.iter().map(|envoy| envoy.listener("front")).collect()
    }

    /// Waits until every worker of every Envoy answers from the cache.
    pub async fn wait_cached(&self) {
        for front in self.fronts() {
            // Connections are spread over the workers at random: this number in a row misses none of two or four.
            let cached = async || {
                for _ in 0..32 {
                    let answer = Ask::get(SHOP, PROBE).send(front).await;
                    if !answer.is_ok_and(|answer| answer.cache_status().contains("hit")) {
                        return false;
                    }
                }
                true
            };
            await_until(cached, SOON, "the filter knows its groups and the coordinators answer").await;
        }
    }

    /// The groups as coordinators and filters read them.
    pub fn rules(&self) -> meshcache_protocol::Groups {
        meshcache_protocol::Groups::new(serde_json::from_value(self.groups.document.clone()).unwrap()).unwrap()
    }

    /// The coordinators in the order in which a path of a host is theirs, the owner first: as the ring has it, without
    /// asking anybody.
    pub fn order(&self, host: &str, path: &str) -> Vec<usize> {
        let groups = self.rules();
        let request =
            meshcache_protocol::Request::read(b"GET", b"http", host.as_bytes(), path.as_bytes(), &[]).unwrap();
        let GroupMatch::Group(group) = groups.find(&request, None) else { panic!("no group for {host}{path}") };
        let key = meshcache_protocol::Key::of(group, &request, None);
        let named = |name: &String| Peer { name: name.clone(), data: String::new(), peer: String::new() };
        let names: Vec<String> = self.coordinators.all.iter().map(|coordinator| coordinator.name.clone()).collect();
        let ring = Ring::new(names.iter().map(named).collect());
        ring.order(key.hash()).iter().map(|peer| names.iter().position(|name| *name == peer.name).unwrap()).collect()
    }

    /// A path that begins with `stem` and is this coordinator's own.
    pub fn owned_by(&self, coordinator: usize, host: &str, stem: &str) -> String {
        let mut paths = (0..).map(|i| format!("{stem}-{i}"));
        paths.find(|path| self.order(host, path)[0] == coordinator).unwrap()
    }

    /// The counters of filters and coordinators, for the message of a test that failed.
    pub async fn counts(&self) -> String {
        let mut counts = String::new();
        let mut add = |process: &str, metrics: &Metrics, prefixes: &[&str]| {
            let some = metrics
                .0
                .iter()
                .filter(|(series, value)| **value != 0.0 && prefixes.iter().any(|prefix| series.starts_with(prefix)));
            some.for_each(|(series, value)| counts.push_str(&format!("\n{process}: {series} {value}")));
        };
        for (i, envoy) in self.envoys.iter().enumerate() {
            add(&format!("envoy {i}"), &envoy.stats().await, &["meshcache_filter_"]);
        }
        for (i, metrics) in self.coordinators.metrics().await.iter().enumerate() {
            add(
                &format!("peer-{i}"),
                metrics,
                &[
                    "meshcache_requests_total",
                    "meshcache_not_stored",
                    "groupcache_loads",
                    "groupcache_peer",
                    "groupcache_local",
                ],
            );
        }
        counts
    }

    /// Asks for `path` through the first Envoy, and tells which coordinator loaded it: the path must not be cached.
    pub async fn owner(&self, path: &str) -> usize {
        let before = self.coordinators.metrics().await;
        let answer = Ask::get(SHOP, path).send(self.fronts()[0]).await.unwrap();
        let after = self.coordinators.metrics().await;
        let loads =
            after.iter().zip(&before).map(|(after, before)| after.since(before).sum("groupcache_loads_total", &[]));
        let loaders: Vec<usize> = loads.enumerate().filter(|(_, loads)| *loads > 0.0).map(|(i, _)| i).collect();
        assert_eq!(loaders.len(), 1, "coordinators that loaded {path}: {loaders:?}; the answer: {answer:?}");
        loaders[0]
    }
}

impl MeshConfig {
    /// Changes the groups.
    pub fn groups(self, change: impl FnOnce(Groups) -> Groups) -> MeshConfig {
        MeshConfig { groups: change(self.groups), ..self }
    }

    /// Changes the Envoys.
    pub fn envoy(self, change: impl FnOnce(EnvoyConfig) -> EnvoyConfig) -> MeshConfig {
        MeshConfig { envoy: change(self.envoy), ..self }
    }

    /// Coordinators that do not know of all: member `i` knows those in `views[i]`.
    pub fn views(self, views: &[&[usize]]) -> MeshConfig {
        MeshConfig { views: Views::Peers(views.iter().map(|view| view.to_vec()).collect()), ..self }
    }

    /// Coordinators that find each other by gossip: member `i` asks those in `seeds[i]` first.
    pub fn seeds(self, seeds: &[&[usize]]) -> MeshConfig {
        MeshConfig { views: Views::Seeds(seeds.iter().map(|seeds| seeds.to_vec()).collect()), ..self }
    }

    /// More arguments for each coordinator.
    pub fn arguments(mut self, arguments: &[&str]) -> MeshConfig {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Admin ports that want no token, for this machine alone.
    pub fn without_admin_token(self) -> MeshConfig {
        MeshConfig { token: false, ..self }
    }

    /// Starts it all, and waits until the Envoys answer from the cache.
    pub async fn start(self) -> Mesh {
        let mesh = self.start_cold().await;
        mesh.wait_cached().await;
        mesh
    }

    /// Starts it all; the Envoys may not have heard of a coordinator yet.
    pub async fn start_cold(self) -> Mesh {
        let origin = Origin::start().await;
        origin.always(PROBE, Reply::fresh(3600, "probe"));
        let groups = self.groups.origins(EXAMPLE_ORIGIN, &origin.url());
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let coordinators = Coordinators::with_admin(&self.views, &groups.yaml(), &arguments, self.token).await;
        let envoy = self.envoy.cluster("service", &[origin.addr]).cluster("meshcache", &coordinators.data());
        let mut envoys = Vec::new();
        for _ in 0..self.envoys {
            envoys.push(envoy.clone().start().await);
        }
        Mesh { origin, coordinators, envoys, groups }
    }
}
