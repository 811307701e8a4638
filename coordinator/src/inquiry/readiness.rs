//! Whether this coordinator is ready: what the status port and administrators are told.

use crate::{cache::state::Cache, kube::KubeDiscovery};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What readiness depends on.
#[derive(Clone)]
pub struct Readiness {
    /// The cache, for its members and its lease.
    pub cache: Arc<Cache>,
    /// Discovery by the Kubernetes API, where it is in use.
    pub kube: Option<KubeDiscovery>,
    /// Whether the process is about to stop.
    pub stopping: Arc<AtomicBool>,
}

impl Readiness {
    /// Returns the text of /readyz. The error says what is missing.
    pub(crate) fn check(&self) -> Result<String, String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("stopping".into());
        }
        let gossiper = self.cache.cluster.gossiper();
        let of_gossip = gossiper.map(|gossiper| gossiper.readiness(self.cache.consistency.holds_lease()));
        self.kube.as_ref().map(KubeDiscovery::readiness).or(of_gossip).unwrap_or_else(|| Ok("ready".into()))
    }
}
