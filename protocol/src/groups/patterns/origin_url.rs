//! URLs of origins.

use super::{InvalidValue, checked};
use crate::request::{
    normal_form::{is_unambiguous, normalize},
    split_port,
};
use serde::{Deserialize, Serialize};
use std::fmt;

const URL: &str = "an origin's URL (http://host:port or https://host:port/base, without user, query and fragment)";
const PATH: &str = "an origin's URL: its path is plain segments (/base/v1), without query, fragment, `//`, `;`, `.`, `..` and any of them encoded";

/// An origin: `http://host:port` or `http://host:port/base`, without query or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginUrl {
    https: bool,
    authority: String,
    /// In its normal form, without a slash at its end.
    path: String,
}

impl OriginUrl {
    /// The placeholder for proxies, which do not need the URL.
    pub(in crate::groups) fn hidden() -> Self {
        Self { https: false, authority: "hidden".into(), path: String::new() }
    }

    /// The URL of an origin that has none.
    pub(in crate::groups) fn unset() -> Self {
        Self { https: false, authority: String::new(), path: String::new() }
    }

    /// Whether there is none.
    pub fn is_unset(&self) -> bool {
        self.authority.is_empty()
    }

    /// Returns `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Returns host and port as written.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the path that stands before that of each request: `/base`, or nothing.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl std::str::FromStr for OriginUrl {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = |expected: &'static str| InvalidValue::of_url(text, expected);
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong(URL)),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_authority(authority) {
            return Err(wrong(URL));
        }
        let in_path = |b: u8| b.is_ascii_alphanumeric() || b"/%-._~!$&'()*+,=:@".contains(&b);
        let path = if path == "/" { "" } else { path };
        if !path.bytes().all(in_path) || !is_unambiguous(path) {
            return Err(wrong(PATH));
        }
        let path = normalize(path.strip_suffix('/').unwrap_or(path)).into_owned();
        Ok(Self { https, authority: authority.into(), path })
    }
}

/// Whether a text is a host, or a host and a port.
pub(in crate::groups) fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let fits = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'.' | b'-' | b'_')
            || (host.starts_with('[') && matches!(b, b'[' | b']' | b':'))
    };
    !host.is_empty() && host.bytes().all(fits) && port != Some(0) && !text.ends_with(':')
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

checked!(OriginUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_an_origin_has_one_form() {
        for (text, path) in [
            ("http://h", ""),
            ("http://h/", ""),
            ("https://h:8443/base", "/base"),
            ("https://[::1]:8443/base/v1/", "/base/v1"),
            ("http://h/%7ea%c3", "/~a%C3"),
            ("http://h/a.b:c@d", "/a.b:c@d"),
        ] {
            let url: OriginUrl = text.parse().unwrap();
            assert_eq!(url.path(), path, "{text}");
            assert_eq!(url.to_string().parse::<OriginUrl>().unwrap(), url, "{text}");
        }
    }

    #[test]
    fn a_path_that_servers_may_read_differently_is_refused() {
        for path in [
            "//",
            "/a//b",
            "/a/../b",
            "/..",
            "/./a",
            "/%2e%2e/a",
            "/a;b",
            "/a\\b",
            "/a%2fb",
            "/a%25b",
            "/a%",
            "/a%00",
            "/a?b",
            "/?",
            "/a#b",
            "/#",
            "/a b",
            "/\u{e9}",
            "?a",
            "#a",
        ] {
            let error = format!("http://h{path}").parse::<OriginUrl>().expect_err(path).to_string();
            assert!(error.contains("without"), "{error}");
        }
    }
}
