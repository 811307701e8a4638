//! Removes what a purge names from the store, from loads under way and from flights.

use crate::{
    cache::state::Cache,
    store::{Entry, Fate, Load, Meant, purge_matcher::Named, usage::Purged},
};
use meshcache_protocol::purge::What;
use std::sync::Arc;

impl Cache {
    /// Removes what is named, here alone, and keeps out what is being loaded of it.
    pub(crate) fn remove(&self, what: &What, fate: Fate) -> Purged {
        let groups = self.groups();
        let named = Named::new(what, &groups);
        self.store.keep_out(|key| named.means(key));
        let purged = self.store.purge(&named.places(), fate, |key, variants| named.is(key, variants));
        self.observed.lock().clear();
        // Removed first: who starts a flight after that has begun it after the purge.
        self.loads.detach(|key| named.means(key) != Meant::No);
        self.peer_loads.detach(|key| named.means(key) != Meant::No);
        purged
    }

    /// What a purge would remove.
    pub fn would_purge(&self, what: &What) -> Purged {
        let groups = self.groups();
        let named = Named::new(what, &groups);
        self.store.purge(&named.places(), Fate::Counted, |key, variants| named.is(key, variants))
    }

    /// Whether what comes from elsewhere (a push, a peek) may be stored: no purge since its load began means it.
    /// `load`: begun before this is asked, so that a purge that comes now is not missed.
    pub(crate) fn admits(&self, load: &Load, entry: &Arc<Entry>) -> bool {
        if !self.consistency.history.position().covers(&entry.position) {
            // It knows more than we do.
            self.consistency.wake();
            return false;
        }
        let Ok(since) = self.consistency.history.since(&entry.position, usize::MAX) else { return false };
        let groups = self.groups();
        !since.iter().any(|purge| Named::new(&purge.what, &groups).is(load.key(), std::slice::from_ref(entry)))
    }
}
