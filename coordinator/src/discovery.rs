//! Who the other coordinators are: each way to know it makes rings, and one place takes them.

pub mod fixed;
pub mod kube;

use crate::{cache::Cache, metrics::Metrics};
use meshcache_protocol::{Peer, Ring};
use std::sync::Arc;

/// Takes the rings that discovery makes: the cache, the metrics, the feed and the log hear of each.
pub struct Rings {
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    changed: Box<dyn Fn() + Send + Sync>,
}

impl Rings {
    /// `changed` is called after each new ring.
    pub fn new(cache: Arc<Cache>, metrics: Arc<Metrics>, changed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { cache, metrics, changed: Box::new(changed) }
    }

    /// Takes a ring of these peers, if it is another one: a change that discovery has seen.
    pub fn take(&self, peers: Vec<Peer>) {
        if self.replace(peers) {
            self.metrics.discovery_events.inc();
        }
    }

    /// Takes a ring of these peers; whether it is another one.
    fn replace(&self, peers: Vec<Peer>) -> bool {
        let ring = Ring::new(peers);
        if ring == *self.cache.ring() {
            return false;
        }
        let names: Vec<&str> = ring.peers().iter().map(|peer| peer.name.as_str()).collect();
        tracing::info!(peers = names.join(","), version = format!("{:016x}", ring.version()), "ring");
        self.metrics.set_ring(&ring);
        self.cache.set_ring(Arc::new(ring));
        (self.changed)();
        true
    }
}
