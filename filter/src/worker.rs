//! All that one worker thread has: what the feed told, hot answers, questions under way, counters.

use crate::{counts::Counts, hot::Hot, known::Known, passes::Passes, peers::Peers, purge::Named, questions::Questions};
use meshcache_protocol::feed::{Purge, TRUST};
use std::{collections::BTreeSet, rc::Rc};

/// One worker's state. It outlives configurations: only a new module or a new proxy begins without it.
pub struct Worker {
    known: Option<Rc<Known>>,
    /// When a coordinator was heard last.
    heard: Option<u64>,
    /// When the last of all peers had failed: nobody is asked until a coordinator is heard again.
    silent: Option<u64>,
    /// Purges that were carried out.
    purged: BTreeSet<String>,
    purges: u64,
    /// Hot answers.
    pub hot: Hot,
    /// Questions under way.
    pub questions: Questions,
    /// Passes of owners.
    pub passes: Passes,
    /// Peers that failed lately.
    pub peers: Peers,
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
            purged: BTreeSet::new(),
            purges: 0,
            hot: Hot::new(hot_bytes),
            questions: Questions::default(),
            passes: Passes::default(),
            peers: Peers::default(),
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
        self.heard = self.heard.max(Some(now));
        if self.silent.is_some_and(|silent| now > silent) {
            self.silent = None;
            self.peers.clear();
        }
    }

    /// Whether hot answers may be given: a coordinator would have told of a purge.
    pub fn trusts(&self, now: u64) -> bool {
        self.heard.is_some_and(|heard| now < heard.saturating_add(TRUST))
    }

    /// Takes over a state: purges that are new are carried out, and what rested on other rules is forgotten.
    pub fn learn(&mut self, known: Known, purges: &[Purge]) {
        for purge in purges.iter().filter(|purge| !self.purged.contains(&purge.id)) {
            self.hot.purge(&Named::new(&purge.what, &known.groups));
            self.purges = self.purges.wrapping_add(1);
        }
        // A purge that a state no longer tells of is not told of again: the set stays as small as the list.
        self.purged = purges.iter().map(|purge| purge.id.clone()).collect();
        if let Some(old) = &self.known {
            if old.installation != known.installation {
                self.hot.clear();
            }
            if old.ring != known.ring {
                self.peers.clear();
            }
            if old.groups != known.groups {
                self.passes.clear();
            }
        }
        self.known = Some(Rc::new(known));
    }

    /// Forgets the state: it is of a wire version that this filter does not understand.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// How many purges were carried out.
    pub fn purges(&self) -> u64 {
        self.purges
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
