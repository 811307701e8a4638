//! All that one worker thread has: what the feed told, hot answers, questions under way, counters.

use crate::{
    attention::Attention, counts::Counts, hot::Hot, invalidate::Invalidations, known::Known, passes::Passes,
    peers::Peers, purge::Named, questions::Questions, samples::Samples,
};
use meshcache_protocol::{
    Groups, Hash, Observer,
    feed::{HEARTBEAT_TIMEOUT, News},
    mark::{self, MarkedPosition, Marks},
    observe,
    purge::{Append, Bounds, Log, Position, Purge, Scope},
};
use serde::Serialize;
use std::rc::Rc;

/// The purges that other workers of this proxy can catch up from. Who was away for longer empties its hot cache.
const MOST: Bounds = Bounds { purges: 256, bytes: 64 << 10 };
/// The most responses that are remembered of groups that observe: some hundred bytes each.
const OBSERVED: observe::Limits = observe::Limits { responses: 2048, bytes: 2 << 20 };
/// Of how many coordinators' purges a question tells: of those that have purged last.
const TOLD: usize = 16;

/// [`News`] of what is here: written for each purge, and not copied for that.
#[derive(Serialize)]
struct Held<'w> {
    since: &'w Position,
    position: &'w Position,
    marks: String,
    purges: Vec<&'w Purge>,
}

/// One worker's state. It outlives configurations: only a new module or a new proxy begins without it.
pub struct Worker {
    known: Option<Rc<Known>>,
    /// When a coordinator was heard last.
    heard: Option<u64>,
    /// When the last of all peers had failed: nobody is asked until a coordinator is heard again.
    silent: Option<u64>,
    /// Purges that were carried out.
    log: Log,
    /// What coordinators have given to prove that they told of them.
    marks: Marks,
    /// Both as questions tell them.
    told: MarkedPosition,
    purges: u64,
    /// Hot answers.
    pub hot: Hot,
    /// Unsafe requests that succeeded.
    pub invalidations: Invalidations,
    /// What passed in groups that only observe.
    pub observed: Observer,
    /// Held by each response that is watched.
    pub watching: Rc<()>,
    /// What is asked beside them.
    pub samples: Samples,
    /// Questions under way.
    pub questions: Questions,
    /// Passes of owners.
    pub passes: Passes,
    /// Peers that failed lately.
    pub peers: Peers,
    /// How long this worker has been attentive.
    pub attention: Attention,
    /// Counters.
    pub counts: Counts,
}

impl Worker {
    /// A worker that knows nothing yet, with so many bytes for hot answers.
    pub fn new(hot_bytes: usize) -> Self {
        Self {
            known: None,
            heard: None,
            silent: None,
            log: Log::new(MOST),
            marks: Marks::default(),
            told: MarkedPosition::default(),
            purges: 0,
            hot: Hot::new(hot_bytes),
            invalidations: Invalidations::default(),
            observed: Observer::new(OBSERVED),
            watching: Rc::default(),
            samples: Samples::default(),
            questions: Questions::default(),
            passes: Passes::default(),
            peers: Peers::default(),
            attention: Attention::default(),
            counts: Counts::default(),
        }
    }

    /// What the feed told.
    pub fn known(&self) -> Option<&Rc<Known>> {
        self.known.as_ref()
    }

    /// The version of it; empty: nothing.
    pub fn version(&self) -> &str {
        self.known.as_ref().map_or("", |known| &known.version)
    }

    /// A coordinator was heard.
    pub fn hears(&mut self, now: u64) {
        // After so long a silence nobody vouches for what was kept before it.
        if self.heard.is_some_and(|heard| now >= heard.saturating_add(HEARTBEAT_TIMEOUT)) {
            self.empty();
        }
        self.heard = self.heard.max(Some(now));
        if self.silent.is_some_and(|silent| now > silent) {
            self.silent = None;
            self.peers.clear();
        }
    }

    /// Whether hot answers may be given: a coordinator would have told of a purge.
    pub fn trusts(&self, now: u64) -> bool {
        self.heard.is_some_and(|heard| now < heard.saturating_add(HEARTBEAT_TIMEOUT))
    }

    /// Takes over a state: what rested on other rules is forgotten.
    pub fn learn(&mut self, known: impl Into<Rc<Known>>) {
        let known = known.into();
        if let Some(old) = &self.known {
            if old.installation != known.installation {
                self.hot.clear();
            }
            if old.ring != known.ring {
                self.peers.move_on(&old.ring, &known.ring);
            }
            if old.groups != known.groups {
                self.passes.clear();
            }
        }
        self.known = Some(known);
    }

    /// Carries out the purges that it has not heard of. Told after the state that came with them, since URLs are read
    /// by its groups.
    pub fn purge(&mut self, news: News) {
        let News { since, position, marks, purges } = news;
        if !self.log.position().covers(&position) {
            self.carry_out(&since, &position, purges);
        }
        self.marks.take(self.log.position(), &position, &marks);
        let told = self.log.newest(TOLD);
        self.told = MarkedPosition { marks: self.write_marks(&told), position: told.to_string() };
    }

    fn carry_out(&mut self, since: &Position, to: &Position, purges: Vec<Purge>) {
        if !self.log.position().covers(since) {
            self.empty();
            self.log.skip_to(since);
        }
        let known = self.known.clone();
        let nothing = Groups::default();
        let groups = known.as_ref().map_or(&nothing, |known| &known.groups);
        for purge in purges {
            match self.log.append(purge.clone()) {
                Append::Duplicate => continue,
                Append::Appended => {
                    self.hot.purge(&Named::new(&purge.scope, groups));
                    self.observed.clear();
                }
                // What comes before it was not told: whatever it was.
                Append::Gap => self.empty(),
            }
            self.purges = self.purges.wrapping_add(1);
        }
        if !self.log.position().covers(to) {
            self.empty();
            self.log.skip_to(to);
        }
    }

    fn write_marks(&self, position: &Position) -> String {
        mark::write(position, |source, n| self.marks.of(source, n))
    }

    /// The last purges, for workers that have not heard of them.
    pub fn news(&self) -> impl Serialize + '_ {
        let position = self.log.position();
        Held {
            since: self.log.floor(),
            position,
            marks: self.write_marks(position),
            purges: self.log.entries().collect(),
        }
    }

    /// The purges that were carried out.
    pub fn position(&self) -> &Position {
        self.log.position()
    }

    /// The last of them with their marks, as questions tell both.
    pub fn told(&self) -> &MarkedPosition {
        &self.told
    }

    fn empty(&mut self) {
        self.hot.clear();
        self.observed.clear();
        self.purges = self.purges.wrapping_add(1);
    }

    /// Forgets the state: it is of a wire version that this filter does not understand.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// The keys of this hash are no longer what they were: nor is what is on its way for them.
    pub fn forget_hash(&mut self, hash: Hash) {
        self.hot.remove(hash);
        self.purges = self.purges.wrapping_add(1);
    }

    /// The same for all keys that are named.
    pub fn forget_named(&mut self, what: &Scope) {
        if let Some(known) = &self.known {
            self.hot.purge(&Named::new(what, &known.groups));
        }
        self.purges = self.purges.wrapping_add(1);
    }

    /// The same for all keys.
    pub fn forget_all(&mut self) {
        self.hot.clear();
        self.purges = self.purges.wrapping_add(1);
    }

    /// How many purges were carried out.
    pub fn purges(&self) -> u64 {
        self.purges
    }

    /// Begins to measure a peer's silence: that of nobody else is measured now, so that what was before does not count.
    pub fn attends(&mut self, now: u64) {
        if self.questions.has_no_calls() {
            self.attention.look(now);
        }
    }

    /// A peer answered something.
    pub fn answered(&mut self, peer: &str) {
        self.peers.answered(peer);
        self.questions.hears(peer, self.attention.time());
    }

    /// A peer broke off one stream. Whether that counts: it does when it happens twice without an answer between.
    pub fn breaks_off(&mut self, peer: &str, now: u64) {
        if self.peers.broke_off(peer) {
            self.fails(peer, now);
        }
    }

    /// A peer did not answer. Once all have failed, nobody is asked until a coordinator is heard.
    pub fn fails(&mut self, peer: &str, now: u64) {
        self.peers.failed(peer, now);
        if self.known.as_ref().is_some_and(|known| self.peers.have_all_failed(&known.ring)) {
            self.silent = Some(now);
        }
    }

    /// Whether peers may be asked.
    pub fn may_ask(&self) -> bool {
        self.silent.is_none()
    }
}
