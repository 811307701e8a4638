//! The purges that were claimed and are unknown here: when each was first claimed, and which are no longer waited for.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};

/// The most proven purges that are remembered: more than a position has sources.
const MAX_PROVEN: usize = 4096;
/// The most purges without a right mark that are remembered. More, since any client may make them up: a flood of them
/// makes others wait anew.
pub(super) const MAX_UNPROVEN: usize = 16_384;

/// A purge by its source and its number there.
type PurgeId = (String, u64);

/// Unknown purges, and when each was first claimed.
#[derive(Debug)]
pub(crate) struct UnknownPurges {
    proven: Mutex<LruCache<PurgeId, u64>>,
    /// Those that may be made up. They flush nothing, and displace none of the proven ones.
    unproven: Mutex<LruCache<PurgeId, u64>>,
    /// The last number of each source that was abandoned: the store was flushed since.
    abandoned: Mutex<LruCache<String, u64>>,
}

impl Default for UnknownPurges {
    fn default() -> Self {
        Self {
            proven: Mutex::new(bounded_lru(MAX_PROVEN)),
            unproven: Mutex::new(bounded_lru(MAX_UNPROVEN)),
            abandoned: Mutex::new(bounded_lru(MAX_PROVEN)),
        }
    }
}

impl UnknownPurges {
    /// Records a purge that a coordinator has announced. Returns when it was first claimed; `None`: it is abandoned.
    pub(super) fn note_proven(&self, source: &str, n: u64, now: u64) -> Option<u64> {
        let since = *self.proven.lock().get_or_insert((source.to_owned(), n), || now);
        let is_abandoned = self.abandoned.lock().get(source).is_some_and(|last| n <= *last);
        (!is_abandoned).then_some(since)
    }

    /// Records a purge that may be made up. Returns when it was first claimed; `None`: it is abandoned.
    pub(super) fn note_unproven(&self, source: &str, n: u64, now: u64) -> Option<u64> {
        let since = *self.unproven.lock().get_or_insert((source.to_owned(), n), || now);
        // Looked up without use: what is made up keeps nothing in memory.
        let is_abandoned = self.abandoned.lock().peek(source).is_some_and(|last| n <= *last);
        (!is_abandoned).then_some(since)
    }

    /// Whether no purge was proven and unknown.
    pub(super) fn is_empty(&self) -> bool {
        self.proven.lock().is_empty()
    }

    /// The proven purges that are not abandoned and meet a condition on their source and the time of their first
    /// claim.
    pub(super) fn proven(&self, condition: impl Fn(&str, u64) -> bool) -> Vec<PurgeId> {
        let (proven, abandoned): (MutexGuard<'_, _>, MutexGuard<'_, _>) = (self.proven.lock(), self.abandoned.lock());
        let is_open = |source: &String, n: u64| abandoned.peek(source).is_none_or(|last| *last < n);
        let open = proven.iter().filter(|((source, n), since)| is_open(source, *n) && condition(source, **since));
        open.map(|(purge, _)| purge.clone()).collect()
    }

    /// Abandons these purges and the earlier ones of their sources.
    pub(super) fn abandon(&self, purges: &[PurgeId]) {
        let mut abandoned = self.abandoned.lock();
        for (source, n) in purges {
            let last = abandoned.get(source).copied().unwrap_or(0);
            abandoned.put(source.clone(), last.max(*n));
        }
    }

    #[cfg(test)]
    pub(super) fn unproven_len(&self) -> usize {
        self.unproven.lock().len()
    }
}
