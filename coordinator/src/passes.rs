//! Keys whose answers turned out not to be shared, for a while: so that nobody queues for them again.

use crate::recent::recent;
use lru::LruCache;
use meshcache_protocol::Hash;
use parking_lot::Mutex;

/// How many keys are remembered. Beyond that the oldest are forgotten, and the next one who asks waits once.
const MOST: usize = 65_536;

/// The keys that are remembered as `pass`, why, and until when.
pub(crate) struct Passes(Mutex<LruCache<Hash, (&'static str, u64)>>);

impl Default for Passes {
    fn default() -> Self {
        Self(Mutex::new(recent(MOST)))
    }
}

impl Passes {
    /// Remembers a key for so many milliseconds. A hash that two keys share only lets the other pass, too.
    pub(crate) fn remember(&self, key: Hash, reason: &'static str, now: u64, ms: u64) {
        if ms > 0 {
            self.0.lock().put(key, (reason, now.saturating_add(ms)));
        }
    }

    /// Why a key is remembered, and for how long still.
    pub(crate) fn get(&self, key: Hash, now: u64) -> Option<(&'static str, u64)> {
        let mut passes = self.0.lock();
        let (reason, until) = *passes.peek(&key)?;
        if until <= now {
            passes.pop(&key);
            return None;
        }
        Some((reason, until - now))
    }

    /// Forgets a key: something was stored for it.
    pub(crate) fn forget(&self, key: Hash) {
        self.0.lock().pop(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_a_while() {
        let (passes, key) = (Passes::default(), Hash(7));
        passes.remember(key, "private", 1000, 50);
        assert_eq!(passes.get(key, 1020), Some(("private", 30)));
        assert_eq!(passes.get(key, 1050), None);
        passes.remember(key, "private", 1000, 50);
        passes.forget(key);
        assert_eq!(passes.get(key, 1000), None);
    }
}
