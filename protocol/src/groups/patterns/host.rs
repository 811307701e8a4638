//! Patterns of hosts.

use super::{InvalidValue, Service, checked};
use crate::request::{default_port, split_port};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A host: `example.com` (any port), `example.com:8080`, `*.example.com`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    any_label: bool,
    host: String,
    port: Option<u16>,
}

impl Host {
    /// The pattern that matches every host.
    pub fn any() -> Self {
        Self { any_label: true, host: String::new(), port: None }
    }

    /// Whether it matches every host.
    pub fn is_any(&self) -> bool {
        self.any_label && self.host.is_empty() && self.port.is_none()
    }

    /// Whether the authority of a key matches.
    pub(crate) fn matches_authority(&self, authority: &str, scheme: &str) -> bool {
        let (host, port) = split_port(authority);
        self.matches(host, port, scheme)
    }

    /// Whether one of a service's DNS names matches, on any port: its keys have none.
    pub(crate) fn matches_service(&self, service: &Service) -> bool {
        let any_port = Self { port: None, ..self.clone() };
        service.names().iter().any(|name| any_port.matches(name, None, ""))
    }

    /// Whether there is a host that both match.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let is_within = |of: &Self, narrower: &Self| {
            of.any_label
                && narrower.host.ends_with(&of.host)
                && (narrower.any_label || narrower.host.len() > of.host.len())
        };
        let same_host = self.any_label == other.any_label && self.host == other.host;
        (same_host || is_within(self, other) || is_within(other, self))
            && self.port.zip(other.port).is_none_or(|(own, others)| own == others)
    }

    /// Whether a host matches. `port`: the request's; `None`: the scheme's default.
    pub(super) fn matches(&self, host: &str, port: Option<u16>, scheme: &str) -> bool {
        let host_fits =
            if self.any_label { host.len() > self.host.len() && host.ends_with(&self.host) } else { host == self.host };
        host_fits && self.port.is_none_or(|wanted| wanted == port.unwrap_or_else(|| default_port(scheme)))
    }
}

impl std::str::FromStr for Host {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = || Err(InvalidValue::new(text, "a host (examples: example.com, example.com:8080, *.example.com)"));
        let (any_label, rest) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let (host, port) = split_port(rest);
        let fits = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'-' | b'_' | b'[' | b']')
                || (b == b':' && host.starts_with('['))
        };
        if !host.bytes().all(fits)
            || (host.is_empty() && !any_label)
            || (any_label && !host.is_empty() && !host.starts_with('.'))
        {
            return wrong();
        }
        Ok(Self { any_label, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.any_label { "*" } else { "" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

checked!(Host);
