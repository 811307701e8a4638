//! One listener's configuration, with the groups of the snapshot that it serves.

use crate::state::snapshot::Snapshot;
use meshcache_protocol::{Group, Groups, groups::Mode};
use serde::Deserialize;
use std::{cell::Cell, rc::Rc};

/// The side of a proxy. Hot entries and lookups of the two sides are separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Side {
    /// Requests of others to the application beside the proxy.
    Inbound,
    /// Requests to other services; a gateway's too.
    Outbound,
}

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

/// The state of the check of a configured side against Envoy. Asking Envoy costs as much as the rest of a hot hit, so a
/// configured side is used while Envoy agrees: Envoy is asked at the first request and once a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SideCheck {
    /// No side is configured. Envoy is asked at each request.
    Unspecified,
    /// The configuration names this side, and Envoy was not asked yet.
    Configured(Side),
    /// Envoy agreed at this time.
    Confirmed(Side, u64),
    /// Envoy disagreed. Nothing is served.
    Contradicted,
}

/// The period of the check, milliseconds.
const SIDE_CHECK_PERIOD: u64 = 1000;

/// One configuration of the filter. Envoy may run it on both sides.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The only groups that are served. `None`: all, but only on the outbound side.
    group_names: Option<Vec<String>>,
    /// The proxy's namespace.
    namespace: Option<String>,
    routes: Routes,
    side: Cell<SideCheck>,
    snapshot: Option<Rc<Snapshot>>,
    /// The groups of the snapshot that are served.
    groups: Groups,
}

impl ListenerConfig {
    /// A configuration that names these groups and this side, in a proxy of this namespace.
    pub fn new(group_names: Option<Vec<String>>, side: Option<Side>, namespace: Option<String>) -> Self {
        let side = Cell::new(side.map_or(SideCheck::Unspecified, SideCheck::Configured));
        Self { group_names, namespace, routes: Routes::Plain, side, snapshot: None, groups: Groups::default() }
    }

    /// Replaces what the routes do.
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        Self { routes, ..self }
    }

    /// Returns the mode of a group here.
    pub fn mode(&self, group: &Group) -> Mode {
        match (group.config().mode, self.routes) {
            (Mode::On, Routes::Rewriting) => Mode::Observe,
            (mode, _) => mode,
        }
    }

    /// The namespace, for short service names.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Takes the worker's current snapshot.
    pub fn update(&mut self, snapshot: Option<&Rc<Snapshot>>) {
        let is_same = match (&self.snapshot, snapshot) {
            (Some(old), Some(new)) => Rc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.snapshot = snapshot.cloned();
            self.groups = match (snapshot, &self.group_names) {
                (None, _) => Groups::default(),
                (Some(snapshot), None) => snapshot.groups.clone(),
                (Some(snapshot), Some(names)) => snapshot.groups.only(names),
            };
        }
    }

    /// The snapshot, once the feed has brought one.
    pub fn snapshot(&self) -> Option<&Rc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The groups that are served.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Returns whether the configuration names the groups that are served.
    pub fn names_groups(&self) -> bool {
        self.group_names.is_some()
    }

    /// Returns the side of a request, after a check against Envoy where one is due. Returns `None` if the configured
    /// side is wrong.
    pub fn check_side(&self, now: u64, envoy: impl FnOnce() -> Side) -> Option<Side> {
        match self.side.get() {
            SideCheck::Unspecified => Some(envoy()),
            SideCheck::Confirmed(side, at) if now < at.saturating_add(SIDE_CHECK_PERIOD) => Some(side),
            SideCheck::Configured(side) | SideCheck::Confirmed(side, _) => {
                let agrees = envoy() == side;
                self.side.set(if agrees { SideCheck::Confirmed(side, now) } else { SideCheck::Contradicted });
                agrees.then_some(side)
            }
            SideCheck::Contradicted => None,
        }
    }

    /// Returns whether the configured side turned out not to be the listener's.
    pub fn has_wrong_side(&self) -> bool {
        self.side.get() == SideCheck::Contradicted
    }

    /// Returns whether groups are served on this side at all. Inbound only by name: by Host alone, a caller that one
    /// service refuses could get its responses from the proxy of another.
    pub fn serves(&self, side: Side) -> bool {
        self.group_names.is_some() || side == Side::Outbound
    }
}
