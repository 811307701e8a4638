//! Why there is no answer of an origin or a peer.

use crate::{http::body::Cut, origin::Failing};
use meshcache_protocol::Reason;
use std::error::Error;

/// Why there is no answer of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: refused, or no route.
    Connect,
    /// No address for the name.
    Dns,
    /// No TLS: not trusted, not for this name, or not spoken there.
    Tls,
    /// A peer that cannot be reached.
    Refused,
    /// No head in time, or a pause in the body that was too long.
    Timeout,
    /// The connection broke before the head was there.
    Reset,
    /// What came is not HTTP.
    BadResponse,
    /// The head has more fields than [`MOST_FIELDS`](super::MOST_FIELDS).
    TooManyHeaders,
    /// The head is larger than we read.
    HeadTooLarge,
    /// 101, and nobody had asked for another protocol.
    UnaskedUpgrade,
    /// The connection broke in the middle of the body.
    IncompleteBody,
    /// The client stopped sending its body.
    IncompleteRequest,
    /// No place for a load in time, and the group refuses then.
    Overload,
    /// There was no answer, and what is stored may not be given without one (RFC 9111 section 5.2.2.2).
    Unvalidated,
    /// Our own fault.
    Internal,
}

impl Failure {
    const ALL: [Self; 15] = [
        Self::Connect,
        Self::Dns,
        Self::Tls,
        Self::Refused,
        Self::Timeout,
        Self::Reset,
        Self::BadResponse,
        Self::TooManyHeaders,
        Self::HeadTooLarge,
        Self::UnaskedUpgrade,
        Self::IncompleteBody,
        Self::IncompleteRequest,
        Self::Overload,
        Self::Unvalidated,
        Self::Internal,
    ];

    /// The failure of this word.
    pub(crate) fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|failure| failure.label() == word).unwrap_or(Self::Internal)
    }

    /// What it says of the origin.
    pub(crate) const fn failing(self) -> Option<Failing> {
        match self {
            Self::Connect | Self::Dns | Self::Tls => Some(Failing::Origin),
            Self::Timeout | Self::Reset | Self::IncompleteBody => Some(Failing::Key { retry_after: 0 }),
            Self::BadResponse | Self::TooManyHeaders | Self::HeadTooLarge | Self::UnaskedUpgrade => {
                Some(Failing::Key { retry_after: 0 })
            }
            Self::Refused | Self::IncompleteRequest | Self::Overload | Self::Unvalidated | Self::Internal => None,
        }
    }

    /// Whether the origin gave no answer at all, or half of one: all who wait share that, and nobody asks again at
    /// once. What it said that was no good for us, or what is our own fault, another may understand.
    pub(crate) const fn is_no_answer(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Dns
                | Self::Tls
                | Self::Timeout
                | Self::Reset
                | Self::IncompleteBody
                | Self::Overload
                | Self::Unvalidated
        )
    }

    /// The reason that is said.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Connect => Reason::Connect,
            Self::Dns => Reason::Dns,
            Self::Tls => Reason::Tls,
            Self::Refused => Reason::Refused,
            Self::Timeout => Reason::Timeout,
            Self::Reset => Reason::Reset,
            Self::BadResponse => Reason::BadResponse,
            Self::TooManyHeaders => Reason::TooManyHeaders,
            Self::HeadTooLarge => Reason::HeadTooLarge,
            Self::UnaskedUpgrade => Reason::UnaskedUpgrade,
            Self::IncompleteBody => Reason::IncompleteBody,
            Self::IncompleteRequest => Reason::IncompleteRequest,
            Self::Overload => Reason::Overload,
            Self::Unvalidated => Reason::MustRevalidate,
            Self::Internal => Reason::Internal,
        }
    }

    /// The log word and metric label.
    pub(crate) const fn label(self) -> &'static str {
        self.reason().label()
    }

    /// What went wrong on a connection that was there, by the first cause that says so.
    pub(crate) fn by(error: &(dyn Error + 'static)) -> Self {
        for cause in causes(error) {
            if cause.is::<Cut>() {
                return Self::IncompleteRequest;
            }
            if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
                if hyper.is_parse_too_large() {
                    return Self::HeadTooLarge;
                }
                if hyper.is_parse() || hyper.is_parse_status() {
                    return Self::BadResponse;
                }
                if hyper.is_timeout() {
                    return Self::Timeout;
                }
            }
            // A stream that our own end gave up: what came on it was no response.
            if cause.downcast_ref::<h2::Error>().is_some_and(|h2| h2.is_reset() && h2.is_library()) {
                return Self::BadResponse;
            }
        }
        Self::Reset
    }
}

/// A failure, and what an operator wants to read of it.
#[derive(Clone, Debug)]
pub(super) struct Missed {
    pub(super) failure: Failure,
    pub(super) cause: String,
}

impl Missed {
    pub(super) fn new(failure: Failure, error: &(dyn Error + 'static)) -> Self {
        let mut cause = String::new();
        for text in causes(error).map(ToString::to_string) {
            // Some errors say themselves what caused them.
            if !cause.contains(&text) {
                cause = if cause.is_empty() { text } else { format!("{cause}: {text}") };
            }
        }
        Self { failure, cause }
    }

    pub(super) fn because(failure: Failure, cause: impl Into<String>) -> Self {
        Self { failure, cause: cause.into() }
    }
}

/// An error, what caused it, what caused that.
pub(crate) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}
