//! The groups with what each needs to be served: its origin, its share of the store, its places for loads, its metrics.

use crate::{
    cache::{load_limit::Room, not_passed::Held},
    origin::{BadCa, Clients, Origin, Outages},
    store::{Share, Store},
    telemetry::metrics::{GroupMetrics, Metrics},
};
use meshcache_protocol::{Group, Groups};
use std::sync::Arc;
use tokio::time::Instant;

/// One group, ready to be served.
pub(crate) struct Served {
    pub(crate) group: Arc<Group>,
    pub(crate) metrics: Arc<GroupMetrics>,
    pub(crate) share: Arc<Share>,
    pub(crate) origin: Origin,
    /// `maxLoads` places.
    pub(crate) room: Arc<Room>,
    /// What is remembered of its origin's failures.
    pub(crate) outages: Arc<Outages>,
    /// When it was last said that clients' requests are not sent on.
    pub(crate) held: Held,
}

impl Served {
    /// When a plain client has waited long enough for a flight: a load's head has arrived by then or has timed out. A
    /// flight that follows another may take twice as long.
    pub(crate) fn flight_deadline(&self, follows: bool) -> Instant {
        let loads = if follows { 2 } else { 1 };
        Instant::now() + loads * self.origin.timeout() + 3 * self.group.config().patience.duration()
    }
}

/// All groups, ready to be served.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) groups: Arc<Groups>,
    served: Vec<Arc<Served>>,
}

impl Rules {
    /// Takes over from `before` the places of loads that are under way, and what is known of origins that stay.
    pub(crate) fn new(
        groups: Arc<Groups>,
        before: &Self,
        store: &Store,
        clients: &Clients,
        metrics: &Metrics,
    ) -> Result<Self, BadCa> {
        let origins = clients.origins(&groups, metrics)?;
        let limits: Vec<_> =
            groups.iter().map(|group| (group.name(), group.config().limits.bytes.of(store.limit()))).collect();
        let shares = store.shares(&limits);
        let served = groups.iter().zip(origins).zip(shares).map(|((group, origin), share)| {
            let most = group.config().origin.max_loads;
            let same =
                |old: &&Arc<Served>| old.group.name() == group.name() && old.group.config().origin.max_loads == most;
            let metrics = metrics.group(group.name());
            let new = || Arc::new(Room::new(most, metrics.loading.clone(), metrics.waiting.clone()));
            let room = before.served.iter().find(same).map_or_else(new, |old| old.room.clone());
            let there = |old: &&Arc<Served>| {
                old.group.name() == group.name() && old.group.config().origin.url == group.config().origin.url
            };
            let outages = before.served.iter().find(there).map_or_else(Arc::default, |old| old.outages.clone());
            Arc::new(Served { group: group.clone(), metrics, share, origin, room, outages, held: Held::default() })
        });
        Ok(Self { served: served.collect(), groups: groups.clone() })
    }

    /// The group of this name, ready to be served.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Served>> {
        self.served.iter().find(|served| served.group.name() == name)
    }

    /// A group of [`Rules::groups`], ready to be served.
    pub(crate) fn served(&self, group: &Arc<Group>) -> Option<&Arc<Served>> {
        self.served.iter().find(|served| Arc::ptr_eq(&served.group, group))
    }
}
