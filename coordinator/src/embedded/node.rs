//! A node: its cache, its peers, and its work in the background.

use crate::{
    cache::{getter_lookup::GetterGroup, housekeeping, state::Cache},
    cluster::{announcer::Announcer, membership::Membership},
    config::{peers_flag::Member, tokens::Tokens},
    departure,
    embedded::peers::PeerList,
    feed::Feed,
    http::request_body::ControlBodies,
    origin::Getter,
    purge::{PeerSync, Purger},
    server::{Listener, MAX_PUSHES, PeerPort, own_address},
    settings::{Identity, PeerTrust, Settings},
    telemetry::metrics::Metrics,
};
use meshcache_protocol::{
    Groups, Peer,
    groups::{Config, GroupConfig},
};
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

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
    pub(super) cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    pub(super) purger: Arc<Purger>,
    port: PeerPort,
    address: Option<SocketAddr>,
    peers: PeerList,
    announcer: Arc<Announcer>,
    groups: Mutex<Config>,
    drain: watch::Sender<bool>,
    serving: Mutex<JoinSet<()>>,
    background: Mutex<JoinSet<()>>,
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
            ends: None,
            #[cfg(feature = "program")]
            inquiry: None,
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
    pub(super) fn add_group(
        &self,
        config: GroupConfig,
        bytes: u64,
        getter: impl Getter,
    ) -> Result<GetterGroup, String> {
        let mut all = self.groups.lock();
        let name = config.name.as_str().to_owned();
        let mut with = all.clone();
        with.groups.push(config);
        let groups = Groups::new(with.clone()).map_err(|problem| format!("group `{name}`: {}", problem.what))?;
        self.cache.set_getter(&name, Arc::new(getter), bytes);
        self.cache.set_groups(Arc::new(groups)).map_err(|error| error.to_string())?;
        *all = with;
        GetterGroup::of(&self.cache, &name).ok_or_else(|| format!("group `{name}`: it is not there"))
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
