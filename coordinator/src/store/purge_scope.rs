//! Where a purge looks for what it names, and what becomes of it.

use crate::store::purge_index::IndexTerm;

/// Where that may be which a purge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PurgeScope {
    /// Anywhere: every key is looked at.
    Everywhere,
    /// Anywhere in this group.
    Group(String),
    /// In this group under one of these marks: nothing else is looked at.
    Indexed(String, Vec<IndexTerm>),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PurgeAction {
    /// It is removed.
    Remove,
    /// It is stale from now on, and removed where it is of no use so.
    MakeStale(u64),
    /// Nothing: it is only counted.
    Count,
}
