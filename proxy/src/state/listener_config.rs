//! Where a request came in: one listener's configuration, and what its proxy is.

use crate::state::snapshot::Known;
use meshcache_protocol::{Group, Groups, groups::Mode};
use serde::Deserialize;
use std::{cell::Cell, rc::Rc};

/// The side of a proxy. Hot entries and questions of the two are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Side {
    /// Requests of others to the application beside the proxy.
    Inbound,
    /// Requests to other services; a gateway's too.
    Outbound,
}

/// What the routes of the listeners that have a configuration do with a request on its way to the service. The filter
/// is not told: it decides before they do, and coordinators load what the client wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Routes {
    /// They change neither path nor host nor headers, of requests and of responses.
    #[default]
    Plain,
    /// They may: nothing is answered, all is observed.
    Rewriting,
}

/// What is known of the side that a configuration's requests come in on. Envoy's word costs as much as all else that a
/// hot answer needs of it; so a configuration may say it, and is believed while Envoy agrees: it is asked about the
/// first request, and once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sided {
    /// Envoy is asked for each request.
    Unsaid,
    /// The configuration says so.
    Said(Side),
    /// Envoy has said the same, at this moment.
    Confirmed(Side, u64),
    /// Envoy has said otherwise: nothing is served.
    Refuted,
}

/// How long Envoy's word about the side counts, milliseconds.
const CONFIRMED: u64 = 1000;

/// One configuration of the filter. Envoy may run it on both sides.
#[derive(Clone, Debug)]
pub struct Site {
    /// The only groups that are served; `None`: all, but on the outbound side only.
    wanted: Option<Vec<String>>,
    /// The proxy's namespace.
    namespace: Option<String>,
    routes: Routes,
    sided: Cell<Sided>,
    known: Option<Rc<Known>>,
    served: Groups,
}

impl Site {
    /// A configuration that names these groups and this side, in a proxy of this namespace.
    pub fn new(wanted: Option<Vec<String>>, side: Option<Side>, namespace: Option<String>) -> Self {
        let sided = Cell::new(side.map_or(Sided::Unsaid, Sided::Said));
        Self { wanted, namespace, routes: Routes::Plain, sided, known: None, served: Groups::default() }
    }

    /// The same with routes of this kind.
    #[must_use]
    pub fn routed(self, routes: Routes) -> Self {
        Self { routes, ..self }
    }

    /// What a group does here.
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

    /// Takes over what the worker knows.
    pub fn learn(&mut self, known: Option<&Rc<Known>>) {
        let same = match (&self.known, known) {
            (Some(old), Some(new)) => Rc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.known = known.cloned();
            self.served = match (known, &self.wanted) {
                (None, _) => Groups::default(),
                (Some(known), None) => known.groups.clone(),
                (Some(known), Some(names)) => known.groups.only(names),
            };
        }
    }

    /// What the feed told, once it did.
    pub fn known(&self) -> Option<&Rc<Known>> {
        self.known.as_ref()
    }

    /// The groups that may be served.
    pub fn served(&self) -> &Groups {
        &self.served
    }

    /// Whether the configuration names the groups that are served.
    pub fn names_groups(&self) -> bool {
        self.wanted.is_some()
    }

    /// The side that a request came in on; `envoy`: what Envoy says. `None`: the configuration says another one.
    pub fn side(&self, now: u64, envoy: impl FnOnce() -> Side) -> Option<Side> {
        match self.sided.get() {
            Sided::Unsaid => Some(envoy()),
            Sided::Confirmed(side, at) if now < at.saturating_add(CONFIRMED) => Some(side),
            Sided::Said(side) | Sided::Confirmed(side, _) => {
                let agreed = envoy() == side;
                self.sided.set(if agreed { Sided::Confirmed(side, now) } else { Sided::Refuted });
                agreed.then_some(side)
            }
            Sided::Refuted => None,
        }
    }

    /// Whether the configuration names a side that is not the listener's.
    pub fn is_refuted(&self) -> bool {
        self.sided.get() == Sided::Refuted
    }

    /// Whether groups are served on this side at all. Inbound only by name: by Host alone, a caller whom one service
    /// refuses could have its answers from the proxy of another.
    pub fn serves(&self, side: Side) -> bool {
        self.wanted.is_some() || side == Side::Outbound
    }
}
