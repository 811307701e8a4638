//! Positions: up to which purge of each source a store is clean.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The most sources that a position holds. Beyond it, the source that has not purged for the longest time is forgotten.
pub const MAX_SOURCES: usize = 1024;

/// The purges that a coordinator or proxy has carried out: of each source, all up to a number.
///
/// Cheap to clone, since each stored response has one. As text, in questions and on frames:
/// `cache-0.00c0ffee00c0ffee:17,cache-1.0123456789abcdef:3`. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position(pub(super) Arc<BTreeMap<String, u64>>);

/// A text that is not a purge position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPosition(String);

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a purge position", self.0)
    }
}

impl std::error::Error for InvalidPosition {}

impl Position {
    /// Reads a position. `None`: the text is none, or has more than [`MAX_SOURCES`].
    pub fn parse(text: &str) -> Option<Self> {
        let one = |text: &str| {
            let (source, n) = text.split_once(':')?;
            let fits = !source.is_empty()
                && source.len() <= 128
                && source.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            fits.then_some((source.to_owned(), n.parse().ok().filter(|n| *n > 0)?))
        };
        let mut all = BTreeMap::new();
        for text in text.split(',').filter(|text| !text.is_empty()) {
            let (source, n) = one(text)?;
            all.insert(source, n);
        }
        (all.len() <= MAX_SOURCES).then(|| Self(Arc::new(all)))
    }

    /// Returns the number of the last purge of this source; 0: none.
    pub fn of(&self, source: &str) -> u64 {
        self.0.get(source).copied().unwrap_or(0)
    }

    /// Whether it includes every purge of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || other.0.iter().all(|(source, n)| self.of(source) >= *n)
    }

    /// Adds the purges of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(source, n)| self.advance(source, *n));
    }

    /// Whether it has no purge at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn advance(&mut self, source: &str, n: u64) {
        let all = Arc::make_mut(&mut self.0);
        match all.get_mut(source) {
            Some(known) => *known = n.max(*known),
            None => {
                all.insert(source.to_owned(), n);
            }
        }
    }

    /// The sources, by name, with the number of the last purge of each.
    pub fn sources(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.0.iter()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(i, (source, n))| write!(f, "{}{source}:{n}", if i == 0 { "" } else { "," }))
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = InvalidPosition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(InvalidPosition(text))
    }
}
