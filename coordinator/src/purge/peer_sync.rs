//! Catches up with the other coordinators: each is asked again and again for the purges that are unknown here. So a
//! coordinator that missed one learns it before it answers, and one that gets no answers knows it.

use crate::{
    clock,
    cluster::{Cluster, gossip::Ask},
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
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
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
            let others: BTreeMap<String, Peer> = match self.cluster.gossiper() {
                _ if !has_token => BTreeMap::new(),
                Some(gossiper) => gossiper.others().into_iter().map(|peer| (peer.name.clone(), peer)).collect(),
                None => {
                    let others = ring.peers().iter().filter(|peer| peer.name != self.me);
                    others.map(|peer| (peer.name.clone(), peer.clone())).collect()
                }
            };
            let others = || others.values();
            self.unresponsive.retain(|name| others().any(|peer| peer.name == name));
            let renewal = match self.cluster.gossiper() {
                None => self.consistency.set_peers(others().map(|peer| peer.name.as_str())),
                Some(gossiper) => match gossiper.electorate() {
                    Some((names, quorum)) => self.consistency.set_electorate(&names, quorum),
                    None => {
                        self.consistency.limit_lease();
                        Renewal::Unchanged
                    }
                },
            };
            if renewal != Renewal::Unchanged {
                self.local.renew(renewal).await;
            }
            self.local.abandon(self.consistency.unresolvable()).await;
            peers.retain(|_, (peer, task)| {
                others().any(|other| other == peer) || {
                    task.abort();
                    false
                }
            });
            for peer in others() {
                peers
                    .entry(peer.name.clone())
                    .or_insert_with(|| (peer.clone(), tasks.spawn(self.clone().follow(peer.clone()))));
            }
            for Ask { at } in
                self.cluster.gossiper().filter(|_| has_token).map_or_else(Vec::new, |gossip| gossip.tick())
            {
                tasks.spawn(self.clone().ask_unknown(at));
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

    /// Asks whoever listens at an address, once.
    async fn ask_unknown(self: Arc<Self>, at: String) {
        let mut connection = PeerConnection::to_address(&at, self.cluster.clone());
        let peer = Peer { name: at.clone(), data: at.clone(), peer: at };
        self.ask_once(&peer, None, &mut connection).await;
    }

    async fn ask(&self, peer: &Peer, connection: &mut PeerConnection) {
        self.ask_once(peer, Some(&peer.name), connection).await;
    }

    /// `name`: the peer's, if it is known who listens there.
    async fn ask_once(&self, peer: &Peer, name: Option<&str>, connection: &mut PeerConnection) {
        let Some(token) = self.tokens.first() else { return };
        let (sent, request) = (clock::awake(), self.consistency.request(name));
        let call = connection.call::<CatchUpResponse>(paths::CATCH_UP, &request, &token);
        let answered = match timeout(Duration::from_millis(LEASE), call).await {
            Ok(answered) => answered,
            Err(_) => Err(CallError::Unresponsive("no answer in time".into())),
        };
        let renewal = match answered {
            Ok(mut response) => {
                let (source, holds_lease, rest) = (response.source.clone(), response.holds_lease, response.rest);
                // Its name is learnt by what it says, and has to be that of its certificate.
                let gossip = response.gossip.take().filter(|gossip| connection.may_be(gossip.from.name()));
                let is_current = self.local.catch_up(&peer.name, response).await;
                let counts = match self.cluster.gossiper() {
                    None => Some(peer.name.clone()),
                    Some(gossiper) => gossiper.answered(&peer.peer, gossip.as_ref(), sent),
                };
                let Some(counts) = counts.filter(|_| is_current) else { return };
                self.unresponsive.clear(&counts, "it answers");
                self.consistency.take_over_lease(sent, rest);
                self.consistency.peer_answered(&counts, sent, &source, holds_lease)
            }
            Err(CallError::Refused) => {
                let has_ended =
                    self.cluster.gossiper().is_none_or(|gossiper| gossiper.refused(&peer.peer, &peer.name, sent));
                if !has_ended {
                    return;
                }
                self.unresponsive.clear(&peer.name, "it refuses connections");
                self.consistency.peer_refused(&peer.name, sent)
            }
            Err(CallError::TokenRefused) if name.is_none() => {
                return self.cluster.gossiper().into_iter().for_each(|gossiper| gossiper.token_refused(&peer.peer));
            }
            Err(error @ (CallError::NotUnderstood | CallError::TokenRefused | CallError::Unresponsive(_))) => {
                if name.is_some() {
                    self.unresponsive.mark(&peer.name, &error.to_string());
                }
                return;
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
