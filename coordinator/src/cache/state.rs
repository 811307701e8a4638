//! The state that lookups share. [`lookup`](crate::cache::lookup) is the way of a request through it.

use crate::{
    bounded_lru::ExpiringLru,
    cache::{
        fill::{Fills, Offers},
        flight::{FlightLimits, FlightNumbers, Flights},
        groups::GroupTable,
        hit_for_pass::HitForPassTable,
        invalidation_limits::InvalidationLimits,
        last_reasons::LastReasons,
        load_outcome::LoadOutcome,
        response::Names,
        uses::Uses,
    },
    clock,
    clock::Clock,
    cluster::{Cluster, client::Credentials},
    consistency::Consistency,
    http::byte_budget::ByteBudget,
    origin::{BadOrigin, ConnectionLimit, DynGetter, Origins},
    settings::Settings,
    store::{Store, usage::Usage},
    telemetry::metrics::Metrics,
};
use arc_swap::ArcSwap;
use http::StatusCode;
use meshcache_protocol::{Groups, Observer, observe};
use parking_lot::Mutex;
use std::sync::Arc;

/// Limits of flights and their waiters. Beyond them a question is declined, and a client gets 503.
const FLIGHTS: FlightLimits = FlightLimits { flights: 10_000, waiters: 100_000 };
/// The least budget of bodies on their way into the store, bytes. With a larger store it is a quarter of that. Bodies
/// beyond it pass.
const LEAST_BODY_BUDGET: u64 = 64 << 20;
/// The budget of requests that the store does not answer, with their heads and their connections to origins, bytes. The
/// resident memory is half as much again.
const HEAD_BUDGET: u64 = 80 << 20;
/// The most keys whose failures, or whose partial requests, are remembered.
const RECENT_KEYS: usize = 16_384;
/// The limits of what is remembered for groups that observe.
const OBSERVED: observe::Limits = observe::Limits { responses: 16_384, bytes: 16 << 20 };

/// The cache of one coordinator.
pub struct Cache {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// Flights that load from origins.
    pub(crate) loads: Flights<LoadOutcome>,
    /// Flights that ask other coordinators. They are kept apart from loads, so that a peer's question never waits for
    /// our question to that peer.
    pub(crate) peer_loads: Flights<LoadOutcome>,
    /// The loads that proxies fill.
    pub(crate) fills: Arc<Fills>,
    /// The loads that are offered to them.
    pub(crate) offers: Arc<Offers>,
    pub(crate) hit_for_pass: HitForPassTable,
    /// Why keys were not answered from the store, for administrators.
    pub(crate) last_reasons: LastReasons,
    /// The statuses of recent failures.
    pub(crate) failures: ExpiringLru<StatusCode>,
    /// Keys with a recent HEAD, conditional or range request from a proxy.
    pub(crate) partial_requests: ExpiringLru<()>,
    /// Requests of keys, in groups with `minUses`.
    pub(crate) uses: Uses,
    /// Memory for bodies on their way into the store.
    pub(crate) body_budget: Arc<ByteBudget>,
    /// Memory for the heads of requests in progress, and for passes.
    pub(crate) head_budget: Arc<ByteBudget>,
    pub(crate) invalidation_limits: InvalidationLimits,
    /// Responses that passed in groups that only observe.
    pub(crate) observed: Mutex<Observer>,
    /// The ring and the other coordinators.
    pub cluster: Arc<Cluster>,
    /// The purges that are known here.
    pub consistency: Arc<Consistency>,
    groups: ArcSwap<GroupTable>,
    reload_lock: Mutex<()>,
    origins: Origins,
    pub(crate) metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty cache with no groups and an empty ring.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (clock, numbers) = (Clock::new(), FlightNumbers::from(clock::wall()));
        let cluster = Cluster::new(&settings.me, clock, metrics.clone());
        Arc::new(Self {
            names: Names::new(&settings.installation),
            clock,
            store: Store::new(settings.store_bytes),
            loads: Flights::new(FLIGHTS, numbers.clone()),
            peer_loads: Flights::new(FLIGHTS, numbers),
            fills: Arc::default(),
            offers: Arc::default(),
            hit_for_pass: HitForPassTable::default(),
            last_reasons: LastReasons::default(),
            failures: ExpiringLru::new(RECENT_KEYS),
            partial_requests: ExpiringLru::new(RECENT_KEYS),
            uses: Uses::default(),
            head_budget: ByteBudget::new(HEAD_BUDGET),
            invalidation_limits: InvalidationLimits::default(),
            observed: Mutex::new(Observer::new(OBSERVED).keyed(crate::jitter::random())),
            cluster: cluster.clone(),
            consistency: Consistency::new(&settings.me, cluster),
            body_budget: ByteBudget::new((settings.store_bytes / 4).max(LEAST_BODY_BUDGET)),
            groups: ArcSwap::default(),
            reload_lock: Mutex::default(),
            origins: Origins::new(ConnectionLimit::of_process(metrics.clone())),
            settings,
            metrics,
        })
    }
}

impl Cache {
    /// Replaces the groups. Fails if a file of an origin cannot be used: then the old groups stay.
    pub fn set_groups(&self, groups: Arc<Groups>) -> Result<(), BadOrigin> {
        let _one_at_a_time = self.reload_lock.lock();
        let table = GroupTable::new(groups, &self.groups.load(), &self.store, &self.origins, &self.metrics)?;
        self.groups.store(Arc::new(table));
        Ok(())
    }

    /// Reads the files of origins again that have changed. It blocks while it reads.
    pub(crate) fn recheck_files(&self) {
        self.origins.recheck_files();
    }

    /// Sets the getter of a group that is added next. `bytes`: what the group may take of the store.
    pub(crate) fn set_getter(&self, group: &str, getter: Arc<dyn DynGetter>, bytes: u64) {
        self.origins.set_getter(group, getter, bytes);
    }

    /// The groups with all that serving them needs.
    pub(crate) fn group_table(&self) -> Arc<GroupTable> {
        self.groups.load_full()
    }

    /// The groups.
    pub fn groups(&self) -> Arc<Groups> {
        self.groups.load().groups.clone()
    }

    /// Sets the token for peers. `None`: no peer is asked, and all keys are loaded here.
    pub fn set_peer_token(&self, token: Option<String>) {
        self.set_peer_tokens(token.as_slice());
    }

    /// Sets the tokens for peers: the first is sent to them and marks purges; the marks of all tokens are accepted.
    pub fn set_peer_tokens(&self, tokens: &[String]) {
        self.cluster.peers.set_credentials(Credentials::of(tokens.first(), self.settings.peer_trust));
        self.consistency.set_tokens(tokens);
    }

    /// Returns the number of waiters, the bytes of bodies on their way into the store, and the bytes of requests under
    /// way.
    pub fn in_flight(&self) -> (usize, u64, u64) {
        (self.loads.waiters() + self.peer_loads.waiters(), self.body_budget.used(), self.head_budget.used())
    }

    /// Returns what each group stores, for gauges: of all groups what is no hot copy, then the hot copies.
    pub fn usage(&self) -> Vec<Usage> {
        self.store.usage()
    }
}

#[cfg(test)]
impl Cache {
    /// An empty cache with no groups and an empty ring.
    pub(crate) fn sample(me: &str, store_bytes: u64) -> Arc<Self> {
        let identity = crate::settings::Identity::None;
        Self::new(
            Settings {
                me: me.to_owned(),
                installation: "meshcache".into(),
                store_bytes,
                identity,
                peer_trust: crate::settings::PeerTrust::Token,
            },
            Metrics::new().unwrap(),
        )
    }
}
