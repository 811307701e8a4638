//! Keys that an owner passed a moment ago: nobody asks or queues for them until that is over.

use crate::site::Side;
use lru::LruCache;
use meshcache_protocol::{Key, freshness::Alone};
use std::num::NonZeroUsize;

const MOST: usize = 2048;
const LARGEST_KEY: usize = 4096;

/// The remembered passes of one worker, bounded: the one that was used least makes room.
pub struct Passes {
    passes: LruCache<(Vec<u8>, Asked), u64>,
}

/// For whom the owner passed. A pass for a request that names its user says nothing about plain ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked(Side, u8);

impl Asked {
    /// A question on one side of the proxy, shared or by a request that asked for itself.
    pub fn new(side: Side, alone: Result<(), Alone>) -> Self {
        Self(side, alone.map_or_else(|why| (why as u8).saturating_add(1), |()| 0))
    }
}

impl Default for Passes {
    fn default() -> Self {
        Self { passes: LruCache::new(NonZeroUsize::new(MOST).unwrap_or(NonZeroUsize::MIN)) }
    }
}

impl Passes {
    /// The owner passed; so long.
    pub fn remember(&mut self, key: &Key, asked: Asked, remember: u64, now: u64) {
        if remember > 0 && key.bytes().len() <= LARGEST_KEY {
            self.passes.put((key.bytes().to_vec(), asked), now.saturating_add(remember));
        }
    }

    /// Whether such a question was passed a moment ago.
    pub fn holds(&mut self, key: &Key, asked: Asked, now: u64) -> bool {
        if self.passes.is_empty() {
            return false;
        }
        let place = (key.bytes().to_vec(), asked);
        match self.passes.get(&place) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.passes.pop(&place);
                false
            }
            None => false,
        }
    }

    /// Forgets all: the groups' rules have changed.
    pub fn clear(&mut self) {
        self.passes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_remembered_for_its_time_and_its_kind_of_request() {
        let (mut passes, key) = (Passes::default(), Key::from_bytes(b"k".to_vec()));
        let plain = Asked::new(Side::Outbound, Ok(()));
        passes.remember(&key, Asked::new(Side::Outbound, Err(Alone::Identity)), 1000, 0);
        assert!(!passes.holds(&key, plain, 1), "one client with a token must not empty the cache for all");
        passes.remember(&key, plain, 1000, 0);
        assert!(passes.holds(&key, plain, 999) && !passes.holds(&key, Asked::new(Side::Inbound, Ok(())), 999));
        assert!(!passes.holds(&key, plain, 1000));
    }

    #[test]
    fn passes_are_bounded() {
        let mut passes = Passes::default();
        (0..10 * MOST).for_each(|n| passes.remember(&Key::from_bytes(n.to_le_bytes().to_vec()), Asked::new(Side::Outbound, Ok(())), 1000, 0));
        assert_eq!(passes.passes.len(), MOST);
    }
}
