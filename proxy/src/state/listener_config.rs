//! One listener's configuration, with the groups of the snapshot that it serves.

pub use crate::state::side::Side;

use crate::state::{hot_state::HotState, snapshot::Snapshot};
use arc_swap::{ArcSwap, Guard};
use meshcache_protocol::{Group, Groups, groups::Mode};
use serde::Deserialize;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The kind of the routes of listeners: their effect on a request on its way to the service. The filter
/// cannot see it: it decides before the routes apply, and coordinators load what the client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Routes {
    /// They change neither path nor host nor headers, of requests and of responses.
    #[default]
    Plain,
    /// They may change them. Nothing is answered, all is observed.
    Rewriting,
}

/// The check of a configured side against Envoy. Asking Envoy costs as much as the rest of a hot hit, so a configured
/// side is used while Envoy agrees: Envoy is asked at the first request and once a period.
#[derive(Debug)]
struct SideCheck {
    side: Side,
    /// Until when Envoy need not be asked again. 0: it was not asked yet.
    next: AtomicU64,
}

/// Stands in the place of a time: Envoy disagreed, and nothing is served.
const CONTRADICTED: u64 = u64::MAX;

/// The period of the check, milliseconds.
const SIDE_CHECK_PERIOD: u64 = 1000;

/// One configuration of the filter. Envoy may run it on both sides, and all threads share it.
#[derive(Debug)]
pub struct ListenerConfig {
    /// The only groups that are served. `None`: all, but only on the outbound side.
    group_names: Option<Vec<String>>,
    /// The proxy's namespace.
    namespace: Option<String>,
    routes: Routes,
    /// `None`: no side is configured, and Envoy is asked at each request.
    side: Option<SideCheck>,
    view: ArcSwap<View>,
}

/// What a listener serves of one snapshot.
#[derive(Debug, Default)]
struct View {
    /// The number of the snapshot in its [`HotState`].
    generation: u64,
    snapshot: Option<Arc<Snapshot>>,
    /// The groups of the snapshot that are served.
    groups: Groups,
}

/// A listener's configuration with the snapshot that is current at a request.
pub struct Listener<'a> {
    config: &'a ListenerConfig,
    view: Guard<Arc<View>>,
}

impl ListenerConfig {
    /// A configuration that names these groups and this side, in a proxy of this namespace.
    pub fn new(group_names: Option<Vec<String>>, side: Option<Side>, namespace: Option<String>) -> Self {
        let side = side.map(|side| SideCheck { side, next: AtomicU64::new(0) });
        Self { group_names, namespace, routes: Routes::Plain, side, view: ArcSwap::default() }
    }

    /// Replaces what the routes do.
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        Self { routes, ..self }
    }

    /// Returns the configuration with the current snapshot.
    pub fn current(&self, state: &HotState) -> Listener<'_> {
        let (view, generation) = (self.view.load(), state.generation());
        if view.generation == generation {
            return Listener { config: self, view };
        }
        let snapshot = state.snapshot();
        let groups = match (&snapshot, &self.group_names) {
            (None, _) => Groups::default(),
            (Some(snapshot), None) => snapshot.groups.clone(),
            (Some(snapshot), Some(names)) => snapshot.groups.only(names),
        };
        let view = Arc::new(View { generation, snapshot, groups });
        self.view.store(view.clone());
        Listener { config: self, view: Guard::from_inner(view) }
    }

    /// Returns the side of a request, after a check against Envoy where one is due. Returns `None` if the configured
    /// side is wrong.
    pub fn check_side(&self, now: u64, envoy: impl FnOnce() -> Side) -> Option<Side> {
        let Some(SideCheck { side, next }) = &self.side else { return Some(envoy()) };
        match next.load(Relaxed) {
            CONTRADICTED => None,
            next if now < next => Some(*side),
            _ => {
                let agrees = envoy() == *side;
                next.store(if agrees { now.saturating_add(SIDE_CHECK_PERIOD) } else { CONTRADICTED }, Relaxed);
                agrees.then_some(*side)
            }
        }
    }

    /// Returns whether the configured side turned out not to be the listener's.
    pub fn has_wrong_side(&self) -> bool {
        self.side.as_ref().is_some_and(|side| side.next.load(Relaxed) == CONTRADICTED)
    }
}

impl Listener<'_> {
    /// Returns the mode of a group here.
    pub fn mode(&self, group: &Group) -> Mode {
        match (group.config().mode, self.config.routes) {
            (Mode::On, Routes::Rewriting) => Mode::Observe,
            (mode, _) => mode,
        }
    }

    /// The namespace, for short service names.
    pub fn namespace(&self) -> Option<&str> {
        self.config.namespace.as_deref()
    }

    /// The number of the snapshot in its [`HotState`].
    pub fn generation(&self) -> u64 {
        self.view.generation
    }

    /// The snapshot, once the feed has brought one.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.view.snapshot.as_ref()
    }

    /// The groups that are served.
    pub fn groups(&self) -> &Groups {
        &self.view.groups
    }

    /// Returns whether the configuration names the groups that are served.
    pub fn names_groups(&self) -> bool {
        self.config.group_names.is_some()
    }

    /// The side of a request, as [`ListenerConfig::check_side`] finds it.
    pub fn check_side(&self, now: u64, envoy: impl FnOnce() -> Side) -> Option<Side> {
        self.config.check_side(now, envoy)
    }

    /// Until when a configured side need not be checked.
    pub fn side_holds_until(&self) -> u64 {
        self.config.side.as_ref().map_or(u64::MAX, |side| side.next.load(Relaxed))
    }

    /// Returns whether Envoy is asked for the side at each request.
    pub fn asks_side(&self) -> bool {
        self.config.side.is_none()
    }

    /// Returns whether groups are served on this side at all. Inbound only by name: by Host alone, a caller that one
    /// service refuses could get its responses from the proxy of another.
    pub fn serves(&self, side: Side) -> bool {
        self.names_groups() || side == Side::Outbound
    }
}
