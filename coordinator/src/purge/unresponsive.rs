//! The peers that neither answer nor refuse, each logged once when it becomes so and once when it no longer is.

use crate::telemetry::metrics::Metrics;
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};

/// The unresponsive peers, by name.
pub(super) struct UnresponsivePeers {
    names: Mutex<BTreeSet<String>>,
    metrics: Arc<Metrics>,
}

impl UnresponsivePeers {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { names: Mutex::default(), metrics }
    }

    pub(super) fn contains(&self, peer: &str) -> bool {
        self.names.lock().contains(peer)
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.names.lock().clone()
    }

    /// Records that a peer neither answers nor refuses.
    pub(super) fn mark(&self, peer: &str, why: &str) {
        self.change(|names| {
            if names.insert(peer.to_owned()) {
                tracing::warn!(peer, error = why, "peer unresponsive: its purges cannot be confirmed");
            }
        });
    }

    /// Records that a peer answers or refuses.
    pub(super) fn clear(&self, peer: &str, how: &str) {
        self.change(|names| {
            if names.remove(peer) {
                tracing::info!(peer, how, "peer no longer unresponsive");
            }
        });
    }

    /// Forgets the peers that are not to be kept.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.change(|names| names.retain(|name| keep(name)));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut names = self.names.lock();
        change(&mut names);
        self.metrics.unresponsive_peers.set(i64::try_from(names.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_unresponsive_until_it_answers_or_leaves_the_ring() {
        let metrics = Metrics::new().unwrap();
        let peers = UnresponsivePeers::new(metrics.clone());
        for peer in ["b", "b", "c"] {
            peers.mark(peer, "no answer in time");
        }
        assert_eq!((peers.names().len(), metrics.unresponsive_peers.get()), (2, 2));
        peers.clear("b", "it answers");
        assert!(!peers.contains("b") && peers.contains("c"));
        peers.retain(|name| name != "c");
        assert_eq!((peers.names().len(), metrics.unresponsive_peers.get()), (0, 0));
    }
}
