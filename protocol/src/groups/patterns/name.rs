//! Names of groups and Kubernetes services.

use super::{InvalidValue, checked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A name as in Kubernetes (RFC 1123 label): at most 63 of a-z, 0-9 and `-`, with a letter or digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if is_label(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(text, "a name (at most 63 of a-z, 0-9 and `-`, no `-` at either end)"))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63
        && text.bytes().all(|b| ok(b) || b == b'-')
        && text.bytes().next().is_some_and(ok)
        && text.bytes().last().is_some_and(ok)
}

/// A Kubernetes service: `name.namespace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Service {
    full: String,
    dot: usize,
}

impl Service {
    /// Returns `name.namespace`.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// Its DNS names, whatever the namespace that asks.
    pub(super) fn names(&self) -> [String; 3] {
        ["", ".svc", ".svc.cluster.local"].map(|rest| format!("{}{rest}", self.full))
    }

    /// Whether a host is a DNS name of this service, as resolved in a namespace.
    pub(super) fn has_name(&self, host: &str, namespace: Option<&str>) -> bool {
        let (name, rest) = self.full.split_at(self.dot);
        match host.strip_prefix(&self.full) {
            Some("" | ".svc" | ".svc.cluster.local" | ".svc.cluster.local.") => true,
            _ => host == name && rest.strip_prefix('.') == namespace,
        }
    }
}

impl std::str::FromStr for Service {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once('.') {
            Some((name, namespace)) if is_label(name) && is_label(namespace) => {
                Ok(Self { full: text.into(), dot: name.len() })
            }
            _ => Err(InvalidValue::new(text, "a service (name.namespace, for example config-server.platform)")),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

checked!(Name, Service);
