//! An admin port's address, as people write it.

use std::{fmt, net::IpAddr, str::FromStr};

/// `HOST:PORT` or `http[s]://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl Address {
    /// Where a coordinator listens by default.
    pub(crate) fn local() -> Self {
        Self { host: "localhost".to_owned(), port: 8081, is_tls: false }
    }

    /// Host and port, as in a request.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tls { write!(f, "https://{}", self.authority()) } else { f.write_str(&self.authority()) }
    }
}

const EXPECTED: &str = "expected HOST:PORT, http://HOST:PORT or https://HOST:PORT, for example localhost:8081";

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (is_tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err(EXPECTED),
            None => (false, text),
        };
        let has_scheme = rest.len() < text.len();
        let authority: http::uri::Authority = match rest.strip_suffix('/').unwrap_or(rest) {
            // As for serving: every address of this machine.
            port if port.starts_with(':') => format!("localhost{port}").parse(),
            full => full.parse(),
        }
        .map_err(|_| EXPECTED)?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| EXPECTED)?,
            None if has_scheme => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            None => return Err(EXPECTED),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 || authority.as_str().contains('@') {
            return Err(EXPECTED);
        }
        // MESHCACHE_ADMIN may be where a coordinator listens. That is every address, and localhost is one of them.
        let is_every = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        let host = if is_every { "localhost".to_owned() } else { host.to_owned() };
        Ok(Self { host, port, is_tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, read) in [
            ("localhost:8081", "localhost:8081"),
            ("[::]:8081", "localhost:8081"),
            ("0.0.0.0:1", "localhost:1"),
            (":8081", "localhost:8081"),
            ("[fd00::5]:8081", "[fd00::5]:8081"),
            ("http://h", "h:80"),
            ("https://h/", "https://h:443"),
            ("HTTPS://h:8081", "https://h:8081"),
        ] {
            assert_eq!(text.parse::<Address>().map(|read| read.to_string()).as_deref(), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "h", "h:", "h:x", "h:70000", "h:0", "ftp://h:1", "http://h/mesh", "u:p@h:1", "http://", "a b:1"]
        {
            assert_eq!(text.parse::<Address>(), Err(EXPECTED), "{text}");
        }
    }
}
