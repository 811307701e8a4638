//! Announces this coordinator to its peers: that it joins, again and again, and that it leaves.

use crate::{
    cluster::{
        Cluster,
        announcements::{Announcement, INTERVAL, MAX_BYTES, MembershipEvent},
        membership::Membership,
    },
    http::{
        byte_budget::ByteBudget,
        capture::{CaptureOutcome, capture},
    },
    origin::{Failure, IdleTimeoutBody},
};
use meshcache_protocol::{Peer, paths};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// The time that a peer has to acknowledge an announcement.
const PATIENCE: Duration = Duration::from_secs(1);

/// Announces one coordinator.
pub(crate) struct Announcer {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) membership: Arc<Membership>,
    /// Memory for answers.
    pub(crate) bytes: Arc<ByteBudget>,
    /// This coordinator, where it listens.
    pub(crate) own: Peer,
    /// The names of the peers are fixed: no API shows that this one is ready.
    pub(crate) is_static: bool,
}

impl Announcer {
    /// Announces that this coordinator joins: to all peers where their names are fixed, and where an API shows which
    /// are ready only to those that it has covered for. Never ends.
    pub(crate) async fn join(self: &Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(INTERVAL));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.is_static {
                self.membership.record(self.own_peer(), MembershipEvent::Join);
            }
            let covered = self.cluster.covered_owners();
            // A peer that left may be back, and know this one by its announcement alone.
            let to = if self.is_static {
                self.membership.others()
            } else {
                self.others(|peer| covered.contains(&peer.name))
            };
            for peer in self.announce(MembershipEvent::Join, to, &covered).await {
                self.cluster.remove_covered_owner(&peer);
            }
        }
    }

    /// Leaves the ring, as this coordinator sees it.
    pub(crate) fn leave_ring(&self) {
        self.membership.record(self.own_peer(), MembershipEvent::Leave);
    }

    /// Announces that this coordinator leaves, again and again. Never ends.
    pub(crate) async fn leave(self: &Arc<Self>) {
        loop {
            self.leave_ring();
            self.announce(MembershipEvent::Leave, self.others(|_| true), &BTreeSet::new()).await;
            tokio::time::sleep(Duration::from_millis(INTERVAL)).await;
        }
    }

    /// Announces that this coordinator ends.
    pub(crate) async fn end(self: &Arc<Self>) {
        self.announce(MembershipEvent::End, self.others(|_| true), &BTreeSet::new()).await;
    }

    fn own_peer(&self) -> Peer {
        self.membership.discovered_self().unwrap_or_else(|| self.own.clone())
    }

    fn others(&self, condition: impl Fn(&Peer) -> bool) -> Vec<Peer> {
        let ring = self.cluster.ring();
        ring.peers().iter().filter(|peer| peer.name != self.own.name && condition(peer)).cloned().collect()
    }

    /// Announces an event to these peers at once. Returns those that acknowledged it.
    async fn announce(
        self: &Arc<Self>,
        event: MembershipEvent,
        to: Vec<Peer>,
        covered: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut calls = JoinSet::new();
        for peer in to {
            let announcement = Announcement {
                peer: self.own_peer(),
                event,
                covered: covered.contains(&peer.name),
                peer_list: self.membership.peer_list(),
            };
            // A list that makes it too long for a peer is left out.
            let whole = serde_json::to_vec(&announcement).ok().filter(|message| message.len() <= MAX_BYTES);
            let without_list = || serde_json::to_vec(&Announcement { peer_list: Vec::new(), ..announcement }).ok();
            let Some(message) = whole.or_else(without_list) else { continue };
            let announcer = self.clone();
            calls.spawn(async move {
                let (sent, peer) = (announcer.send(&peer, message).await, peer.name);
                sent.inspect_err(|failure| {
                    tracing::debug!(peer, reason = failure.label(), "announcement not delivered");
                })
                .is_ok()
                .then_some(peer)
            });
        }
        calls.join_all().await.into_iter().flatten().collect()
    }

    /// Sends an announcement to one peer. A peer that leaves answers with its own: a coordinator that has just joined
    /// does not know it yet.
    async fn send(&self, peer: &Peer, message: Vec<u8>) -> Result<(), Failure> {
        let answer = self.cluster.peers.post_to(peer, paths::ANNOUNCE, message, PATIENCE).await?;
        let body = IdleTimeoutBody::new(answer.into_body(), PATIENCE);
        if let CaptureOutcome::Whole(own) = capture(body, MAX_BYTES as u64, &mut self.bytes.reserve()).await
            && let Ok(own) = serde_json::from_slice::<Announcement>(&own)
            && own.peer.name == peer.name
            && own.problem().is_none()
        {
            self.membership.receive(&own);
        }
        Ok(())
    }
}
