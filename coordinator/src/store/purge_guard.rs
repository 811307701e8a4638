//! Loads whose responses may be stored. A purge during a load keeps its response out.

use crate::store::entry::Entry;
use meshcache_protocol::{
    Key,
    purge::{KeyMatch, Position},
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// All loads in progress.
#[derive(Default)]
pub(super) struct LoadsInFlight {
    loads: Mutex<HashMap<u64, Arc<LoadState>>>,
    next: AtomicU64,
    /// Held shared while a load is checked and stored, exclusively while a purge marks loads: a load is either marked,
    /// or stored before the purge removes entries.
    storing: RwLock<()>,
}

struct LoadState {
    key: Key,
    position: Arc<Position>,
    purged: AtomicBool,
    /// The tags of purges by tag of its group. The response is checked against them.
    tags: Mutex<Vec<Arc<[String]>>>,
}

/// Purges by tag that are kept for a load. With more it counts as purged.
const MAX_TAG_PURGES: usize = 64;

/// One load, from before its request is sent until it is dropped.
pub(crate) struct PurgeGuard {
    id: u64,
    inner: Arc<LoadState>,
    all: Arc<LoadsInFlight>,
}

impl PurgeGuard {
    /// Returns the key that it loads.
    pub(crate) fn key(&self) -> &Key {
        &self.inner.key
    }

    /// Returns the purges that were carried out when it began.
    pub(crate) fn position(&self) -> &Arc<Position> {
        &self.inner.position
    }

    /// Returns whether a purge since its begin matches its key, or may match its response.
    pub(crate) fn may_be_purged(&self) -> bool {
        self.inner.purged.load(Ordering::Acquire) || !self.inner.tags.lock().is_empty()
    }

    /// Returns whether a purge since its begin matches its response.
    pub(crate) fn is_purged(&self, entry: &Entry) -> bool {
        let is_tagged = |tags: &Arc<[String]>| {
            entry.tag_words().any(|word| tags.binary_search_by(|tag| tag.as_bytes().cmp(word)).is_ok())
        };
        self.inner.purged.load(Ordering::Acquire) || self.inner.tags.lock().iter().any(is_tagged)
    }
}

impl Drop for PurgeGuard {
    fn drop(&mut self) {
        self.all.loads.lock().remove(&self.id);
    }
}

impl LoadsInFlight {
    pub(super) fn begin(self: &Arc<Self>, key: Key, position: Arc<Position>) -> PurgeGuard {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(LoadState { key, position, purged: AtomicBool::new(false), tags: Mutex::default() });
        self.loads.lock().insert(id, inner.clone());
        PurgeGuard { id, inner, all: self.clone() }
    }

    /// Stores a load's response, unless a purge matches it.
    pub(super) fn store_unless_purged(&self, load: &PurgeGuard, entry: &Entry, store: impl FnOnce() -> bool) -> bool {
        let _shared = self.storing.read();
        !load.is_purged(entry) && store()
    }

    /// Stores a response, unless a purge matches it, and keeps out those of all other loads of its key. What begins after
    /// the mark finds it in the store; nothing is stored between the two.
    pub(super) fn store_in_place_of_others(
        &self,
        load: &PurgeGuard,
        entry: &Entry,
        store: impl FnOnce() -> bool,
    ) -> bool {
        let _alone = self.storing.write();
        let is_stored = !load.is_purged(entry) && store();
        if is_stored {
            let loads = self.loads.lock();
            let others = loads.iter().filter(|(id, other)| **id != load.id && other.key == *load.key());
            others.for_each(|(_, other)| other.purged.store(true, Ordering::Release));
        }
        is_stored
    }

    pub(super) fn mark_purged<'m>(&self, matches: impl Fn(&Key) -> KeyMatch<'m>) {
        let _alone = self.storing.write();
        for load in self.loads.lock().values() {
            match matches(&load.key) {
                KeyMatch::No => {}
                KeyMatch::Yes => load.purged.store(true, Ordering::Release),
                KeyMatch::ByTag(tags) => {
                    let mut all = load.tags.lock();
                    if all.len() < MAX_TAG_PURGES {
                        all.push(tags.clone())
                    } else {
                        load.purged.store(true, Ordering::Release)
                    }
                }
            }
        }
    }
}
