//! Removes what a purge names from the store, and keeps it out: loads in flight are not stored, flights not joined.

use crate::{
    cache::{getter_key, state::Cache},
    origin::Origin,
    store::{Entry, PurgeAction, purge_matcher::PurgeMatcher, usage::Purged},
};
use meshcache_protocol::{
    Key,
    purge::{KeyMatch, Scope},
};
use std::sync::Arc;

/// Removes what a purge names from this coordinator, and detaches the loads and flights that it names.
pub(crate) fn remove(cache: &Cache, what: &Scope, fate: PurgeAction) -> Purged {
    let groups = cache.groups();
    let named = PurgeMatcher::new(what, &groups);
    cache.store.purge_loads(|key| named.match_key(key));
    if fate == PurgeAction::Remove {
        getter_keys(cache, what).iter().for_each(|key| cache.store.add_tombstone(key.hash(), cache.clock.now()));
    }
    let purged = cache.store.purge(&named.candidates(), fate, |key, variants| named.matches(key, variants));
    cache.observed.lock().clear();
    // After the store: a flight that starts from now on has begun after the purge.
    cache.loads.detach(|key| named.match_key(key) != KeyMatch::No);
    cache.peer_loads.detach(|key| named.match_key(key) != KeyMatch::No);
    purged
}

/// The keys that a purge names in a getter's group. A value that is set follows their purge to the owner: for a moment no
/// node keeps a copy of what the owner had until then.
fn getter_keys(cache: &Cache, what: &Scope) -> Vec<Key> {
    let table = cache.group_table();
    let of_getter = |name: &&String| matches!(table.named(name).map(|served| &served.origin), Some(Origin::Getter(_)));
    let group = what.group.iter().filter(of_getter);
    group.flat_map(|name| what.paths.iter().map(|path| getter_key::of_path(name, path))).collect()
}

/// Counts what a purge would remove, and removes nothing.
pub(crate) fn count(cache: &Cache, what: &Scope) -> Purged {
    let groups = cache.groups();
    let named = PurgeMatcher::new(what, &groups);
    cache.store.purge(&named.candidates(), PurgeAction::Count, |key, variants| named.matches(key, variants))
}

/// Whether a purge that this coordinator knows, and the sender of an entry did not, names the entry.
pub(crate) fn is_purged(cache: &Cache, key: &Key, entry: &Arc<Entry>) -> bool {
    let Ok(since) = cache.consistency.since(&entry.position, usize::MAX) else { return true };
    let groups = cache.groups();
    since.iter().any(|purge| PurgeMatcher::new(&purge.scope, &groups).matches(key, std::slice::from_ref(entry)))
}
