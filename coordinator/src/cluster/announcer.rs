//! What this coordinator says of itself to the others: that it is there, again and again, and that it leaves.

use crate::{
    cluster::{
        announcements::{AGAIN, Does, LONGEST, Word},
        membership::Rings,
        ring::Cluster,
    },
    http::{
        byte_budget::ByteBudget,
        capture::{CaptureOutcome, capture},
    },
    origin::{Failure, IdleTimeoutBody},
};
use meshcache_protocol::{Peer, wire};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How long a peer may take to hear a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says words for one coordinator.
pub(crate) struct Words {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) rings: Arc<Rings>,
    /// Memory for answers.
    pub(crate) bytes: Arc<ByteBudget>,
    /// Where it listens.
    pub(crate) own: Peer,
    /// The names are fixed: nobody else ever tells that it is there.
    pub(crate) fixed: bool,
}

impl Words {
    /// Says that it is there: among fixed names to all, where an API tells who is ready only to those who have answered
    /// for its keys. Never ends.
    pub(crate) async fn come(self: &Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(AGAIN));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.fixed {
                self.rings.note(self.me(), Does::Join);
            }
            let stood_in = self.cluster.stood_in.lock().clone();
            // Who left may be back, and know of this one by its own word alone.
            let to = if self.fixed { self.rings.others() } else { self.others(|peer| stood_in.contains(&peer.name)) };
            for peer in self.say(Does::Join, to, &stood_in).await {
                self.cluster.stood_in.lock().remove(&peer);
            }
        }
    }

    /// Leaves the ring, as this coordinator sees it.
    pub(crate) fn leave_ring(&self) {
        self.rings.note(self.me(), Does::Leave);
    }

    /// Says that it leaves, again and again. Never ends.
    pub(crate) async fn go_on_leaving(self: &Arc<Self>) {
        loop {
            self.leave_ring();
            self.say(Does::Leave, self.others(|_| true), &BTreeSet::new()).await;
            tokio::time::sleep(Duration::from_millis(AGAIN)).await;
        }
    }

    /// Says that it answers no more.
    pub(crate) async fn end(self: &Arc<Self>) {
        self.say(Does::End, self.others(|_| true), &BTreeSet::new()).await;
    }

    fn me(&self) -> Peer {
        self.rings.discovered().unwrap_or_else(|| self.own.clone())
    }

    fn others(&self, are: impl Fn(&Peer) -> bool) -> Vec<Peer> {
        self.cluster.ring().peers().iter().filter(|peer| peer.name != self.own.name && are(peer)).cloned().collect()
    }

    /// Says it to all of them at once. Those who have heard it.
    async fn say(self: &Arc<Self>, does: Does, to: Vec<Peer>, stood_in: &BTreeSet<String>) -> Vec<String> {
        let mut calls = JoinSet::new();
        for peer in to {
            let word =
                Word { peer: self.me(), does, stood_in: stood_in.contains(&peer.name), list: self.rings.own_list() };
            // A list that makes it longer than a peer takes is left out.
            let whole = serde_json::to_vec(&word).ok().filter(|word| word.len() <= LONGEST);
            let Some(word) = whole.or_else(|| serde_json::to_vec(&Word { list: Vec::new(), ..word }).ok()) else {
                continue;
            };
            let words = self.clone();
            calls.spawn(async move {
                let (heard, peer) = (words.tell(&peer, word).await, peer.name);
                heard
                    .inspect_err(|failure| tracing::debug!(peer, reason = failure.label(), "word not heard"))
                    .is_ok()
                    .then_some(peer)
            });
        }
        calls.join_all().await.into_iter().flatten().collect()
    }

    /// Tells one peer. If that one leaves it answers so: who has just come has not heard it yet.
    async fn tell(&self, peer: &Peer, word: Vec<u8>) -> Result<(), Failure> {
        let answer = self.cluster.peers.say(peer, wire::WORD_PATH, word, PATIENCE).await?;
        let body = IdleTimeoutBody::new(answer.into_body(), PATIENCE);
        if let CaptureOutcome::Whole(own) = capture(body, LONGEST as u64, &mut self.bytes.reserve()).await
            && let Ok(own) = serde_json::from_slice::<Word>(&own)
            && own.peer.name == peer.name
            && own.problem().is_none()
        {
            self.rings.hear(&own);
        }
        Ok(())
    }
}
