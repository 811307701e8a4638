//! Why there is no response of an origin or a peer.

use crate::{http::body::Cut, origin::backoff::FailureScope};
use meshcache_protocol::Reason;
use std::{error::Error, io, net::SocketAddr};

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: refused, or no route.
    Connect,
    /// No address for the name.
    Dns,
    /// No TLS: not trusted, another name, or not spoken there.
    Tls,
    /// A peer that cannot be reached.
    Refused,
    /// No head in time, or a pause in the body that was too long.
    Timeout,
    /// The connection broke before the head was there.
    Reset,
    /// The response is not HTTP.
    BadResponse,
    /// The head has more fields than [`MAX_FIELDS`](crate::origin::connection::MAX_FIELDS).
    TooManyHeaders,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// 101 without a request for another protocol.
    UnaskedUpgrade,
    /// The connection broke in the middle of the body.
    IncompleteBody,
    /// The client stopped sending its body.
    IncompleteRequest,
    /// The origin wants a token, and the token server gives none.
    Token,
    /// No permit for a load or a connection in time.
    Overload,
    /// There was no response, and the stored one may not be served without validation (RFC 9111 section 5.2.2.2).
    Unvalidated,
    /// The file has another version than the one whose slice was asked for.
    NewVersion,
    /// A fault of this process.
    Internal,
}

impl Failure {
    const ALL: [Self; 17] = [
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
        Self::Token,
        Self::Overload,
        Self::Unvalidated,
        Self::NewVersion,
        Self::Internal,
    ];

    /// Returns the failure of a label.
    pub(crate) fn of_label(label: &str) -> Self {
        Self::ALL.into_iter().find(|failure| failure.label() == label).unwrap_or(Self::Internal)
    }

    /// Returns what has failed at the origin, if anything.
    pub(crate) const fn scope(self) -> Option<FailureScope> {
        match self {
            Self::Connect | Self::Dns | Self::Tls | Self::Token => Some(FailureScope::Origin),
            Self::Timeout | Self::Reset | Self::IncompleteBody => Some(FailureScope::Key { retry_after: 0 }),
            Self::BadResponse | Self::TooManyHeaders | Self::HeadTooLarge | Self::UnaskedUpgrade => {
                Some(FailureScope::Key { retry_after: 0 })
            }
            Self::Refused
            | Self::IncompleteRequest
            | Self::Overload
            | Self::Unvalidated
            | Self::NewVersion
            | Self::Internal => None,
        }
    }

    /// Returns whether the origin gave no response, or half of one: all waiting requests share that failure, and none
    /// is sent again at once. A response that is no good here, or a fault of our own, may be different for the next
    /// request.
    pub(crate) const fn is_no_answer(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Dns
                | Self::Tls
                | Self::Timeout
                | Self::Reset
                | Self::IncompleteBody
                | Self::Token
                | Self::Overload
                | Self::Unvalidated
        )
    }

    /// Returns the reason for clients.
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
            Self::Token => Reason::Token,
            Self::Overload => Reason::Overload,
            Self::Unvalidated => Reason::MustRevalidate,
            Self::NewVersion => Reason::NewVersion,
            Self::Internal => Reason::Internal,
        }
    }

    /// Returns the log word and metric label.
    pub(crate) const fn label(self) -> &'static str {
        self.reason().label()
    }

    /// Returns what went wrong on an open connection, by the first cause that says so.
    pub(crate) fn of_error(error: &(dyn Error + 'static)) -> Self {
        for cause in causes(error) {
            if cause.is::<Cut>() {
                return Self::IncompleteRequest;
            }
            if is_tls(cause) {
                return Self::Tls;
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
            // A stream that our own end reset: what came on it was no response.
            if cause.downcast_ref::<h2::Error>().is_some_and(|h2| h2.is_reset() && h2.is_library()) {
                return Self::BadResponse;
            }
        }
        Self::Reset
    }
}

/// Whether TLS has failed on an open connection. In TLS 1.3 a server refuses a client's certificate after the handshake
/// has ended here. h2 keeps of such an error its kind and text alone; no socket has errors of this kind.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let h2 = cause.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
    cause.downcast_ref::<io::Error>().or(h2).is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// The longest cause, bytes. That of a certificate has each of its names, that of HTTP/2 what the other side says.
const MAX_CAUSE: usize = 1024;

/// A failure with its cause for an operator.
#[derive(Clone, Debug)]
pub(super) struct OriginError {
    pub(super) failure: Failure,
    pub(super) cause: String,
}

impl OriginError {
    pub(super) fn new(failure: Failure, error: &(dyn Error + 'static)) -> Self {
        let mut cause = String::new();
        for text in causes(error).map(ToString::to_string) {
            // Some errors contain the text of their cause.
            if !cause.contains(&text) {
                cause = if cause.is_empty() { text } else { format!("{cause}: {text}") };
            }
        }
        cause.truncate(cause.floor_char_boundary(MAX_CAUSE));
        Self { failure, cause }
    }

    /// Names the address in the cause.
    pub(super) fn at(self, address: SocketAddr) -> Self {
        Self { cause: format!("{address}: {}", self.cause), ..self }
    }

    pub(super) fn because(failure: Failure, cause: impl Into<String>) -> Self {
        Self { failure, cause: cause.into() }
    }
}

/// Returns an error and its chain of causes.
pub(crate) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_line_of_bounded_length() {
        let names = io::Error::other(format!("not valid for x; only for {}", "\u{e9}.test, ".repeat(10_000)));
        let OriginError { failure, cause } = OriginError::new(Failure::Tls, &names);
        assert_eq!(failure, Failure::Tls);
        assert!(cause.starts_with("not valid for x") && cause.len() <= MAX_CAUSE, "{}", cause.len());
    }
}
