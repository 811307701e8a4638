//! Names on the command line: a seed's host and peer port, and a name in DNS.

use meshcache_protocol::request::split_port;
use std::{fmt, net::IpAddr, str::FromStr};

/// A coordinator where it is asked first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// A host name or address, without brackets.
    pub host: String,
    /// Its peer port.
    pub port: u16,
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split_port(text.trim());
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match port {
            Some(port) if port != 0 && (host.parse::<IpAddr>().is_ok() || is_name(host)) => {
                Ok(Self { host: host.to_owned(), port })
            }
            _ => Err(format!("`{text}` is not HOST:PEERPORT (example: cache-0.example:8083)")),
        }
    }
}

/// A name in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName(String);

impl DnsName {
    /// The name, without a dot at its end.
    pub fn as_str(&self) -> &str {
        self.0.trim_end_matches('.')
    }

    /// Whether it is looked up as it stands, and not searched for.
    pub fn is_absolute(&self) -> bool {
        self.0.ends_with('.')
    }
}

impl FromStr for DnsName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.parse::<IpAddr>().is_ok() {
            Err(format!("`{text}` is an address: write --discovery gossip --seeds {text}:PEERPORT"))
        } else if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is not a name in DNS (letters, digits, `-`, `_`, and `.` between them)"))
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a name of at most 240 bytes: `_peer._tcp.` before it still fits into 255.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    name.len() <= 240 && name.split('.').all(|label| (1..64).contains(&label.len()) && label.bytes().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_host_with_a_port() {
        for (text, host, port) in
            [("cache-0.a:8083", "cache-0.a", 8083), ("[::1]:1", "::1", 1), ("10.0.0.1:65535", "10.0.0.1", 65535)]
        {
            assert_eq!(text.parse(), Ok(Seed { host: host.into(), port }), "{text}");
        }
        for bad in ["", "a", "a:", "a:0", ":1", "a:99999", "::1", "a b:1", "http://a:1", "a/b:1", "a:1:2"] {
            assert!(bad.parse::<Seed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_in_dns_is_made_of_labels() {
        for (text, name, is_absolute) in [("cache", "cache", false), ("a.b.", "a.b", true), ("_x.a-b", "_x.a-b", false)]
        {
            let read: DnsName = text.parse().unwrap();
            assert_eq!((read.as_str(), read.is_absolute()), (name, is_absolute), "{text}");
        }
        for bad in ["", ".", "a..b", "a b", "a:1", "ä.b", &"a".repeat(64), &"a.".repeat(121), "10.0.0.1", "::1"] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad}");
        }
    }
}
