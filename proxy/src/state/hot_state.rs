//! What a pass or a hot response needs: read by all threads of a proxy, each request, without a worker.
//!
//! Worker threads of Wasm have one each. A native host has one for all its threads: nothing here waits for another
//! thread but for the time of a look at a table.

use crate::state::{
    counters::Counters, hit_for_pass::HitForPassTable, hot_cache::HotCache, lock::Padded, purge::PurgeMatcher,
    snapshot::Snapshot,
};
use meshcache_protocol::{Hash, feed::HEARTBEAT_TIMEOUT};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The state that all requests read.
pub struct HotState {
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    /// Changes whenever the snapshot does.
    generation: AtomicU64,
    /// Until when a purge would have been announced. 0: no coordinator has answered yet.
    trusted_until: AtomicU64,
    /// All peers have failed, and none is asked.
    peers_failed: AtomicBool,
    purge_count: AtomicU64,
    /// The hot cache.
    pub hot: HotCache,
    /// The passes of owners.
    pub hit_for_pass: HitForPassTable,
    /// A place for each thread, so that they do not wait for each other: that of the first, and the others'.
    counters: Padded<Mutex<Counters>>,
    more_counters: Box<[Padded<Mutex<Counters>>]>,
}

impl HotState {
    /// An empty state with this many bytes for hot responses, for this many threads.
    pub fn new(hot_bytes: usize, threads: usize) -> Self {
        Self {
            snapshot: Mutex::default(),
            generation: AtomicU64::new(0),
            trusted_until: AtomicU64::new(0),
            peers_failed: AtomicBool::new(false),
            purge_count: AtomicU64::new(0),
            hot: HotCache::new(hot_bytes, threads),
            hit_for_pass: HitForPassTable::default(),
            counters: Padded::default(),
            more_counters: (1..threads).map(|_| Padded::default()).collect(),
        }
    }

    /// The snapshot, once the feed has brought one. For what a request needs of it, see
    /// [`ListenerConfig::current`](super::listener_config::ListenerConfig::current).
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A number that changes whenever the snapshot does.
    pub fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Replaces the snapshot.
    pub(super) fn publish(&self, snapshot: Option<Arc<Snapshot>>) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        // Who reads the new number finds the new snapshot, or a later one.
        self.generation.fetch_add(1, Release);
    }

    /// Records that a coordinator answered the feed at this time. Called after all that the answer brought.
    pub(super) fn trust(&self, contact: u64) {
        self.trusted_until.store(contact.saturating_add(HEARTBEAT_TIMEOUT), Release);
    }

    /// Returns whether hot responses may be given: a purge would have been announced.
    pub fn may_serve_hot(&self, now: u64) -> bool {
        now < self.trusted_until.load(Acquire)
    }

    /// Records whether all peers have failed.
    pub(super) fn set_peers_failed(&self, failed: bool) {
        self.peers_failed.store(failed, Relaxed);
    }

    /// Returns whether peers may be asked.
    pub fn may_ask_peers(&self) -> bool {
        !self.peers_failed.load(Relaxed)
    }

    /// Returns whether neither a hot response may be given nor a peer asked.
    pub fn has_no_source(&self, now: u64) -> bool {
        !self.may_serve_hot(now) && !self.may_ask_peers()
    }

    /// The number of purges and invalidations that were carried out.
    pub fn purge_count(&self) -> u64 {
        self.purge_count.load(Acquire)
    }

    /// Counts a purge, before it is carried out: the hot cache refuses what was asked for before it.
    fn count_purge(&self) {
        self.purge_count.fetch_add(1, Release);
    }

    /// Removes the keys that a purge names. Responses in flight for them are not stored.
    pub(super) fn purge(&self, purge: &PurgeMatcher<'_>) {
        self.count_purge();
        self.hot.purge(purge);
    }

    /// Removes the keys of a hash. Responses in flight for them are not stored.
    pub(super) fn invalidate(&self, hash: Hash) {
        self.count_purge();
        self.hot.remove(hash);
    }

    /// Removes all keys. Responses in flight are not stored.
    pub(super) fn empty(&self) {
        self.count_purge();
        self.hot.clear();
    }

    /// The counters of a thread. Threads beyond those that were announced share the first one's.
    pub fn counters(&self, thread: usize) -> MutexGuard<'_, Counters> {
        let own = thread.checked_sub(1).and_then(|at| self.more_counters.get(at)).unwrap_or(&self.counters);
        own.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what the threads have counted.
    pub fn take_counts(&self, into: &mut Counters) {
        for thread in 0..=self.more_counters.len() {
            into.absorb(&mut self.counters(thread));
        }
    }
}
