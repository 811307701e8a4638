//! What the store holds, and what a purge took from it.

/// What a purge removed here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many entries (variants).
    pub entries: u64,
    /// How many bytes they took.
    pub bytes: u64,
}

/// What one group has in the store, and its counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The group's name.
    pub group: String,
    /// Bytes, bookkeeping included.
    pub bytes: u64,
    /// Entries (variants).
    pub items: u64,
    /// Look-ups.
    pub gets: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Entries that had to go for others.
    pub evictions: u64,
    /// Those among them that had not expired.
    pub evictions_nonexpired: u64,
}
