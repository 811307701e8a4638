//! The error of a text that is not a value of its type.

use std::{borrow::Cow, fmt};

/// A text that is not a value of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    text: String,
    expected: Cow<'static, str>,
}

impl InvalidValue {
    /// `expected`: what the text should be, with examples: `a size (examples: 512KiB, 8MiB)`.
    pub(in crate::groups) fn new(text: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.to_owned(), expected: expected.into() }
    }

    /// A URL that is none, without what may be a password in it.
    pub(in crate::groups) fn url(text: &str, expected: &'static str) -> Self {
        let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
        match parts {
            Some((scheme, rest)) => Self::new(&format!("{scheme}://***@{rest}"), expected),
            None => Self::new(text, expected),
        }
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text, self.expected)
    }
}

impl std::error::Error for InvalidValue {}

/// Implements the conversions of types that are checked strings: read by `FromStr`, written by `Display`.
macro_rules! checked {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = $crate::groups::InvalidValue;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
pub(in crate::groups) use checked;
