//! The warm hand-over: a coordinator that leaves sends its entries to their next owners, the most used first, with one
//! message in flight to each.

#[cfg(test)]
mod tests;

use crate::{
    cache::{
        state::Cache,
        transfer::{self, MESSAGE, PATIENCE},
        transfer_report::TransferReport,
    },
    http::capture::{CaptureOutcome, capture},
    origin::{Failure, IdleTimeoutBody},
    store::RankedKey,
};
use meshcache_protocol::{frame, paths};
use std::{collections::HashMap, sync::Arc};
use tokio::{sync::Semaphore, task::JoinSet};

/// The most messages in flight at once, to all receivers together.
const MESSAGES: usize = 8;
/// The longest report that is read, bytes.
const REPORT: u64 = 64 * 1024;

/// Sends all entries to their owners in the ring, which this coordinator has left. A peer that fails or is full is sent
/// no more.
pub(crate) async fn run(cache: &Arc<Cache>) -> TransferReport {
    let ring = cache.cluster.ring();
    let mut queues: HashMap<String, Vec<RankedKey>> = HashMap::new();
    for place in cache.store.keys_by_use() {
        if let Some(owner) = ring.owner(place.hash).filter(|owner| owner.name != cache.settings.me) {
            queues.entry(owner.name.clone()).or_default().push(place);
        }
    }
    let (permits, mut senders) = (Arc::new(Semaphore::new(MESSAGES)), JoinSet::new());
    for (peer, places) in queues {
        let (cache, permits) = (cache.clone(), permits.clone());
        senders.spawn(async move { send_all(&cache, &peer, places, &permits).await });
    }
    let mut total = TransferReport::default();
    // Dropped when the time is over, it ends the senders.
    while let Some(report) = senders.join_next().await {
        total.add(report.unwrap_or_default());
    }
    total
}

/// Sends the entries of these keys to one peer, one message after another.
async fn send_all(cache: &Cache, peer: &str, places: Vec<RankedKey>, permits: &Semaphore) -> TransferReport {
    let mut total = TransferReport::default();
    let mut left = places.into_iter().peekable();
    while left.peek().is_some() {
        let Ok(_permit) = permits.acquire().await else { break };
        let mut message = frame::new_message(&cache.consistency.position());
        while message.len() < MESSAGE
            && let Some(place) = left.next()
        {
            write_place(cache, &place, &mut message);
        }
        match send(cache, peer, message).await {
            Ok(report) => {
                let is_full = report.is_full();
                cache.metrics.count_pushed(report.by_outcome());
                total.add(report);
                if is_full {
                    break;
                }
            }
            Err(failure) => {
                tracing::warn!(peer, reason = failure.label(), keys = left.len(), "entries not handed over");
                break;
            }
        }
    }
    total
}

fn write_place(cache: &Cache, place: &RankedKey, message: &mut Vec<u8>) {
    let rules = cache.group_table();
    let Some((key, entries, used)) = cache.store.entries_of(place, cache.clock.now()) else { return };
    if let Some(served) = key.parts().and_then(|parts| rules.named(parts.group)) {
        transfer::write(cache, &key, &entries, used, served.group.digest(), message);
    }
}

/// Sends one message to a peer. Returns what became of its entries.
pub(crate) async fn send(cache: &Cache, peer: &str, message: Vec<u8>) -> Result<TransferReport, Failure> {
    let response = cache.cluster.peers.post(peer, paths::PUSH, message, PATIENCE).await?;
    let CaptureOutcome::Whole(report) =
        capture(IdleTimeoutBody::new(response.into_body(), PATIENCE), REPORT, &mut cache.body_budget.reserve()).await
    else {
        return Err(Failure::IncompleteBody);
    };
    serde_json::from_slice(&report).map_err(|_| Failure::BadResponse)
}
