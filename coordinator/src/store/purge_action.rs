//! What a purge does.

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
