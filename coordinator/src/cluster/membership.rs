//! Membership: the ring is made of the peers that discovery finds and of what they announce, which comes first.

use crate::{
    cluster::{
        Cluster,
        announcements::{Announcement, Announcements, INTERVAL, MembershipEvent},
        gossip::TICK,
        gossiper::Gossiper,
        peer_lists::{ListChange, ListProblem, PeerLists},
    },
    telemetry::metrics::Metrics,
};
use meshcache_protocol::{Peer, Ring};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Makes the rings, and passes each to the cluster, the metrics, the log, and a callback.
pub struct Membership {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) me: String,
    state: Mutex<State>,
    ring_changed: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    discovered: Vec<Peer>,
    announcements: Announcements,
    /// `None`: no fixed list, but an API that shows which peers are ready.
    lists: Option<PeerLists>,
}

impl State {
    fn record(&mut self, peer: Peer, event: MembershipEvent, now: u64) -> bool {
        self.announcements.record(peer, event, &self.discovered, now)
    }

    fn expire(&mut self, now: u64) -> bool {
        self.announcements.expire(&self.discovered, now)
    }
}

impl Membership {
    /// `me`: this peer's name; `ring_changed` is called after each new ring.
    pub fn new(
        cluster: Arc<Cluster>,
        metrics: Arc<Metrics>,
        me: &str,
        ring_changed: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (state, ring_changed) = (Mutex::default(), Box::new(ring_changed));
        Arc::new(Self { cluster, metrics, me: me.to_owned(), state, ring_changed })
    }

    /// Sets the names of a fixed list of peers.
    pub fn set_peer_list(&self, names: impl IntoIterator<Item = String>) {
        let lists = PeerLists::new(&self.me, names, self.cluster.now());
        lists.own().iter().for_each(|peer| self.metrics.set_peer_problem(peer, ListProblem::Unheard.label(), false));
        self.state.lock().lists = Some(lists);
    }

    /// The names of the fixed list; empty: there is none.
    pub(crate) fn peer_list(&self) -> Vec<String> {
        self.state.lock().lists.as_ref().map_or_else(Vec::new, PeerLists::own)
    }

    /// Sets the peers that were found by name, and counts a change of the ring.
    pub fn set_resolved(&self, peers: Vec<Peer>) {
        if self.set_discovered(peers) {
            self.metrics.discovery_events.inc();
        }
    }

    /// Sets the peers that discovery has found. Returns whether the ring changed.
    pub(crate) fn set_discovered(&self, peers: Vec<Peer>) -> bool {
        let mut state = self.state.lock();
        state.discovered = peers;
        state.expire(self.cluster.now());
        self.rebuild(&state)
    }

    /// Takes an announcement of a peer.
    pub fn receive(&self, announcement: &Announcement) {
        let Announcement { peer, event, covered, .. } = announcement;
        if peer.name == self.me {
            tracing::warn!(address = peer.peer, "another peer uses this peer's --name");
            return;
        }
        self.record(peer.clone(), *event);
        if let Some(lists) = &mut self.state.lock().lists {
            lists.record(announcement, self.cluster.now());
        }
        match event {
            MembershipEvent::Join => self.cluster.peer_returned(&peer.name),
            MembershipEvent::Leave => {}
            MembershipEvent::End => self.cluster.peer_ended(&peer.name),
        }
        if *covered {
            self.cluster.record_absence();
        }
    }

    /// Records an event of a peer or of this one.
    pub(crate) fn record(&self, peer: Peer, event: MembershipEvent) {
        if let Some(gossiper) = self.cluster.gossiper() {
            match event {
                MembershipEvent::Join => return,
                _ if peer.name == self.me => gossiper.leave(),
                MembershipEvent::Leave | MembershipEvent::End => {
                    gossiper.member_leaves(&peer, event == MembershipEvent::End);
                }
            }
            self.set_resolved(gossiper.members());
            return;
        }
        let mut state = self.state.lock();
        let (name, before) = (peer.name.clone(), self.cluster.ring());
        if !state.record(peer, event, self.cluster.now()) || !self.rebuild(&state) {
            return;
        }
        let has_peer = |ring: &Ring| ring.peer(&name).is_some();
        if has_peer(&before) != has_peer(&self.cluster.ring()) {
            let verb = if event == MembershipEvent::Join { "joins" } else { "leaves" };
            tracing::info!(peer = name, "peer {verb}");
        }
    }

    /// The announcement by which this coordinator leaves, if it does.
    pub(crate) fn own_departure(&self) -> Option<Announcement> {
        self.state.lock().announcements.departure(&self.me)
    }

    /// The other peers of the ring, and those that discovery knows besides.
    pub(crate) fn others(&self) -> Vec<Peer> {
        let (state, ring) = (self.state.lock(), self.cluster.ring());
        let left = state.discovered.iter().filter(|peer| ring.peer(&peer.name).is_none());
        ring.peers().iter().chain(left).filter(|peer| peer.name != self.me).cloned().collect()
    }

    /// This peer, as discovery knows it.
    pub(crate) fn discovered_self(&self) -> Option<Peer> {
        self.state.lock().discovered.iter().find(|peer| peer.name == self.me).cloned()
    }

    /// Makes the ring of the members that gossip knows, whenever they change. Never ends.
    pub(crate) async fn follow(&self, gossiper: &Gossiper) {
        let mut lists = gossiper.lists();
        loop {
            self.set_resolved(gossiper.members());
            // Some changes come with time alone.
            let _ = timeout(Duration::from_millis(TICK), lists.changed()).await;
        }
    }

    /// Removes expired announcements, and reports problems of the lists. Never ends.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(INTERVAL / 3));
        loop {
            ticks.tick().await;
            let mut state = self.state.lock();
            if state.expire(self.cluster.now()) {
                self.rebuild(&state);
            }
            let changes = state.lists.as_mut().map_or_else(Vec::new, |lists| lists.take_changes(self.cluster.now()));
            drop(state);
            changes.into_iter().for_each(|change| self.report(&change));
        }
    }

    fn report(&self, ListChange { peer, problem, begins }: &ListChange) {
        self.metrics.set_peer_problem(peer, problem.label(), begins.is_some());
        match (problem, begins) {
            (ListProblem::Unheard, Some(_)) => tracing::warn!(peer, "peer of --peers announces nothing"),
            (ListProblem::NotListedHere, Some(_)) => {
                tracing::warn!(peer, "lists of --peers disagree: this peer is in another's and not in ours")
            }
            (ListProblem::NotListedThere, Some(missing)) => {
                tracing::warn!(peer, missing, "lists of --peers disagree: this peer's lacks some of ours")
            }
            (ListProblem::Unheard, None) => tracing::info!(peer, "peer of --peers announces itself"),
            (_, None) => {
                tracing::info!(peer, problem = problem.label(), "lists of --peers no longer disagree on this peer")
            }
        }
    }

    /// Makes the ring of all that is known. Returns whether it changed.
    fn rebuild(&self, state: &State) -> bool {
        let ring = Ring::new(state.announcements.members(&state.discovered));
        if ring == *self.cluster.ring() {
            return false;
        }
        let names: Vec<&str> = ring.peers().iter().map(|peer| peer.name.as_str()).collect();
        tracing::info!(peers = names.join(","), version = format!("{:016x}", ring.version()), "ring");
        self.metrics.set_ring(&ring);
        self.cluster.set_ring(Arc::new(ring));
        (self.ring_changed)();
        true
    }
}
