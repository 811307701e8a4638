//! An access token, as it is sent to an origin.

use http::HeaderValue;
use std::{fmt, time::Duration};

/// An access token (RFC 6750). It is shown nowhere.
pub(crate) struct AccessToken(HeaderValue);

impl AccessToken {
    /// `None`: the text has characters that no token has (RFC 6749 appendix A.12), or is empty.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        // HTTP/2 keeps it out of its table of fields.
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// Returns the value of Authorization.
    pub(crate) fn authorization(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A token server's grant.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) token: AccessToken,
    /// How long the token is good, from the moment when it was asked for. `None`: the server did not say.
    pub(super) lifetime: Option<Duration>,
}
