//! Loads whose answer may come to be stored: a purge that comes while one is under way keeps it out.

use crate::store::Entry;
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
pub(super) struct UnderWay {
    loads: Mutex<HashMap<u64, Arc<Inner>>>,
    next: AtomicU64,
    /// Held shared while a load is checked and stored, alone while a purge marks loads: so a load is either marked, or
    /// stored before the purge removes.
    gate: RwLock<()>,
}

struct Inner {
    key: Key,
    position: Arc<Position>,
    purged: AtomicBool,
    /// Purges by tag of its group: what it brings is held against them.
    tags: Mutex<Vec<Arc<[String]>>>,
}

/// So many purges by tag are remembered for a load. Beyond that it counts as meant.
const TAGS: usize = 64;

/// Whether a purge means what is being loaded for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does where one of these, which are in order, is among the tags of what comes.
    ByTag(Arc<[String]>),
}

/// One load, from before its request is sent. It ends when it is dropped.
pub(crate) struct Load {
    id: u64,
    inner: Arc<Inner>,
    all: Arc<UnderWay>,
}

impl Load {
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

impl Drop for Load {
    fn drop(&mut self) {
        self.all.loads.lock().remove(&self.id);
    }
}

impl UnderWay {
    pub(super) fn begin(self: &Arc<Self>, key: Key, position: Arc<Position>) -> Load {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(Inner { key, position, purged: AtomicBool::new(false), tags: Mutex::default() });
        self.loads.lock().insert(id, inner.clone());
        Load { id, inner, all: self.clone() }
    }

    /// Stores what a load brought, unless a purge means it.
    pub(super) fn store(&self, load: &Load, entry: &Entry, store: impl FnOnce() -> bool) -> bool {
        let _shared = self.gate.read();
        !load.is_purged(entry) && store()
    }

    pub(super) fn purge(&self, meant: impl Fn(&Key) -> Meant) {
        let _alone = self.gate.write();
        for load in self.loads.lock().values() {
            match meant(&load.key) {
                Meant::No => {}
                Meant::Yes => load.purged.store(true, Ordering::Release),
                Meant::ByTag(tags) => {
                    let mut all = load.tags.lock();
                    if all.len() < TAGS { all.push(tags) } else { load.purged.store(true, Ordering::Release) }
                }
            }
        }
    }
}
