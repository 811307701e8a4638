//! What coordinators send to prove their calls.

use crate::{origin::Failure, settings::PeerTrust};
use http::HeaderValue;

/// What is sent with calls to peers.
#[derive(Clone, Debug, Default)]
pub(crate) enum Credentials {
    /// Peers refuse every call: none is made.
    #[default]
    None,
    /// The value of Authorization.
    Token(HeaderValue),
    /// Nothing. Peers answer questions and peeks, and refuse all else.
    Open,
}

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// It reads, or says what any client of the data port may say.
    Reach,
    /// It changes what others have.
    Token,
}

impl Credentials {
    /// A token where there is one, else what the trust among peers allows.
    pub(crate) fn of(token: Option<&String>, trust: PeerTrust) -> Self {
        let value = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        match (value, trust) {
            (Some(mut value), _) => {
                value.set_sensitive(true);
                Self::Token(value)
            }
            (None, PeerTrust::Token) => Self::None,
            (None, PeerTrust::Open) => Self::Open,
        }
    }

    /// Returns what to send with a call; fails where a peer would refuse it.
    pub(super) fn proof(&self, needs: Needs) -> Result<Option<HeaderValue>, Failure> {
        match (self, needs) {
            (Self::Token(value), _) => Ok(Some(value.clone())),
            (Self::Open, Needs::Reach) => Ok(None),
            (Self::Open, Needs::Token) | (Self::None, _) => Err(Failure::Refused),
        }
    }
}
