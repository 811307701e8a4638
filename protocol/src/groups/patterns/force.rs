//! Forced freshness.

use super::{InvalidValue, checked};
use crate::groups::units::Span;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;

/// `off`, or a freshness that replaces that of responses. YAML may write `off` as false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum Force {
    /// Responses keep their freshness.
    #[default]
    Off,
    /// The freshness of every response that is not private or no-store.
    For(Span),
}

impl<'de> Deserialize<'de> for Force {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected off or a duration such as 10s")]
        enum Word {
            Bool(bool),
            Text(String),
        }
        match Word::deserialize(deserializer)? {
            Word::Bool(false) => Ok(Self::Off),
            Word::Bool(true) => Err(D::Error::custom(InvalidValue::new("true", "off or a duration"))),
            Word::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl std::str::FromStr for Force {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::For) }
    }
}

impl fmt::Display for Force {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::For(span) => span.fmt(f),
        }
    }
}

checked!(Force);
