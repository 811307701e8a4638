//! Catches up with the other coordinators: each is asked again and again for the purges that are unknown here. So a
//! coordinator that missed one learns it before it answers, and one that gets no answers knows it.

use crate::{
    clock,
    cluster::Cluster,
    config::tokens::Tokens,
    consistency::{
        Consistency,
        lease::{LEASE, Renewal},
        messages::CatchUpResponse,
    },
    purge::{
        connection::{CallError, PeerConnection},
        local::LocalPurger,
        purger::Purger,
        unresponsive::UnresponsivePeers,
    },
};
use meshcache_protocol::{Hash, Peer, paths};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// The time between two looks at the ring.
const RING_CHECK: Duration = Duration::from_millis(200);

/// The time between two requests to a peer: three fit into a lease. It grows with the ring, so that a coordinator sends
/// 250 requests a second, and a thousand with more than a thousand peers: a lost answer matters less there, as a
/// majority of them is enough.
pub(crate) fn interval(ring: usize) -> Duration {
    Duration::from_millis(u64::try_from(ring).unwrap_or(u64::MAX).saturating_mul(4).clamp(400, 1000))
}

/// The shortest time between two requests to a peer when a claim is unknown here.
pub(crate) fn shortest_interval(ring: usize) -> Duration {
    Duration::from_millis(u64::try_from(ring).unwrap_or(u64::MAX).clamp(20, 200))
}

/// The time between the first two requests to a peer: a part of an interval, another one for each pair. All learn of a
/// ring at the same time, and would else ask at the same time ever after.
pub(crate) fn first_interval(ring: usize, me: &str, peer: &str) -> Duration {
    let at = Hash::of(format!("{me} {peer}").as_bytes()).low() % 1024;
    interval(ring).mul_f64(at as f64 / 1024.0)
}

/// Asks all peers of the ring what they have purged.
pub struct PeerSync {
    me: String,
    cluster: Arc<Cluster>,
    consistency: Arc<Consistency>,
    tokens: Arc<Tokens>,
    local: Arc<LocalPurger>,
    unresponsive: Arc<UnresponsivePeers>,
    rings: watch::Sender<()>,
}

impl PeerSync {
    /// Shares its parts with a purger. `me`: this coordinator's name in the ring.
    pub fn new(purger: &Purger, me: &str) -> Arc<Self> {
        Arc::new(Self {
            me: me.to_owned(),
            cluster: purger.cluster.clone(),
            consistency: purger.consistency.clone(),
            tokens: purger.tokens.clone(),
            local: purger.local.clone(),
            unresponsive: purger.unresponsive.clone(),
            rings: watch::Sender::default(),
        })
    }

    /// Requests a check of the ring now.
    pub fn ring_changed(&self) {
        self.rings.send_replace(());
    }

    /// Runs a task for each peer of the ring. Never ends.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let mut peers: HashMap<String, (Peer, tokio::task::AbortHandle)> = HashMap::new();
        let mut rings = self.rings.subscribe();
        loop {
            let ring = self.cluster.ring();
            // Without a token no peer would answer, and none can purge here.
            let has_token = self.tokens.is_configured();
            let others = || ring.peers().iter().filter(|peer| peer.name != self.me && has_token);
            self.unresponsive.retain(|name| has_token && ring.peer(name).is_some());
            let renewal = self.consistency.set_peers(others().map(|peer| peer.name.as_str()));
            if renewal != Renewal::Unchanged {
                self.local.renew(renewal).await;
            }
            self.local.abandon(self.consistency.unresolvable()).await;
            peers.retain(|_, (peer, task)| {
                (has_token && ring.peer(&peer.name) == Some(peer)) || {
                    task.abort();
                    false
                }
            });
            for peer in others() {
                peers
                    .entry(peer.name.clone())
                    .or_insert_with(|| (peer.clone(), tasks.spawn(self.clone().follow(peer.clone()))));
            }
            tokio::select! {
                _ = rings.changed() => {}
                () = tokio::time::sleep(RING_CHECK) => {}
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
    }

    /// Asks one peer again and again. Never ends.
    async fn follow(self: Arc<Self>, peer: Peer) {
        let mut connection = PeerConnection::to(&peer, self.cluster.clone());
        let mut requests = self.consistency.catch_up_requests();
        let mut pause = Some(first_interval(self.cluster.ring().peers().len(), &self.me, &peer.name));
        loop {
            let (begun, ring) = (Instant::now(), self.cluster.ring().peers().len());
            self.ask(&peer, &mut connection).await;
            let next = sleep_until(begun + pause.take().unwrap_or_else(|| interval(ring)));
            tokio::select! {
                () = next => {}
                _ = requests.changed() => sleep_until(begun + shortest_interval(ring)).await,
            }
        }
    }

    async fn ask(&self, peer: &Peer, connection: &mut PeerConnection) {
        let Some(token) = self.tokens.first() else { return };
        let (sent, request) = (clock::awake(), self.consistency.request());
        let call = connection.call::<CatchUpResponse>(paths::CATCH_UP, &request, &token);
        let answered = match timeout(Duration::from_millis(LEASE), call).await {
            Ok(answered) => answered,
            Err(_) => Err(CallError::Unresponsive("no answer in time".into())),
        };
        let renewal = match answered {
            Ok(response) => {
                let (source, holds_lease) = (response.source.clone(), response.holds_lease);
                if !self.local.catch_up(&peer.name, response).await {
                    return;
                }
                self.unresponsive.clear(&peer.name, "it answers");
                self.consistency.peer_answered(&peer.name, sent, &source, holds_lease)
            }
            Err(CallError::Refused) => {
                self.unresponsive.clear(&peer.name, "it refuses connections");
                self.consistency.peer_refused(&peer.name, sent)
            }
            Err(error @ (CallError::NotUnderstood | CallError::Unresponsive(_))) => {
                return self.unresponsive.mark(&peer.name, &error.to_string());
            }
        };
        self.local.renew(renewal).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_requests_fit_into_a_lease_and_large_rings_ask_less_often() {
        assert_eq!([1, 100, 200, 5000].map(|ring| interval(ring).as_millis()), [400, 400, 800, 1000]);
        assert!(3 * interval(100).as_millis() < u128::from(LEASE));
        assert_eq!([1, 100, 5000].map(|ring| shortest_interval(ring).as_millis()), [20, 100, 200]);
        let first = |peer| first_interval(3, "a", peer);
        assert!(first("b") != first("c") && first("b") < interval(3) && first("c") < interval(3));
    }
}
