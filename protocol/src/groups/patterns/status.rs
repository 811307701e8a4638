//! Patterns of statuses.

use super::{InvalidValue, checked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An error status or a class of them: `404`, `4xx`, `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Status {
    /// This status.
    Exactly(u16),
    /// All statuses with this first digit.
    Class(u16),
}

impl Status {
    /// Whether a status matches.
    pub const fn matches(self, status: u16) -> bool {
        match self {
            Self::Exactly(this) => this == status,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl std::str::FromStr for Status {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match (text, text.parse::<u16>()) {
            ("4xx", _) => Ok(Self::Class(4)),
            ("5xx", _) => Ok(Self::Class(5)),
            (_, Ok(status @ 400..=599)) => Ok(Self::Exactly(status)),
            _ => Err(InvalidValue::new(text, "an error status (examples: \"404\", \"4xx\", \"5xx\")")),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

checked!(Status);
