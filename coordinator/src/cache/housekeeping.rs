//! What the cache does unasked: it frees what has expired, and notices when it slept.

use crate::cache::state::Cache;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;

/// How often.
const SWEEP: Duration = Duration::from_secs(1);

impl Cache {
    /// Frees what has expired, until the shutdown.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let sweeps = async {
            let mut ticks = tokio::time::interval(SWEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = self.clock.now();
            loop {
                ticks.tick().await;
                let slept = Duration::from_millis(self.clock.now().saturating_sub(last));
                if slept > 2 * SWEEP {
                    tracing::warn!(?slept, "this process did not run: others have answered for it");
                    self.cluster.record_absence();
                }
                last = self.clock.now();
                self.loads.expire();
                self.peer_loads.expire();
                for part in 0..self.store.shard_count() {
                    while self.store.expire(part, self.clock.now()) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        };
        tokio::select! {
            () = sweeps => {}
            () = shutdown => {}
        }
    }
}
