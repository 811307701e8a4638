//! Removes what a purge names from the store, from loads under way and from flights.

use crate::{
    cache::state::Cache,
    store::{Entry, PurgeAction, PurgeGuard, PurgeMatch, purge_matcher::PurgeMatcher, usage::Purged},
};
use meshcache_protocol::purge::Scope;
use std::sync::Arc;

impl Cache {
    /// Removes what is named, here alone, and keeps out what is being loaded of it.
    pub(crate) fn remove(&self, what: &Scope, fate: PurgeAction) -> Purged {
        let groups = self.groups();
        let named = PurgeMatcher::new(what, &groups);
        self.store.purge_loads(|key| named.match_key(key));
        let purged = self.store.purge(&named.scopes(), fate, |key, variants| named.matches(key, variants));
        self.observed.lock().clear();
        // Removed first: who starts a flight after that has begun it after the purge.
        self.loads.detach(|key| named.match_key(key) != PurgeMatch::No);
        self.peer_loads.detach(|key| named.match_key(key) != PurgeMatch::No);
        purged
    }

    /// What a purge would remove.
    pub fn would_purge(&self, what: &Scope) -> Purged {
        let groups = self.groups();
        let named = PurgeMatcher::new(what, &groups);
        self.store.purge(&named.scopes(), PurgeAction::Count, |key, variants| named.matches(key, variants))
    }

    /// Whether what comes from elsewhere (a push, a peek) may be stored: no purge since its load began means it.
    /// `load`: begun before this is asked, so that a purge that comes now is not missed.
    pub(crate) fn admits(&self, load: &PurgeGuard, entry: &Arc<Entry>) -> bool {
        if !self.consistency.position().covers(&entry.position) {
            // It knows more than we do.
            self.consistency.request_catch_up();
            return false;
        }
        let Ok(since) = self.consistency.since(&entry.position, usize::MAX) else { return false };
        let groups = self.groups();
        !since
            .iter()
            .any(|purge| PurgeMatcher::new(&purge.scope, &groups).matches(load.key(), std::slice::from_ref(entry)))
    }
}
