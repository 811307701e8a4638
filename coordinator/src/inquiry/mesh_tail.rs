//! The requests of all coordinators as they end: what `GET /tail` writes.

use crate::inquiry::{Inquiry, NoAnswer, PATIENCE};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use meshcache_admin::{Ask, Filter, Tail, TailRequest};
use meshcache_protocol::Peer;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep},
};

/// Requests of a coordinator are asked for this long after the last ones: an answer has those of that time together.
const PAUSE: Duration = Duration::from_millis(100);
/// A coordinator that gave no answer is asked again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// How often coordinators are looked for that are new.
const RING: Duration = Duration::from_secs(1);
/// An empty line is written as often: a client that left is noticed, and one that reads is not taken for one that does
/// not.
const HEARTBEAT: Duration = Duration::from_secs(10);

type Asked = (Peer, Option<u64>, Result<Tail, NoAnswer>);

/// Lines of JSON, as coordinators tell them. Nothing is asked while nobody reads: what comes meanwhile is left out where
/// it is recorded.
pub(crate) struct MeshTail {
    inquiry: Arc<Inquiry>,
    filter: Filter,
    asking: FuturesUnordered<BoxFuture<'static, Asked>>,
    /// The coordinators that are asked.
    names: HashSet<String>,
    stopped: watch::Receiver<bool>,
    heartbeat: Interval,
    ring: Interval,
}

impl MeshTail {
    /// Begins a tail: when this returns, all coordinators that answer record. Fails where this one does not.
    pub(crate) async fn begin(inquiry: Arc<Inquiry>, filter: Filter) -> Result<Self, NoAnswer> {
        let first = inquiry.ask_all::<Tail>(&Ask::Tail(TailRequest { filter: filter.clone(), after: None })).await;
        let every = |time| {
            let mut interval = interval_at(Instant::now() + time, time);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut tail = Self {
            stopped: inquiry.live.stopped(),
            inquiry,
            filter,
            asking: FuturesUnordered::new(),
            names: HashSet::new(),
            heartbeat: every(HEARTBEAT),
            ring: every(RING),
        };
        for (peer, answer) in first {
            let answer = if peer.name == tail.inquiry.me { Ok(answer?) } else { answer };
            tail.names.insert(peer.name.clone());
            match answer {
                Ok(Tail { next, .. }) => tail.ask(peer, Some(next), Duration::ZERO),
                Err(_) => tail.ask(peer, None, RETRY),
            }
        }
        Ok(tail)
    }

    /// Returns the next lines; none: the process stops.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = async { drop(self.stopped.wait_for(|stopped| *stopped).await) } => return None,
                Some(asked) = self.asking.next(), if !self.asking.is_empty() => {
                    if let Some(lines) = self.take(asked) {
                        return Some(lines);
                    }
                }
                _ = self.ring.tick() => self.find_new(),
                _ = self.heartbeat.tick() => return Some(Bytes::from_static(b"\n")),
            }
        }
    }

    /// Takes an answer, and asks again.
    fn take(&mut self, (peer, after, answer): Asked) -> Option<Bytes> {
        let is_there = peer.name == self.inquiry.me || self.inquiry.cache.cluster.ring().peer(&peer.name).is_some();
        let (after, pause, ended) = match answer {
            Ok(Tail { ended, next }) if ended.is_empty() => (Some(next), Duration::ZERO, ended),
            Ok(Tail { ended, next }) => (Some(next), PAUSE, ended),
            Err(_) => (after, RETRY, Vec::new()),
        };
        if is_there {
            self.ask(peer, after, pause);
        } else {
            self.names.remove(&peer.name);
        }
        let mut lines = Vec::new();
        for request in &ended {
            if let Ok(line) = serde_json::to_vec(request) {
                lines.extend(line);
                lines.push(b'\n');
            }
        }
        (!lines.is_empty()).then(|| lines.into())
    }

    /// Asks coordinators that joined.
    fn find_new(&mut self) {
        for peer in self.inquiry.cache.cluster.ring().peers() {
            if self.names.insert(peer.name.clone()) {
                self.ask(peer.clone(), None, Duration::ZERO);
            }
        }
    }

    fn ask(&self, peer: Peer, after: Option<u64>, pause: Duration) {
        let (inquiry, filter) = (self.inquiry.clone(), self.filter.clone());
        self.asking.push(Box::pin(async move {
            sleep(pause).await;
            let answer = inquiry.ask(&peer, &Ask::Tail(TailRequest { filter, after }), PATIENCE).await;
            (peer, after, answer)
        }));
    }
}
