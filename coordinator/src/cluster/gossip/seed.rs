//! Addresses to ask.

/// A coordinator that is to be asked beside the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The address of its peer port.
    pub at: String,
}

/// An address at which a coordinator may be.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) at: String,
    pub(super) next: u64,
    /// It has answered or refused since the start.
    pub(super) has_responded: bool,
}
