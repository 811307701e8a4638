//! Loads whose answer may come to be stored: a purge that comes while one is under way keeps it out.

use crate::store::entry::Entry;
use meshcache_protocol::{Key, purge::Position};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// All loads under way.
#[derive(Default)]
pub(super) struct LoadsInFlight {
    loads: Mutex<HashMap<u64, Arc<Loading>>>,
    next: AtomicU64,
    /// Held shared while a load is checked and stored, alone while a purge marks loads: so a load is either marked, or
    /// stored before the purge removes.
    storing: RwLock<()>,
}

struct Loading {
    key: Key,
    position: Arc<Position>,
    purged: AtomicBool,
    /// Purges by tag of its group: what it brings is held against them.
    tags: Mutex<Vec<Arc<[String]>>>,
}

/// So many purges by tag are remembered for a load. Beyond that it counts as meant.
const MAX_TAG_PURGES: usize = 64;

/// Whether a purge means what is being loaded for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PurgeMatch {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does where one of these, which are in order, is among the tags of what comes.
    ByTag(Arc<[String]>),
}

/// One load, from before its request is sent. It ends when it is dropped.
pub(crate) struct PurgeGuard {
    id: u64,
    inner: Arc<Loading>,
    all: Arc<LoadsInFlight>,
}

impl PurgeGuard {
    /// The key that it loads.
    pub(crate) fn key(&self) -> &Key {
        &self.inner.key
    }

    /// The purges that were carried out when it began.
    pub(crate) fn position(&self) -> &Arc<Position> {
        &self.inner.position
    }

    /// Whether a purge since it began means its key, or may mean what it brings.
    pub(crate) fn may_be_purged(&self) -> bool {
        self.inner.purged.load(Ordering::Acquire) || !self.inner.tags.lock().is_empty()
    }

    /// Whether a purge since it began means what it brought.
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
        let inner = Arc::new(Loading { key, position, purged: AtomicBool::new(false), tags: Mutex::default() });
        self.loads.lock().insert(id, inner.clone());
        PurgeGuard { id, inner, all: self.clone() }
    }

    /// Stores what a load brought, unless a purge means it.
    pub(super) fn store_unless_purged(&self, load: &PurgeGuard, entry: &Entry, store: impl FnOnce() -> bool) -> bool {
        let _shared = self.storing.read();
        !load.is_purged(entry) && store()
    }

    pub(super) fn mark_purged(&self, matches: impl Fn(&Key) -> PurgeMatch) {
        let _alone = self.storing.write();
        for load in self.loads.lock().values() {
            match matches(&load.key) {
                PurgeMatch::No => {}
                PurgeMatch::Yes => load.purged.store(true, Ordering::Release),
                PurgeMatch::ByTag(tags) => {
                    let mut all = load.tags.lock();
                    if all.len() < MAX_TAG_PURGES { all.push(tags) } else { load.purged.store(true, Ordering::Release) }
                }
            }
        }
    }
}
