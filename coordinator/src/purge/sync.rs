//! Listens to the other coordinators: each is asked again and again what it has heard of purges, so that who missed one
//! catches up before it answers, and who hears nobody knows it.

use crate::{
    clock,
    consistency::{
        lease::{LAST, Renewal},
        messages::Answer,
    },
    purge::{
        Purger,
        connection::{Line, Unheard},
    },
};
use meshcache_protocol::{Hash, Peer, paths};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// How often a peer is asked: three times while an answer is good for. With more than a hundred peers less often, so
/// that a coordinator asks 250 questions a second, and a thousand with more than a thousand peers: that an answer is
/// lost matters less, as most of them are enough.
pub(crate) fn beat(ring: usize) -> Duration {
    Duration::from_millis(u64::try_from(ring).unwrap_or(u64::MAX).saturating_mul(4).clamp(400, 1000))
}

/// Asked out of turn, because somebody knows more, a peer is asked again after this time at the soonest.
pub(crate) fn soon(ring: usize) -> Duration {
    Duration::from_millis(u64::try_from(ring).unwrap_or(u64::MAX).clamp(20, 200))
}

/// When a peer is asked for the second time: somewhere within a beat, for each pair elsewhere. They all hear of a ring
/// at once, and would all ask at once ever after.
pub(crate) fn second(ring: usize, me: &str, peer: &str) -> Duration {
    let at = Hash::of(format!("{me} {peer}").as_bytes()).low() % 1024;
    beat(ring).mul_f64(at as f64 / 1024.0)
}

/// How often the ring is looked at.
const LOOK: Duration = Duration::from_millis(200);

impl Purger {
    /// Listens to all peers of the ring, whoever they are. Never ends.
    pub async fn listen(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let mut peers: HashMap<String, (Peer, tokio::task::AbortHandle)> = HashMap::new();
        let mut rings = self.rings.subscribe();
        loop {
            let ring = self.cache.cluster.ring();
            // Without a token no peer would answer, and none can purge here.
            let listens = self.tokens.is_configured();
            let others = || ring.peers().iter().filter(|peer| peer.name != self.me && listens);
            self.change_silent(|silent| silent.retain(|name| listens && ring.peer(name).is_some()));
            let renewal =
                self.cache.consistency.lease.set_peers(others().map(|peer| peer.name.as_str()), clock::awake());
            if renewal != Renewal::Quiet {
                self.renewed(renewal).await;
            }
            self.give_up(self.cache.consistency.hopeless()).await;
            peers.retain(|_, (peer, task)| {
                (listens && ring.peer(&peer.name) == Some(peer)) || {
                    task.abort();
                    false
                }
            });
            for peer in others() {
                peers
                    .entry(peer.name.clone())
                    .or_insert_with(|| (peer.clone(), tasks.spawn(self.clone().listen_to(peer.clone()))));
            }
            tokio::select! {
                _ = rings.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
    }

    async fn listen_to(self: Arc<Self>, peer: Peer) {
        let mut line = Line::to(&peer);
        let mut wake = self.cache.consistency.wake.subscribe();
        let mut pause = Some(second(self.cache.cluster.ring().peers().len(), &self.me, &peer.name));
        loop {
            let (begun, ring) = (Instant::now(), self.cache.cluster.ring().peers().len());
            self.ask(&peer, &mut line).await;
            let next = sleep_until(begun + pause.take().unwrap_or_else(|| beat(ring)));
            tokio::select! {
                () = next => {}
                _ = wake.changed() => sleep_until(begun + soon(ring)).await,
            }
        }
    }

    async fn ask(self: &Arc<Self>, peer: &Peer, line: &mut Line) {
        let Some(token) = self.tokens.first() else { return };
        let (sent, lease) = (clock::awake(), &self.cache.consistency.lease);
        let question = self.cache.consistency.question();
        let answered =
            match timeout(Duration::from_millis(LAST), line.ask::<Answer>(paths::CATCH_UP, &question, &token)).await {
                Ok(answered) => answered,
                Err(_) => Err(Unheard::Silent("no answer in time".into())),
            };
        let renewal = match answered {
            Ok(answer) => {
                let (source, holds) = (answer.source.clone(), answer.holds);
                if !self.clone().catch_up(&peer.name, answer).await {
                    return;
                }
                self.is_silent_no_more(&peer.name, "it answers");
                lease.heard(&peer.name, sent, &source, holds, clock::awake())
            }
            Err(Unheard::Refused) => {
                self.is_silent_no_more(&peer.name, "it refuses connections");
                lease.refused(&peer.name, sent, clock::awake())
            }
            Err(Unheard::Silent(why)) => return self.is_silent(&peer.name, &why),
        };
        self.renewed(renewal).await;
    }
}
