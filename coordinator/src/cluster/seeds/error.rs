//! Why a source has no seeds.

/// Why there are no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// A host of the list, or the name in DNS.
    #[error("{0}")]
    Name(String),
    /// The source answers, and knows none.
    #[error("{0}")]
    Empty(String),
    /// The metadata server of an instance.
    #[error("metadata server: {0}")]
    Metadata(String),
    /// The API that lists instances.
    #[error("{0}")]
    Api(String),
}

impl SeedError {
    /// The word for it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Empty(_) => "empty",
            Self::Metadata(_) => "metadata",
            Self::Api(_) => "api",
        }
    }
}
