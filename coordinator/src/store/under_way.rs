//! Loads whose answer may come to be stored: a purge that comes while one is under way keeps it out.

use meshcache_protocol::Key;
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
    /// Held shared while a load is checked and stored, alone while a purge marks loads: so a load is either marked, or stored before the purge removes.
    gate: RwLock<()>,
}

struct Inner {
    key: Key,
    purged: AtomicBool,
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

    /// Whether a purge has named it since it began.
    pub(crate) fn is_purged(&self) -> bool {
        self.inner.purged.load(Ordering::Acquire)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.all.loads.lock().remove(&self.id);
    }
}

impl UnderWay {
    pub(super) fn begin(self: &Arc<Self>, key: Key) -> Load {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(Inner { key, purged: AtomicBool::new(false) });
        self.loads.lock().insert(id, inner.clone());
        Load { id, inner, all: self.clone() }
    }

    /// Stores what a load brought, unless a purge has named it.
    pub(super) fn store(&self, load: &Load, store: impl FnOnce() -> bool) -> bool {
        let _shared = self.gate.read();
        !load.is_purged() && store()
    }

    pub(super) fn purge(&self, named: impl Fn(&Key) -> bool) {
        let _alone = self.gate.write();
        self.loads.lock().values().filter(|load| named(&load.key)).for_each(|load| load.purged.store(true, Ordering::Release));
    }
}
