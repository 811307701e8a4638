//! Where a purge looks for what it names, and what becomes of it.

use crate::store::purge_index::Mark;

/// Where that may be which a purge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Anywhere: every key is looked at.
    Everywhere,
    /// Anywhere in this group.
    Group(String),
    /// In this group under one of these marks: nothing else is looked at.
    Marked(String, Vec<Mark>),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is removed.
    Gone,
    /// It is stale from now on, and removed where it is of no use so.
    Stale(u64),
    /// Nothing: it is only counted.
    Counted,
}
