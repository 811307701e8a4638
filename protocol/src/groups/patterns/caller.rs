//! Patterns of callers.

use super::{InvalidValue, checked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands before a DNS name.
const DNS: &str = "dns:";

/// A pattern of SPIFFE ids, or after `dns:` of DNS names, with `*` for any characters except `/`. `*` alone: every
/// caller, with or without identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallerPattern(String);

impl CallerPattern {
    /// Whether it matches every caller.
    pub fn is_everybody(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it is of DNS names. Only a coordinator knows these, by a caller's certificate.
    pub fn is_dns(&self) -> bool {
        self.0.starts_with(DNS)
    }

    /// A pattern that no caller matches: no trust domain has that character.
    pub(in crate::groups) fn nobody() -> Self {
        Self("spiffe://!".into())
    }

    /// Whether a caller matches. `None`: a caller without identity.
    pub fn matches(&self, caller: Option<&str>) -> bool {
        self.is_everybody() || caller.is_some_and(|caller| glob(self.0.as_bytes(), caller.as_bytes()))
    }
}

/// Matches a glob in which `*` stands for any characters except `/`. Linear: only the last star is tried again.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut back) = (0, 0, None);
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(x) if x == c => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) if text.get(from).is_some_and(|skipped| *skipped != b'/') => {
                    (p, t) = (star + 1, from + 1);
                    back = Some((star, from + 1));
                }
                _ => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|b| *b == b'*')
}

impl std::str::FromStr for CallerPattern {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b));
        if text == "*" || (text.starts_with("spiffe://") && text.bytes().all(|b| b.is_ascii_graphic())) {
            Ok(Self(text.into()))
        } else if text.strip_prefix(DNS).is_some_and(is_name) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidValue::new(
                text,
                "a caller (examples: spiffe://cluster.local/ns/shop/sa/web, spiffe://*/ns/shop/sa/*, dns:web.example.com, *)",
            ))
        }
    }
}

impl fmt::Display for CallerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

checked!(CallerPattern);
