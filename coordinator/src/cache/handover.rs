//! A coordinator that leaves gives its entries to their next owners: the most used first, one message under way to
//! each.

use crate::{
    cache::{
        state::Cache,
        transfer::Comes,
        transfer_report::{Refused, Report},
    },
    consistency::catch_up::Claim,
    http::capture::{CaptureOutcome, capture},
    origin::{Failure, IdleTimeoutBody},
    store::RankedKey,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use meshcache_protocol::{
    Key,
    frame::{self, BadFrame},
    paths,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

/// A message is sent once it is so long: a receiver has as much under way, or one entry that is larger.
const MESSAGE: usize = 1 << 20;
/// Messages under way at once, whatever the number of receivers.
const AT_ONCE: usize = 8;
/// How long a receiver may take for one message.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest report.
const REPORT: u64 = 64 * 1024;

impl Cache {
    /// Gives all entries to their owners in the ring, in which this coordinator is no more. Whoever fails, or is full,
    /// gets no more of them.
    pub(crate) async fn hand_over(self: &Arc<Self>) -> Report {
        let ring = self.cluster.ring();
        let mut queues: HashMap<String, Vec<RankedKey>> = HashMap::new();
        for place in self.store.keys_by_use() {
            if let Some(owner) = ring.owner(place.hash).filter(|owner| owner.name != self.settings.me) {
                queues.entry(owner.name.clone()).or_default().push(place);
            }
        }
        let (seats, mut pushes) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        for (peer, places) in queues {
            let (cache, seats) = (self.clone(), seats.clone());
            pushes.spawn(async move { cache.push_all(&peer, places, &seats).await });
        }
        let mut all = Report::default();
        // Dropped when time is over, it drops the pushes.
        while let Some(one) = pushes.join_next().await {
            all.add(one.unwrap_or_default());
        }
        all
    }

    async fn push_all(&self, peer: &str, places: Vec<RankedKey>, seats: &Semaphore) -> Report {
        let mut all = Report::default();
        let mut left = places.into_iter().peekable();
        while left.peek().is_some() {
            let Ok(_seat) = seats.acquire().await else { break };
            let mut message = frame::new_message(&self.consistency.position());
            while message.len() < MESSAGE
                && let Some(place) = left.next()
            {
                self.write_place(&place, &mut message);
            }
            match self.push(peer, message).await {
                Ok(report) => {
                    let is_full = report.is_full();
                    self.metrics.count_pushed(report.outcomes());
                    all.add(report);
                    if is_full {
                        break;
                    }
                }
                Err(failure) => {
                    tracing::warn!(peer, reason = failure.label(), keys = left.len(), "entries are not handed over");
                    break;
                }
            }
        }
        all
    }

    fn write_place(&self, place: &RankedKey, message: &mut Vec<u8>) {
        let rules = self.group_table();
        let Some((key, entries, used)) = self.store.entries_of(place, self.clock.now()) else { return };
        if let Some(served) = key.parts().and_then(|parts| rules.named(parts.group)) {
            self.write_frames(&key, &entries, used, served.group.digest(), message);
        }
    }

    async fn push(&self, peer: &str, message: Vec<u8>) -> Result<Report, Failure> {
        let response = self.cluster.peers.post(peer, paths::PUSH, message, PATIENCE).await?;
        let CaptureOutcome::Whole(report) =
            capture(IdleTimeoutBody::new(response.into_body(), PATIENCE), REPORT, &mut self.body_budget.reserve())
                .await
        else {
            return Err(Failure::IncompleteBody);
        };
        serde_json::from_slice(&report).map_err(|_| Failure::BadResponse)
    }

    /// Takes what another coordinator hands over. `began`: when its message began to come, by the cache's clock.
    pub(crate) async fn receive(&self, message: &[u8], began: u64) -> Result<Report, BadFrame> {
        let (there, frames) = frame::read(message)?;
        // Who sends may have heard of purges that are news here.
        let is_sure = self.consistency.catch_up(Claim::Peer(&there.to_string())).await;
        let there = Arc::new(there);
        let rules = self.group_table();
        let late = self.clock.now().saturating_sub(began);
        let mut report = Report::default();
        for frame in &frames {
            let key = Key::from_bytes(frame.key.to_vec());
            let taken = match key.parts().map(|parts| rules.named(parts.group)) {
                Some(Some(_)) if !is_sure => Err(Refused::Purged),
                Some(Some(served)) => self.take_in(
                    served,
                    &self.store.begin(key.clone(), self.consistency.position()),
                    frame,
                    late,
                    &there,
                    Comes::Pushed,
                ),
                Some(None) => Err(Refused::Rules),
                None => Err(Refused::Broken),
            };
            match taken {
                Ok(()) => report.taken += 1,
                Err(refused) => report.refuse(refused.label()),
            }
        }
        self.metrics.count_received(report.outcomes());
        Ok(report)
    }
}

/// Reads a message to its end; `None`: it is too long, or broke off, or paused for too long.
pub(crate) async fn whole(body: Incoming) -> Option<Vec<u8>> {
    let limited = http_body_util::Limited::new(body, frame::MAX_FRAME + MESSAGE);
    let collected = tokio::time::timeout(PATIENCE, limited.collect()).await.ok()?.ok()?;
    Some(collected.to_bytes().into())
}
