//! A set of members of a list, as bits by their places in it.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

/// The set. A thousand members are 170 bytes of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Marks(Vec<u8>);

impl Marks {
    /// Whether nobody is marked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is longer than the marks of so many members.
    pub(super) fn is_longer_than(&self, members: usize) -> bool {
        self.0.len() > members.div_ceil(8)
    }

    /// Whether a member is marked.
    pub fn contains(&self, rank: usize) -> bool {
        self.0.get(rank / 8).is_some_and(|bits| bits & (1 << (rank % 8)) != 0)
    }

    /// Marks a member.
    pub fn insert(&mut self, rank: usize) {
        if self.0.len() <= rank / 8 {
            self.0.resize(rank / 8 + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(rank / 8) {
            *bits |= 1 << (rank % 8);
        }
    }

    /// The places of those that are marked.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let bytes = self.0.iter().enumerate().filter(|(_, bits)| **bits != 0);
        bytes.flat_map(|(at, bits)| (0..8).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| at * 8 + bit))
    }
}

impl FromIterator<usize> for Marks {
    fn from_iter<T: IntoIterator<Item = usize>>(ranks: T) -> Self {
        let mut marks = Self::default();
        ranks.into_iter().for_each(|rank| marks.insert(rank));
        marks
    }
}

impl From<Marks> for String {
    fn from(marks: Marks) -> Self {
        STANDARD_NO_PAD.encode(marks.0)
    }
}

impl TryFrom<String> for Marks {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD_NO_PAD.decode(text).map(Self)
    }
}
