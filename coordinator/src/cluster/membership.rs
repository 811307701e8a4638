//! Who the other coordinators are: each way to know it makes rings, what they say of themselves comes first, and one
//! place takes them.

use crate::{
    cluster::{
        announcements::{Does, Told, Word},
        peer_lists::{Change, Lists, Problem},
        ring::Cluster,
    },
    telemetry::metrics::Metrics,
};
use meshcache_protocol::{Peer, Ring};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Takes the rings that discovery makes: the cache, the metrics, the feed and the log hear of each.
pub struct Rings {
    cluster: Arc<Cluster>,
    pub(crate) metrics: Arc<Metrics>,
    me: String,
    known: Mutex<Known>,
    changed: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Known {
    discovered: Vec<Peer>,
    told: Told,
    /// `None`: no list, but an API that tells who is there.
    lists: Option<Lists>,
}

impl Known {
    fn hear(&mut self, peer: Peer, does: Does, now: u64) -> bool {
        self.told.hear(peer, does, &self.discovered, now)
    }

    fn settle(&mut self, now: u64) -> bool {
        self.told.settle(&self.discovered, now)
    }
}

impl Rings {
    /// `me`: this peer's name; `changed` is called after each new ring.
    pub fn new(
        cluster: Arc<Cluster>,
        metrics: Arc<Metrics>,
        me: &str,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { cluster, metrics, me: me.to_owned(), known: Mutex::default(), changed: Box::new(changed) })
    }

    /// The peers are a fixed list, with these names.
    pub fn expects(&self, names: impl IntoIterator<Item = String>) {
        let lists = Lists::new(&self.me, names, self.cluster.now());
        lists.own().iter().for_each(|peer| self.metrics.set_peer_problem(peer, Problem::Unheard.label(), false));
        self.known.lock().lists = Some(lists);
    }

    /// The names in that list; empty: there is none.
    pub(crate) fn own_list(&self) -> Vec<String> {
        self.known.lock().lists.as_ref().map_or_else(Vec::new, Lists::own)
    }

    /// Takes what discovery by names has found.
    pub fn take(&self, peers: Vec<Peer>) {
        if self.replace(peers) {
            self.metrics.discovery_events.inc();
        }
    }

    /// Takes what discovery has found; whether that makes another ring.
    pub(crate) fn replace(&self, peers: Vec<Peer>) -> bool {
        let mut known = self.known.lock();
        known.discovered = peers;
        known.settle(self.cluster.now());
        self.make(&known)
    }

    /// Takes another coordinator's word. Nobody else speaks for this one.
    pub fn hear(&self, word: &Word) {
        if word.peer.name == self.me {
            tracing::warn!(address = word.peer.peer, "a peer says that it has this one's name");
            return;
        }
        self.note(word.peer.clone(), word.does);
        if let Some(lists) = &mut self.known.lock().lists {
            lists.hear(word, self.cluster.now());
        }
        match word.does {
            Does::Join => self.cluster.is_back(&word.peer.name),
            Does::Leave => {}
            Does::End => self.cluster.has_ended(&word.peer.name),
        }
        if word.stood_in {
            self.cluster.missed_something();
        }
    }

    /// Takes a word of a peer or of this one into account.
    pub(crate) fn note(&self, peer: Peer, does: Does) {
        let mut known = self.known.lock();
        let (name, before) = (peer.name.clone(), self.cluster.ring());
        if !known.hear(peer, does, self.cluster.now()) || !self.make(&known) {
            return;
        }
        let is = |ring: &Ring| ring.peer(&name).is_some();
        if is(&before) != is(&self.cluster.ring()) {
            let word = if does == Does::Join { "joins" } else { "leaves" };
            tracing::info!(peer = name, "peer {word}");
        }
    }

    /// What this one answers to others' words: that it leaves, if it does.
    pub(crate) fn own_leave(&self) -> Option<Word> {
        self.known.lock().told.leave(&self.me)
    }

    /// All others who are in the ring, and all whom discovery knows besides.
    pub(crate) fn others(&self) -> Vec<Peer> {
        let (known, ring) = (self.known.lock(), self.cluster.ring());
        let left = known.discovered.iter().filter(|peer| ring.peer(&peer.name).is_none());
        ring.peers().iter().chain(left).filter(|peer| peer.name != self.me).cloned().collect()
    }

    /// This peer, as discovery knows it.
    pub(crate) fn discovered(&self) -> Option<Peer> {
        self.known.lock().discovered.iter().find(|peer| peer.name == self.me).cloned()
    }

    /// Forgets words that nobody has said again. Never ends.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(crate::cluster::announcements::AGAIN / 3));
        loop {
            ticks.tick().await;
            let mut known = self.known.lock();
            if known.settle(self.cluster.now()) {
                self.make(&known);
            }
            let changes = known.lists.as_mut().map_or_else(Vec::new, |lists| lists.settle(self.cluster.now()));
            drop(known);
            changes.into_iter().for_each(|change| self.tell(&change));
        }
    }

    /// Says what has become of the list of peers.
    fn tell(&self, Change { peer, problem, begins }: &Change) {
        self.metrics.set_peer_problem(peer, problem.label(), begins.is_some());
        match (problem, begins) {
            (Problem::Unheard, Some(_)) => tracing::warn!(peer, "a peer of --peers is not heard"),
            (Problem::NotListedHere, Some(_)) => {
                tracing::warn!(peer, "lists of --peers disagree: this peer is in another's and not in ours")
            }
            (Problem::NotListedThere, Some(missing)) => {
                tracing::warn!(peer, missing, "lists of --peers disagree: this peer's lacks some of ours")
            }
            (Problem::Unheard, None) => tracing::info!(peer, "a peer of --peers is heard"),
            (_, None) => {
                tracing::info!(peer, problem = problem.label(), "lists of --peers no longer disagree on this peer")
            }
        }
    }

    /// Makes the ring of all that is known. Whether it is another one.
    fn make(&self, known: &Known) -> bool {
        let ring = Ring::new(known.told.ring(&known.discovered));
        if ring == *self.cluster.ring() {
            return false;
        }
        let names: Vec<&str> = ring.peers().iter().map(|peer| peer.name.as_str()).collect();
        tracing::info!(peers = names.join(","), version = format!("{:016x}", ring.version()), "ring");
        self.metrics.set_ring(&ring);
        self.cluster.set_ring(Arc::new(ring));
        (self.changed)();
        true
    }
}
