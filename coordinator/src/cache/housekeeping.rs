//! Background work of the cache: frees what has expired, and notices that the process was suspended.

use crate::cache::state::Cache;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;

/// The time between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Frees what has expired, until the shutdown.
pub(crate) async fn run(cache: Arc<Cache>, shutdown: impl Future<Output = ()>) {
    let rounds = async {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = cache.clock.now();
        loop {
            ticks.tick().await;
            let paused = Duration::from_millis(cache.clock.now().saturating_sub(last));
            if paused > 2 * INTERVAL {
                tracing::warn!(?paused, "process was suspended: peers have answered for it");
                cache.cluster.missed_something();
            }
            last = cache.clock.now();
            cache.loading.expire();
            cache.asking.expire();
            for part in 0..cache.store.parts() {
                while cache.store.expire(part, cache.clock.now()) {
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    tokio::select! {
        () = rounds => {}
        () = shutdown => {}
    }
}
