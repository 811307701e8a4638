//! What the last purges of peers have removed here: a purge may arrive twice, and its report counts it all the same.

use crate::store::usage::Purged;
use meshcache_protocol::purge::Purge;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// The purges that are remembered. One arrives again within two seconds, and is looked for from the last one on.
const MAX_RESULTS: usize = 1024;

/// The results of the last purges.
#[derive(Default)]
pub(super) struct Results(Mutex<VecDeque<(String, Purged)>>);

impl Results {
    /// Records what a purge has removed.
    pub(super) fn record(&self, purge: &Purge, purged: Purged) {
        let mut all = self.0.lock();
        if all.len() >= MAX_RESULTS {
            all.pop_front();
        }
        all.push_back((purge.id(), purged));
    }

    /// Returns what a purge has removed, if it is remembered.
    pub(super) fn of(&self, purge: &Purge) -> Option<Purged> {
        let id = purge.id();
        self.0.lock().iter().rev().find(|(of, _)| *of == id).map(|(_, purged)| *purged)
    }
}
