//! URLs of origins.

use super::{InvalidValue, checked};
use crate::request::split_port;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An origin: `http://host:port`, without path, query or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginUrl {
    https: bool,
    authority: String,
}

impl OriginUrl {
    /// The placeholder for proxies, which do not need the URL.
    pub(in crate::groups) fn hidden() -> Self {
        Self { https: false, authority: "hidden".into() }
    }

    /// Returns `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Returns host and port as written.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl std::str::FromStr for OriginUrl {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong =
            || InvalidValue::new(text, "an origin's URL (http://host:port or https://host:port, without a path)");
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(authority);
        let fits = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'-' | b'_')
                || (host.starts_with('[') && matches!(b, b'[' | b']' | b':'))
        };
        if host.is_empty() || !host.bytes().all(fits) || port == Some(0) || authority.ends_with(':') {
            return Err(wrong());
        }
        Ok(Self { https, authority: authority.into() })
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

checked!(OriginUrl);
