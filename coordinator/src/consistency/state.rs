//! What was purged, as it is known here, and whether that is all.

use crate::{
    cluster::ring::Cluster,
    consistency::{lease::Lease, marks::Marker, purge_log::History},
};
use arc_swap::ArcSwap;
use std::sync::{Arc, atomic::AtomicU64};
use tokio::sync::watch;

/// What was purged, as it is known here, and whether that is all.
pub struct Consistency {
    pub(crate) me: String,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) history: History,
    pub(crate) lease: Lease,
    /// Makes the marks of purges, and tells right ones.
    pub(crate) marker: ArcSwap<Marker>,
    /// Lets peers be asked now what they have purged.
    pub(crate) wake: watch::Sender<()>,
    /// Told when a peer has answered that, and all was carried out.
    pub(crate) caught_up: watch::Sender<()>,
    /// When a request last waited for that in vain.
    pub(crate) waited: AtomicU64,
}

impl Consistency {
    /// Nothing was purged yet. `me`: this coordinator's name in the ring.
    pub(crate) fn new(me: &str, cluster: Arc<Cluster>) -> Arc<Self> {
        Arc::new(Self {
            me: me.to_owned(),
            cluster,
            history: History::new(me),
            lease: Lease::default(),
            marker: ArcSwap::default(),
            wake: watch::channel(()).0,
            caught_up: watch::channel(()).0,
            waited: AtomicU64::new(0),
        })
    }
}
