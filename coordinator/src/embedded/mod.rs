//! The engine of a library's node: the coordinator's cache with getters as its origins, its peers, and no port but the
//! peers' own. The crate `meshcache` is its face.

mod mount;
mod peers;

pub use crate::{
    config::peers_flag::Member,
    origin::{Error, Getter, Value},
    purge::PurgeReport,
};
pub use mount::mount;
pub use peers::member;

use crate::{
    cache::{
        getter_lookup::{self, GetterGroup},
        getter_peek, getter_set, housekeeping,
        state::Cache,
    },
    cluster::{announcer::Announcer, membership::Membership},
    config::tokens::Tokens,
    departure,
    feed::Feed,
    http::request_body::ControlBodies,
    purge::{PeerSync, PurgeRequest, Purger},
    server::{Listener, MAX_PUSHES, PeerPort, own_address},
    settings::{Identity, PeerTrust, Settings},
    telemetry::metrics::Metrics,
};
use bytes::Bytes;
use meshcache_protocol::{
    Groups, Peer,
    groups::{Config, GroupConfig, Name, Status},
    purge::Scope,
    units::Span,
};
use parking_lot::Mutex;
use peers::PeerList;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

/// A getter's group: its requests have its name as their host. The error is one line for people.
pub fn group_config(name: &str) -> Result<GroupConfig, String> {
    name.parse::<Name>().map_err(|error| format!("group: {error}"))?;
    let origin = "http://getter.invalid";
    let config = serde_json::json!({"name": name, "match": {"hosts": [name]}, "origin": {"url": origin}});
    serde_json::from_value(config).map_err(|error| format!("group: {error}"))
}

/// How long it is remembered that there is no value, as groups have it.
pub fn not_found(ttl: Span) -> BTreeMap<Status, Span> {
    BTreeMap::from([(Status::Exactly(404), ttl)])
}

/// The name of all installations: the nodes of a library and coordinators are never in one ring.
const INSTALLATION: &str = "meshcache";
/// The most connections of other nodes at once. More wait in the kernel.
const MAX_CONNECTIONS: usize = 4096;

/// What a node is started with.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Its stable name in the ring.
    pub name: String,
    /// The limit of the store.
    pub store_bytes: u64,
    /// What nodes prove themselves with to each other. `None`: no peers.
    pub token: Option<String>,
    /// Where it listens for other nodes itself.
    pub listen: Option<SocketAddr>,
}

/// A node.
pub struct Node {
    name: String,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    purger: Arc<Purger>,
    port: PeerPort,
    address: Option<SocketAddr>,
    peers: PeerList,
    announcer: Arc<Announcer>,
    groups: Mutex<Config>,
    drain: watch::Sender<bool>,
    serving: Mutex<JoinSet<()>>,
    background: Mutex<JoinSet<()>>,
}

/// A group of a node.
pub struct Group {
    node: Arc<Node>,
    group: GetterGroup,
}

/// What a group has counted since its start, on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls of `get`.
    pub gets: u64,
    /// Calls that this node's store answered.
    pub hits: u64,
    /// Calls that the store could not answer.
    pub loads: u64,
    /// Loads that were begun: those who joined one do not count.
    pub loads_deduped: u64,
    /// Calls of the getter that gave a value, or said that there is none.
    pub local_loads: u64,
    /// Calls of the getter that failed.
    pub local_load_errors: u64,
    /// Values from other nodes.
    pub peer_loads: u64,
    /// Questions to other nodes that failed.
    pub peer_errors: u64,
    /// Questions of other nodes.
    pub server_requests: u64,
    /// Values in the store.
    pub items: u64,
    /// Their bytes, with all that they take in memory.
    pub bytes: u64,
    /// Values that gave way to others, or expired.
    pub evictions: u64,
}

impl Node {
    /// Starts a node, in a tokio runtime. The error is one line for people.
    pub fn start(config: NodeConfig) -> Result<Arc<Self>, String> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err("a node is built in a tokio runtime: call this from an async function".into());
        }
        let NodeConfig { name, store_bytes, token, listen } = config;
        let metrics = Metrics::new().map_err(|error| error.to_string())?;
        let settings = Settings {
            me: name.clone(),
            installation: INSTALLATION.into(),
            store_bytes,
            identity: Identity::None,
            peer_trust: PeerTrust::Token,
        };
        let cache = Cache::new(settings, metrics.clone());
        let list: Vec<String> = token.into_iter().collect();
        cache.set_peer_tokens(&list);
        let has_token = !list.is_empty();
        let tokens = Tokens::fixed(list);
        let feed = Feed::new(cache.clone(), metrics.clone(), INSTALLATION, &name);
        let purger = Purger::new(cache.clone(), feed.clone(), metrics.clone(), tokens.clone());
        let peer_sync = PeerSync::new(&purger, &name);
        let membership = Membership::new(cache.cluster.clone(), metrics.clone(), &name, {
            let peer_sync = peer_sync.clone();
            move || {
                feed.publish();
                peer_sync.ring_changed();
            }
        });
        let listener = listen
            .map(|at| Listener::bind(at, metrics.connections("peer"), metrics.heads_refused("peer"), MAX_CONNECTIONS))
            .transpose()?;
        let address = listener.as_ref().and_then(|listener| listener.address().ok()).map(own_address);
        let at = address.map_or_else(String::new, |address| address.to_string());
        let own = Peer { name: name.clone(), data: at.clone(), peer: at };
        let announcer = Arc::new(Announcer {
            cluster: cache.cluster.clone(),
            bytes: cache.body_budget.clone(),
            membership: membership.clone(),
            own: own.clone(),
            is_static: true,
        });
        let port = PeerPort {
            cache: cache.clone(),
            purger: purger.clone(),
            membership: membership.clone(),
            tokens,
            pushes: Arc::new(Semaphore::new(MAX_PUSHES)),
            bodies: Arc::new(ControlBodies::new(metrics.clone())),
        };
        let (drain, draining) = watch::channel(false);
        let (mut serving, mut background) = (JoinSet::new(), JoinSet::new());
        if let Some(listener) = listener {
            serving.spawn(listener.serve(port.clone(), draining));
        }
        background.spawn(housekeeping::run(cache.clone(), std::future::pending()));
        let peers = PeerList::new(own, has_token, membership.clone());
        if has_token {
            background.spawn(peer_sync.run());
            background.spawn(async move { membership.run().await });
        }
        Ok(Arc::new(Self {
            name,
            cache,
            metrics,
            purger,
            port,
            address,
            peers,
            announcer,
            groups: Mutex::default(),
            drain,
            serving: Mutex::new(serving),
            background: Mutex::new(background),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens for other nodes, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Replaces its peers. The error is one line for people; the old ones stay.
    pub fn set_peers(&self, members: Vec<Member>) -> Result<(), String> {
        if self.peers.set(members)? {
            let announcer = self.announcer.clone();
            self.background.lock().spawn(async move { announcer.join().await });
        }
        Ok(())
    }

    /// The names of the nodes in its ring, sorted. Without peers: its own.
    pub fn ring(&self) -> Vec<String> {
        let ring = self.cache.cluster.ring();
        if ring.peers().is_empty() {
            return vec![self.name.clone()];
        }
        ring.peers().iter().map(|peer| peer.name.clone()).collect()
    }

    /// Adds a group. `bytes`: what it may take of the store. The error is one line for people.
    pub fn add_group(self: &Arc<Self>, config: GroupConfig, bytes: u64, getter: impl Getter) -> Result<Group, String> {
        let mut all = self.groups.lock();
        let name = config.name.as_str().to_owned();
        let mut with = all.clone();
        with.groups.push(config);
        let groups = Groups::new(with.clone()).map_err(|problem| format!("group `{name}`: {}", problem.what))?;
        self.cache.set_getter(&name, Arc::new(getter), bytes);
        self.cache.set_groups(Arc::new(groups)).map_err(|error| error.to_string())?;
        *all = with;
        let group = GetterGroup::of(&self.cache, &name).ok_or_else(|| format!("group `{name}`: it is not there"))?;
        Ok(Group { node: self.clone(), group })
    }

    /// What answers other nodes, for a server of one's own.
    pub fn port(&self) -> PeerPort {
        self.port.clone()
    }

    /// All metrics, as Prometheus reads them.
    pub fn metrics(&self) -> String {
        let (metrics, consistency) = (&self.metrics, &self.cache.consistency);
        metrics.set_usage(&self.cache.usage(), self.cache.clock.now());
        metrics.set_purge_log(consistency.holds_lease(), consistency.log_len());
        metrics.set_under_way(self.cache.in_flight());
        metrics.page().map(|page| String::from_utf8_lossy(&page).into_owned()).unwrap_or_default()
    }

    /// Leaves the ring, hands over its values, and answers what is under way, within `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        let begun = tokio::time::Instant::now();
        let announcing = departure::leave(&self.cache, &self.announcer, limit).await;
        self.drain.send_replace(true);
        let mut serving = std::mem::take(&mut *self.serving.lock());
        let drained = async { while serving.join_next().await.is_some() {} };
        let _ = timeout(limit.saturating_sub(begun.elapsed()), drained).await;
        if let Some(announcing) = announcing {
            self.announcer.end().await;
            announcing.abort();
        }
        self.peers.stop();
        self.background.lock().abort_all();
    }
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &str {
        self.group.name()
    }

    /// Its node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Gets a value: from this node's store, from its owner, or from the getter.
    #[inline]
    pub async fn get(&self, key: &str) -> Result<Bytes, Error> {
        let bytes = self.group.key(key)?;
        match self.group.hit(&self.node.cache, &bytes) {
            Some(answer) => answer,
            None => Box::pin(getter_lookup::get(&self.node.cache, &self.group, bytes)).await,
        }
    }

    /// Returns the fresh value that this node or the owner has. The getter is not asked.
    pub async fn peek(&self, key: &str) -> Result<Option<Bytes>, Error> {
        getter_peek::peek(&self.node.cache, &self.group, self.group.key(key)?).await.transpose()
    }

    /// Stores a value at its owner, in place of all that there is on any node.
    pub async fn set(&self, key: &str, value: Value) -> Result<(), Error> {
        let bytes = self.group.key(key)?;
        self.remove(&[key]).await?;
        getter_set::set(&self.node.cache, &self.group, bytes, value).await
    }

    /// Removes these keys from all nodes.
    pub async fn remove(&self, keys: &[&str]) -> Result<PurgeReport, Error> {
        let paths: Result<Vec<_>, _> = keys.iter().map(|key| self.group.path(key)).collect();
        let paths = paths?;
        if paths.is_empty() {
            return Ok(PurgeReport::default());
        }
        Ok(self.purge(Scope { paths, ..Scope::default() }).await)
    }

    /// Removes all values with one of these tags from all nodes.
    pub async fn remove_tags(&self, tags: &[&str]) -> PurgeReport {
        if tags.is_empty() {
            return PurgeReport::default();
        }
        self.purge(Scope { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..Scope::default() }).await
    }

    /// Removes all values from all nodes.
    pub async fn clear(&self) -> PurgeReport {
        self.purge(Scope::default()).await
    }

    async fn purge(&self, scope: Scope) -> PurgeReport {
        let scope = Scope { group: Some(self.group.name().to_owned()), ..scope };
        self.node.purger.purge(PurgeRequest { scope, soft: false, dry_run: false }).await
    }

    /// What it has counted.
    pub fn stats(&self) -> Stats {
        let metrics = self.group.metrics();
        let usage = self.node.cache.usage().into_iter().find(|usage| usage.group == self.name()).unwrap_or_default();
        Stats {
            gets: metrics.gets.get(),
            hits: metrics.hits.get(),
            loads: metrics.loads.get(),
            loads_deduped: metrics.loads_deduped.get(),
            local_loads: metrics.local_load.get(),
            local_load_errors: metrics.local_load_errs.get(),
            peer_loads: metrics.peer_loads.get(),
            peer_errors: metrics.peer_errors.get(),
            server_requests: metrics.server_requests.get(),
            items: usage.items,
            bytes: usage.bytes,
            evictions: usage.evictions,
        }
    }
}
