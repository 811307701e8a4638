//! What there is where there is no answer.

/// Why there is no answer: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(pub(crate) String);
