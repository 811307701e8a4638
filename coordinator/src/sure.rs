//! Before anything is answered from the store: whether all purges are known that others have carried out.

use crate::{
    cache::{Cache, Purged},
    clock,
    history::Gap,
    named::Named,
    store::{Entry, Fate, Load, Meant},
};
use meshcache_protocol::purge::{Position, Purge, What};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::timeout;

/// How long a request waits for what is missing. It is a question and an answer away, if it is to be had at all.
const WAIT: Duration = Duration::from_millis(200);
/// Where it was not to be had, nobody waits again for so long. Milliseconds.
const REST: u64 = 1000;

impl Cache {
    /// Whether the store may answer one who has heard of these purges. Waits a moment for what is missing.
    pub(crate) async fn is_sure(&self, told: &str) -> bool {
        let is = || self.lease.holds(clock::awake()) && self.history.covers(told);
        if is() {
            return true;
        }
        let mut caught_up = self.caught_up.subscribe();
        self.wake();
        if clock::awake() < self.waited.load(Relaxed).saturating_add(REST) {
            return false;
        }
        let caught = timeout(WAIT, async {
            while !is() {
                if caught_up.changed().await.is_err() {
                    return;
                }
            }
        });
        if caught.await.is_ok() {
            return true;
        }
        self.waited.store(clock::awake(), Relaxed);
        false
    }

    /// Whether all purges are known here, and how many others can catch up from.
    pub fn standing(&self) -> (bool, usize) {
        (self.lease.holds(clock::awake()), self.history.len())
    }

    /// Lets the other coordinators be asked now what they have purged.
    pub(crate) fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Numbers a purge of our own, and carries it out.
    pub fn order(&self, what: What, soft: bool) -> (Purge, Purged) {
        self.history.order(what, soft, |purge| self.carry_out(purge))
    }

    /// Carries out a purge of a peer. None: it was carried out before.
    pub(crate) fn hear(&self, purge: &Purge) -> Result<Option<Purged>, Gap> {
        self.history.hear(purge, |purge| self.carry_out(purge))
    }

    /// Empties the store: what was purged up to there is not in it.
    pub(crate) fn empty(&self, to: &Position) -> Purged {
        let all = Purge { what: What { all: true, ..What::default() }, ..Purge::default() };
        self.history.skip(to, || self.carry_out(&all))
    }

    /// Removes from the store what a purge names, or makes it stale. A load that is under way is answered but not stored, and who comes
    /// later does not join it.
    fn carry_out(&self, purge: &Purge) -> Purged {
        self.remove(&purge.what, if purge.soft { Fate::Stale(self.clock.now()) } else { Fate::Gone })
    }

    /// Removes what is named, here alone, and keeps out what is being loaded of it.
    pub(crate) fn remove(&self, what: &What, fate: Fate) -> Purged {
        let groups = self.groups();
        let named = Named::new(what, &groups);
        self.store.keep_out(|key| named.means(key));
        let purged = self.store.purge(&named.places(), fate, |key, variants| named.is(key, variants));
        // Removed first: who starts a flight after that has begun it after the purge.
        self.loading.detach(|key| named.means(key) != Meant::No);
        self.asking.detach(|key| named.means(key) != Meant::No);
        purged
    }

    /// What a purge would remove.
    pub fn would_purge(&self, what: &What) -> Purged {
        let groups = self.groups();
        let named = Named::new(what, &groups);
        self.store.purge(&named.places(), Fate::Counted, |key, variants| named.is(key, variants))
    }

    /// Whether what comes from elsewhere (a push, a peek) may be stored: no purge since its load began means it. `load`: begun before this
    /// is asked, so that a purge that comes now is not missed.
    pub(crate) fn admits(&self, load: &Load, entry: &Arc<Entry>) -> bool {
        if !self.history.position().covers(&entry.position) {
            // It knows more than we do.
            self.wake();
            return false;
        }
        let Ok(since) = self.history.since(&entry.position, usize::MAX) else { return false };
        let groups = self.groups();
        !since.iter().any(|purge| Named::new(&purge.what, &groups).is(load.key(), std::slice::from_ref(entry)))
    }
}
