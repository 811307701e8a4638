//! Why a token server gave no token.

use crate::origin::failure::Failure;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFailure {
    /// There was no response.
    NoResponse(Failure),
    /// The server refused with an error of OAuth (RFC 6749 section 5.2): client, secret or scope are wrong.
    Denied,
    /// Another status than 2xx, without such an error.
    Status,
    /// A redirection. It is not followed: the credentials are for the configured URL.
    Redirect,
    /// A response that is larger than the limit.
    TooLarge,
    /// A response of 2xx without a token that can be used.
    NoToken,
}

impl TokenFailure {
    /// Returns the log word and metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoResponse(failure) => failure.label(),
            Self::Denied => "denied",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::TooLarge => "too-large",
            Self::NoToken => "no-token",
        }
    }
}

/// A failure with its cause for an operator. The cause has nothing of a secret.
#[derive(Clone, Debug)]
pub(super) struct TokenError {
    pub(super) failure: TokenFailure,
    pub(super) cause: String,
}

impl TokenError {
    pub(super) fn new(failure: TokenFailure, cause: impl Into<String>) -> Self {
        Self { failure, cause: cause.into() }
    }
}
