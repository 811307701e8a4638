//! The 128-bit hash that places a key.

use std::fmt;
use xxhash_rust::xxh3::xxh3_128;

/// The 128-bit hash of a key. It places a key (ring, shard, table) and never identifies it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub u128);

impl Hash {
    /// Hashes these bytes (XXH3, 128 bits).
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// The low half, which the ring weighs.
    pub const fn low(self) -> u64 {
        self.0 as u64
    }

    /// The high half, which shards and tables use, independent of the ring.
    pub const fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
