//! Patterns of statuses.

use super::{InvalidValue, checked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A status or a class of them: `404`, `4xx`. 1xx, 206 and 304 are no responses that stand for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Status {
    /// This status.
    Exactly(u16),
    /// All statuses with this first digit.
    Class(u16),
}

impl Status {
    /// Whether it is of errors: 4xx or 5xx.
    pub const fn is_error(self) -> bool {
        match self {
            Self::Exactly(status) => status >= 400,
            Self::Class(class) => class >= 4,
        }
    }

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
        let status = match text.strip_suffix("xx") {
            Some(class) => {
                class.parse().ok().filter(|_| class.len() == 1).filter(|class| (2..=5).contains(class)).map(Self::Class)
            }
            None => text
                .parse()
                .ok()
                .filter(|_| text.len() == 3)
                .filter(|n| (200..600).contains(n) && ![206, 304].contains(n))
                .map(Self::Exactly),
        };
        status.ok_or_else(|| {
            let expected = "a status to store (examples: \"2xx\", \"301\", \"404\", \"5xx\"; not 1xx, 206 and 304)";
            InvalidValue::new(text, expected)
        })
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
