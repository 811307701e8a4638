//! What a cache has. [`lookup`](crate::cache::lookup) is the way of a request through it.

use crate::{
    bounded_lru::Lately,
    cache::{
        flight::{Bounds, Flights, Numbers},
        groups::Rules,
        hit_for_pass::Passes,
        invalidation::Invalidations,
        load_outcome::Landed,
        response::Names,
    },
    clock,
    clock::Clock,
    cluster::Cluster,
    consistency::Consistency,
    http::{byte_budget::ByteBudget, request_body::ControlBodies},
    origin::{BadCa, ConnectionLimit, Origins},
    settings::Settings,
    store::{Store, usage::Usage},
    telemetry::metrics::Metrics,
};
use arc_swap::ArcSwap;
use http::StatusCode;
use meshcache_protocol::{Groups, Observer, observe};
use parking_lot::Mutex;
use std::sync::Arc;

/// Loads under way at once, and requests that wait for them. Over it a question passes and a client is told to come
/// back.
const MOST: Bounds = Bounds { flights: 10_000, waiters: 100_000 };
/// Of bodies that are on their way into the store, as many bytes as a quarter of it, but at least these: what is more
/// goes past it.
const LEAST: u64 = 64 << 20;
/// What requests under way may take that the store does not answer, with their heads and their connections to origins.
/// Resident it is half as much again.
const UNDER_WAY: u64 = 80 << 20;
/// Of so many keys it is remembered for a moment that they failed, or were asked for in part.
const LATELY: usize = 16_384;
/// The most that is remembered of groups that observe.
const OBSERVED: observe::Limits = observe::Limits { responses: 16_384, bytes: 16 << 20 };

/// The cache of one coordinator.
pub struct Cache {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// Loads from origins.
    pub(crate) loading: Flights<Landed>,
    /// Questions to other coordinators. Apart from loads, so that what a peer asks of us never waits for what we ask
    /// of it.
    pub(crate) asking: Flights<Landed>,
    pub(crate) passes: Passes,
    /// The statuses of failures that a load has just brought.
    pub(crate) failures: Lately<StatusCode>,
    /// Keys of which a head or a part was just asked for.
    pub(crate) asked_for_less: Lately<()>,
    /// Bodies on their way into the store.
    pub(crate) bytes: Arc<ByteBudget>,
    /// Heads of requests under way, and what goes past the cache with them.
    pub(crate) heads: Arc<ByteBudget>,
    /// Bodies of control calls that anybody may send, and of those of who has a token.
    pub(crate) control_bodies: ControlBodies,
    pub(crate) peer_bodies: ControlBodies,
    pub(crate) invalidations: Invalidations,
    /// What passed in groups that only observe.
    pub(crate) observed: Mutex<Observer>,
    /// The other coordinators.
    pub cluster: Arc<Cluster>,
    /// What was purged, as it is known here.
    pub consistency: Arc<Consistency>,
    rules: ArcSwap<Rules>,
    reloading: Mutex<()>,
    origins: Origins,
    pub(crate) metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty cache with no groups and an empty ring.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (clock, numbers) = (Clock::new(), Numbers::from(clock::wall()));
        let cluster = Cluster::new(&settings.me, clock, metrics.clone());
        Arc::new(Self {
            names: Names::new(&settings.installation),
            clock,
            store: Store::new(settings.store_bytes),
            loading: Flights::new(MOST, numbers.clone()),
            asking: Flights::new(MOST, numbers),
            passes: Passes::default(),
            failures: Lately::new(LATELY),
            asked_for_less: Lately::new(LATELY),
            heads: ByteBudget::new(UNDER_WAY),
            control_bodies: ControlBodies::new(metrics.clone()),
            peer_bodies: ControlBodies::new(metrics.clone()),
            invalidations: Invalidations::default(),
            observed: Mutex::new(Observer::new(OBSERVED)),
            cluster: cluster.clone(),
            consistency: Consistency::new(&settings.me, cluster),
            bytes: ByteBudget::new((settings.store_bytes / 4).max(LEAST)),
            rules: ArcSwap::default(),
            reloading: Mutex::default(),
            origins: Origins::new(ConnectionLimit::of_process(metrics.clone())),
            settings,
            metrics,
        })
    }
}

impl Cache {
    /// Takes these groups from now on. Fails where an origin's `ca` cannot be read: then the old groups stay.
    pub fn set_groups(&self, groups: Arc<Groups>) -> Result<(), BadCa> {
        let _one_at_a_time = self.reloading.lock();
        let rules = Rules::new(groups, &self.rules.load(), &self.store, &self.origins, &self.metrics)?;
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// The groups, ready to be served.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// The groups.
    pub fn groups(&self) -> Arc<Groups> {
        self.rules.load().groups.clone()
    }

    /// What it shows to peers. `None`: it asks none, and loads for itself.
    pub fn set_peer_token(&self, token: Option<String>) {
        self.set_peer_tokens(token.as_slice());
    }

    /// The tokens of peers: the first is shown to them and marks purges, and the marks of all are right.
    pub fn set_peer_tokens(&self, tokens: &[String]) {
        self.cluster.peers.set_token(tokens.first().cloned());
        self.consistency.set_tokens(tokens);
    }

    /// How many requests wait, how many bytes of bodies are on their way into the store, and how many those take that
    /// are under way.
    pub fn under_way(&self) -> (usize, u64, u64) {
        (self.loading.waiters() + self.asking.waiters(), self.bytes.used(), self.heads.used())
    }

    /// What each group has, for gauges.
    pub fn usage(&self) -> Vec<Usage> {
        self.store.usage()
    }
}

#[cfg(test)]
impl Cache {
    /// An empty one, with no groups and an empty ring.
    pub(crate) fn sample(me: &str, store_bytes: u64) -> Arc<Self> {
        let identity = crate::settings::Identity::None;
        Self::new(
            Settings { me: me.to_owned(), installation: "meshcache".into(), store_bytes, identity },
            Metrics::new().unwrap(),
        )
    }
}
