//! What comes of a grant.

/// The outcome of a grant, and its metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FillOutcome {
    /// A response came whole.
    Filled,
    /// Its head came, and the rest was not kept: it may not be shared, or it broke off.
    NotKept,
    /// The proxy gave up or died before the head was here.
    Lost,
    /// No head came in time.
    Silent,
}

impl FillOutcome {
    /// Returns its metric label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::NotKept => "not-kept",
            Self::Lost => "lost",
            Self::Silent => "silent",
        }
    }
}
