//! How a coordinator, or a library's node, leaves the ring: its entries go to their next owners, and it goes on as
//! before until the others know.

use crate::{
    cache::{handover, state::Cache},
    cluster::announcer::Announcer,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

/// The shortest time for which a coordinator goes on as before after it has announced that it leaves: proxies learn of
/// it at their workers' next tick.
const LINGER: Duration = Duration::from_millis(500);
/// The part of the time in which entries may be handed over.
const HAND_OVER_SHARE: f64 = 0.8;

/// Leaves the ring, if there are others in it, and hands over. `limit`: the time for all of the departure. Returns the
/// announcing, which goes on until it is aborted.
pub(crate) async fn leave(cache: &Arc<Cache>, announcer: &Arc<Announcer>, limit: Duration) -> Option<JoinHandle<()>> {
    let (begun, me) = (Instant::now(), &announcer.own.name);
    if !cache.cluster.peers.has_token() || cache.cluster.ring().peers().iter().all(|peer| peer.name == *me) {
        return None;
    }
    // Out of the ring before the next owners are looked up. Peers that are slow to acknowledge it are not waited for.
    announcer.leave_ring();
    let announcing = tokio::spawn({
        let announcer = announcer.clone();
        async move { announcer.leave().await }
    });
    let until = begun + limit.mul_f64(HAND_OVER_SHARE);
    let (handed_over, ()) = tokio::join!(timeout_at(until, handover::run(cache)), sleep(LINGER.min(limit)));
    match handed_over {
        Ok(report) => {
            tracing::info!(taken = report.taken, refused = ?report.refused, took = ?begun.elapsed(), "handed over")
        }
        Err(_) => tracing::warn!("not everything was handed over in time"),
    }
    Some(announcing)
}
