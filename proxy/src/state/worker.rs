//! What is asked of coordinators and learned from them: the state behind a [`HotState`], in one place a time.
//!
//! In Wasm each worker thread has one, natively all threads of a proxy share one behind a lock.

use crate::state::{
    attention::AttentionClock, counters::Counters, hot_state::HotState, invalidations::Invalidations,
    lookup::LookupStart, peers::Peers, pending::PendingLookups, purge::PurgeMatcher, samples::Samples,
    snapshot::Snapshot,
};
use meshcache_protocol::{
    Groups, Hash, Observer,
    feed::{HEARTBEAT_TIMEOUT, News},
    mark::{self, MarkedPosition, Marks},
    observe,
    purge::{Append, Bounds, Log, Position, Purge, Scope},
};
use serde::Serialize;
use std::sync::Arc;

/// The purges from which the proxy's other workers can catch up. A worker that missed more empties its hot cache.
const MAX_PURGES: Bounds = Bounds { purges: 256, bytes: 64 << 10 };
/// The most responses that are remembered of groups that observe: some hundred bytes each.
const MAX_OBSERVED: observe::Limits = observe::Limits { responses: 2048, bytes: 2 << 20 };
/// The most coordinators whose purges a lookup acknowledges: those that have purged last.
const MAX_ACKNOWLEDGED: usize = 16;

/// [`News`] by reference, since it is written for each purge.
#[derive(Serialize)]
struct NewsRef<'w> {
    since: &'w Position,
    position: &'w Position,
    marks: String,
    purges: Vec<&'w Purge>,
}

/// One worker's state. It outlives configurations: only a new module or a new proxy starts without it.
pub struct Worker {
    /// What requests read that need no worker.
    pub state: Arc<HotState>,
    snapshot: Option<Arc<Snapshot>>,
    /// When a coordinator answered the feed last.
    last_contact: Option<u64>,
    /// When the last of all peers failed. None is asked until the next contact.
    all_failed: Option<u64>,
    /// The purges that were carried out.
    log: Log,
    /// The coordinators' proofs that they have announced them.
    marks: Marks,
    /// Both as lookups acknowledge them.
    purge_ack: MarkedPosition,
    /// The keys that unsafe requests have invalidated.
    pub invalidations: Invalidations,
    /// The responses that passed in groups that only observe.
    pub observed: Observer,
    /// Cloned for each response that is observed at the moment.
    pub observing: Arc<()>,
    /// The sampled lookups beside them.
    pub samples: Samples,
    /// The lookups in flight.
    pub lookups: PendingLookups,
    /// The health of peers.
    pub peers: Peers,
    /// The attention clock.
    pub attention: AttentionClock,
    /// The counters of what happens here.
    pub counters: Counters,
    /// Its host takes responses piece by piece.
    pub streams: bool,
    /// The host can send a coordinator a copy of a response as it passes.
    pub fills: bool,
}

impl Worker {
    /// A worker of one thread without a snapshot, with this many bytes for hot responses.
    pub fn new(hot_bytes: usize) -> Self {
        Self::of(Arc::new(HotState::new(hot_bytes, 1)))
    }

    /// A worker without a snapshot, behind this state.
    pub fn of(state: Arc<HotState>) -> Self {
        Self {
            state,
            snapshot: None,
            last_contact: None,
            all_failed: None,
            log: Log::new(MAX_PURGES),
            marks: Marks::default(),
            purge_ack: MarkedPosition::default(),
            invalidations: Invalidations::default(),
            observed: Observer::new(MAX_OBSERVED),
            observing: Arc::default(),
            samples: Samples::default(),
            lookups: PendingLookups::default(),
            peers: Peers::default(),
            attention: AttentionClock::default(),
            counters: Counters::default(),
            streams: false,
            fills: false,
        }
    }

    /// The snapshot, once the feed has brought one.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The snapshot's version. Empty without one.
    pub fn version(&self) -> &str {
        self.snapshot.as_ref().map_or("", |snapshot| &snapshot.version)
    }

    /// Records that a coordinator answered the feed.
    pub fn note_contact(&mut self, now: u64) {
        // After such a silence, a purge of what was stored before it may have been missed.
        if self.last_contact.is_some_and(|contact| now >= contact.saturating_add(HEARTBEAT_TIMEOUT)) {
            self.empty();
        }
        // After all that may have been missed is gone: other threads serve from here on.
        self.last_contact = self.last_contact.max(Some(now));
        self.state.trust(self.last_contact.unwrap_or(now));
        if self.all_failed.is_some_and(|failed| now > failed) {
            self.all_failed = None;
            self.state.set_peers_failed(false);
            self.peers.clear();
        }
    }

    /// Returns whether hot responses may be given: a purge would have been announced.
    pub fn may_serve_hot(&self, now: u64) -> bool {
        self.state.may_serve_hot(now)
    }

    /// Replaces the snapshot and forgets what rests on the rules of the old one.
    pub fn install(&mut self, snapshot: impl Into<Arc<Snapshot>>) {
        let snapshot = snapshot.into();
        if let Some(old) = &self.snapshot {
            if old.installation != snapshot.installation {
                self.state.empty();
            }
            if old.ring != snapshot.ring {
                self.peers.change_ring(&old.ring, &snapshot.ring);
            }
            if old.groups != snapshot.groups {
                self.state.hit_for_pass.clear();
            }
        }
        self.state.publish(Some(snapshot.clone()));
        self.snapshot = Some(snapshot);
    }

    /// Removes the snapshot: the feed is of a wire version that this proxy does not understand.
    pub fn remove_snapshot(&mut self) {
        self.state.publish(None);
        self.snapshot = None;
    }

    /// Carries out the purges that are new. Called after the snapshot that came with them is installed, since its
    /// groups give URLs their meaning.
    pub fn apply_news(&mut self, news: News) {
        let News { since, position, marks, purges } = news;
        if !self.log.position().covers(&position) {
            self.carry_out(&since, &position, purges);
        }
        self.marks.take(self.log.position(), &position, &marks);
        let acknowledged = self.log.newest(MAX_ACKNOWLEDGED);
        self.purge_ack = MarkedPosition { marks: self.write_marks(&acknowledged), position: acknowledged.to_string() };
    }

    fn carry_out(&mut self, since: &Position, to: &Position, purges: Vec<Purge>) {
        if !self.log.position().covers(since) {
            self.empty();
            self.log.skip_to(since);
        }
        let snapshot = self.snapshot.clone();
        let no_groups = Groups::default();
        let groups = snapshot.as_ref().map_or(&no_groups, |snapshot| &snapshot.groups);
        for purge in purges {
            match self.log.append(purge.clone()) {
                Append::Duplicate => continue,
                Append::Appended => {
                    self.state.purge(&PurgeMatcher::new(&purge.scope, groups));
                    self.observed.clear();
                }
                // The purges before it were missed.
                Append::Gap => self.empty(),
            }
        }
        if !self.log.position().covers(to) {
            self.empty();
            self.log.skip_to(to);
        }
    }

    fn write_marks(&self, position: &Position) -> String {
        mark::write(position, |source, n| self.marks.of(source, n))
    }

    /// Returns the last purges, for workers that have not carried them out.
    pub fn news(&self) -> impl Serialize + '_ {
        let position = self.log.position();
        let purges = self.log.entries().collect();
        NewsRef { since: self.log.floor(), position, marks: self.write_marks(position), purges }
    }

    /// The position of the purges that were carried out.
    pub fn position(&self) -> &Position {
        self.log.position()
    }

    /// The last purges with their marks, as lookups acknowledge them.
    pub fn purge_ack(&self) -> &MarkedPosition {
        &self.purge_ack
    }

    /// The number of purges and invalidations that were carried out.
    pub fn purge_count(&self) -> u64 {
        self.state.purge_count()
    }

    fn empty(&mut self) {
        self.observed.clear();
        self.empty_hot_cache();
    }

    /// Removes the keys of a hash. Responses in flight for them are not stored.
    pub fn invalidate_hash(&mut self, hash: Hash) {
        self.state.invalidate(hash);
    }

    /// Removes the keys that this names. Responses in flight for them are not stored.
    pub fn invalidate_named(&mut self, what: &Scope) {
        match &self.snapshot {
            Some(snapshot) => self.state.purge(&PurgeMatcher::new(what, &snapshot.groups)),
            None => self.state.empty(),
        }
    }

    /// Removes all keys. Responses in flight are not stored.
    pub fn empty_hot_cache(&mut self) {
        self.state.empty();
    }

    /// Starts to measure the silence of a peer. Time from before does not count, unless other calls are in flight.
    pub fn start_attention(&mut self, now: u64) {
        if self.lookups.has_no_calls() {
            self.attention.advance(now);
        }
    }

    /// Returns the moment at which a lookup begins.
    pub fn lookup_start(&self, now: u64) -> LookupStart {
        LookupStart {
            now,
            attention: self.attention.time(),
            purges: self.purge_count(),
            streams: self.streams,
            fills: self.fills,
        }
    }

    /// Records that a peer answered.
    pub fn note_peer_answer(&mut self, peer: &str) {
        self.peers.note_answer(peer);
        self.lookups.note_answer(peer, self.attention.time());
    }

    /// Records that a peer reset a stream. It counts as a failure if it happens twice without an answer in between.
    pub fn note_peer_reset(&mut self, peer: &str, now: u64) {
        if self.peers.note_reset(peer) {
            self.note_peer_failure(peer, now);
        }
    }

    /// Records that a peer did not answer. Once all have failed, none is asked until the next contact.
    pub fn note_peer_failure(&mut self, peer: &str, now: u64) {
        self.peers.note_failure(peer, now);
        if self.snapshot.as_ref().is_some_and(|snapshot| self.peers.have_all_failed(&snapshot.ring)) {
            self.all_failed = Some(now);
            self.state.set_peers_failed(true);
        }
    }

    /// Returns whether peers may be asked.
    pub fn may_ask_peers(&self) -> bool {
        self.state.may_ask_peers()
    }

    /// The counters with what threads have counted without a worker.
    pub fn all_counters(&mut self) -> &mut Counters {
        self.state.take_counts(&mut self.counters);
        &mut self.counters
    }
}
