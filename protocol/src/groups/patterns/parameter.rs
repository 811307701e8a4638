//! Names of query parameters.

use super::{InvalidValue, checked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a query parameter, or the beginning of names: `utm_*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.strip_suffix('*').map_or(self.0 == name, |start| name.starts_with(start))
    }
}

impl std::str::FromStr for NamePattern {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || name.contains(['*', '&', '=', '#', ' ']) {
            return Err(InvalidValue::new(text, "the name of a query parameter (examples: session, utm_*)"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

checked!(NamePattern);
