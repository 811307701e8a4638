//! Where a purge looks, and what it does there.

use crate::store::purge_index::IndexTerm;

/// Where a purge looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PurgeScope {
    /// All keys.
    Everywhere,
    /// All keys of this group.
    Group(String),
    /// The keys of this group with one of these terms.
    Indexed(String, Vec<IndexTerm>),
}

/// The action of a purge on its matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PurgeAction {
    /// Removes it.
    Remove,
    /// Makes it stale from this time on, and removes what is useless then.
    MakeStale(u64),
    /// Only counts it.
    Count,
}
