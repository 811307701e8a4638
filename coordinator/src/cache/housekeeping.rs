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
                cache.cluster.record_absence();
            }
            last = cache.clock.now();
            cache.loads.expire();
            cache.peer_loads.expire();
            for part in 0..cache.store.shard_count() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::test_peers::{HOUR, NOW, cache, key, set_ring, stop_time, store, until},
        clock::simulated,
    };
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_has_expired_is_freed_within_a_second_until_the_shutdown() {
        let _stopped = stop_time();
        let cache = cache("me", 1 << 20, "http://127.0.0.1:1");
        let (shutdown, ends) = oneshot::channel::<()>();
        let housekeeping = tokio::spawn(run(cache.clone(), async move { drop(ends.await) }));
        let items = || cache.usage()[0].items;
        store(&cache, "/old", "old", HOUR - 1000);
        store(&cache, "/new", "new", 0);
        tokio::time::advance(2 * INTERVAL).await;
        assert_eq!(items(), 2);
        simulated::set(NOW + 2000);
        tokio::time::advance(2 * INTERVAL).await;
        until("the old one is freed", || items() == 1).await;
        shutdown.send(()).unwrap();
        housekeeping.await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_was_suspended_asks_the_peers_that_answered_for_it() {
        let _stopped = stop_time();
        let cache = cache("me", 1 << 20, "http://127.0.0.1:1");
        let nowhere = "127.0.0.1:1".parse().unwrap();
        set_ring(&[&cache], &[("me", nowhere), ("peer", nowhere)]);
        let previous_since = |since| {
            let hash = key(&cache, "/a").hash();
            cache.cluster.previous_owners(hash, Some(since))
        };
        tokio::spawn(run(cache.clone(), std::future::pending()));
        for (now, previous) in [(0, &[][..]), (2000, &[]), (60_000, &["peer".to_owned()])] {
            let before = cache.clock.now();
            simulated::set(NOW + now);
            tokio::time::advance(2 * INTERVAL).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(previous_since(before), previous, "after {now} ms");
        }
    }
}
