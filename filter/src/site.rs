//! Where a request came in: one listener's configuration, and what its proxy is.

use crate::known::Known;
use meshcache_protocol::Groups;
use std::rc::Rc;

/// The side of a proxy. Hot entries and questions of the two are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    /// Requests of others to the application beside the proxy.
    Inbound,
    /// Requests to other services; a gateway's too.
    Outbound,
}

/// One configuration of the filter. Envoy may run it on both sides.
#[derive(Clone, Debug)]
pub struct Site {
    /// The only groups that are served; `None`: all, but on the outbound side only.
    wanted: Option<Vec<String>>,
    /// The proxy's namespace.
    namespace: Option<String>,
    known: Option<Rc<Known>>,
    served: Groups,
}

impl Site {
    /// A configuration that names these groups, in a proxy of this namespace.
    pub fn new(wanted: Option<Vec<String>>, namespace: Option<String>) -> Self {
        Self { wanted, namespace, known: None, served: Groups::default() }
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

    /// Whether groups are served on this side at all. Inbound only by name: by Host alone, a caller whom one service
    /// refuses could have its answers from the proxy of another.
    pub fn serves(&self, side: Side) -> bool {
        self.wanted.is_some() || side == Side::Outbound
    }
}
