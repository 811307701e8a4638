//! What happens when an origin is overloaded.

use crate::groups::InvalidValue;
use serde::{Deserialize, Serialize};

/// The treatment of requests when `maxLoads` are in progress for too long. Helm may write 503 as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OverloadWord", into = "OverloadWord")]
pub enum Overload {
    /// They get a stale response, where there is one; else they pass.
    #[default]
    Stale,
    /// They pass to the service. This does not protect the service.
    Pass,
    /// They get 503 with Retry-After.
    Refuse,
}

impl Overload {
    /// Returns the word in the file, in logs and in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Pass => "pass",
            Self::Refuse => "503",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected stale, pass or 503")]
enum OverloadWord {
    Number(u16),
    Word(String),
}

impl TryFrom<OverloadWord> for Overload {
    type Error = InvalidValue;

    fn try_from(word: OverloadWord) -> Result<Self, InvalidValue> {
        match word {
            OverloadWord::Number(503) => Ok(Self::Refuse),
            OverloadWord::Number(n) => Err(InvalidValue::new(&n.to_string(), "stale, pass or 503")),
            OverloadWord::Word(word) => match word.as_str() {
                "stale" => Ok(Self::Stale),
                "pass" => Ok(Self::Pass),
                "503" => Ok(Self::Refuse),
                _ => Err(InvalidValue::new(&word, "stale, pass or 503")),
            },
        }
    }
}

impl From<Overload> for OverloadWord {
    fn from(overload: Overload) -> Self {
        Self::Word(overload.label().into())
    }
}
