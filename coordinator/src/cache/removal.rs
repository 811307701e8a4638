//! Removes what a purge names from the store, and keeps it out: loads under way are not stored, flights not joined.

use crate::{
    cache::state::Cache,
    store::{Entry, Fate, Meant, purge_matcher::Named, usage::Purged},
};
use meshcache_protocol::{Key, purge::What};
use std::sync::Arc;

/// Removes what a purge names from this coordinator, and detaches the loads and flights that it names.
pub(crate) fn remove(cache: &Cache, what: &What, fate: Fate) -> Purged {
    let groups = cache.groups();
    let named = Named::new(what, &groups);
    cache.store.keep_out(|key| named.means(key));
    let purged = cache.store.purge(&named.places(), fate, |key, variants| named.is(key, variants));
    cache.observed.lock().clear();
    // After the store: a flight that starts from now on has begun after the purge.
    cache.loading.detach(|key| named.means(key) != Meant::No);
    cache.asking.detach(|key| named.means(key) != Meant::No);
    purged
}

/// Counts what a purge would remove, and removes nothing.
pub(crate) fn count(cache: &Cache, what: &What) -> Purged {
    let groups = cache.groups();
    let named = Named::new(what, &groups);
    cache.store.purge(&named.places(), Fate::Counted, |key, variants| named.is(key, variants))
}

/// Whether a purge that this coordinator knows, and the sender of an entry did not, names the entry.
pub(crate) fn is_purged(cache: &Cache, key: &Key, entry: &Arc<Entry>) -> bool {
    let Ok(since) = cache.consistency.history.since(&entry.position, usize::MAX) else { return true };
    let groups = cache.groups();
    since.iter().any(|purge| Named::new(&purge.what, &groups).is(key, std::slice::from_ref(entry)))
}
