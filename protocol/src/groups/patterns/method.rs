//! Patterns of methods.

use super::{InvalidValue, checked, is_field_name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An HTTP method, in capitals as sent; `*`: every method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MethodPattern(String);

impl MethodPattern {
    /// Whether a method matches.
    pub fn matches(&self, method: &str) -> bool {
        self.0 == "*" || self.0 == method
    }
}

impl std::str::FromStr for MethodPattern {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // Methods are case-sensitive (RFC 9110 section 9.1): `get` would be another one than GET, and is a mistake.
        if is_field_name(text) && !text.bytes().any(|b| b.is_ascii_lowercase()) && (text == "*" || !text.contains('*'))
        {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(text, "a method (examples: GET, POST, *)"))
        }
    }
}

impl fmt::Display for MethodPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

checked!(MethodPattern);
