//! Marks: the proof that a coordinator announced a purge.
//!
//! Proxies keep the marks of their position and send them back with it. Only coordinators, which have the token, can
//! make and verify them.

use super::Position;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// 64 bits of an HMAC over a source's name and number.
///
/// 64 bits are enough: each guess costs a question over the network that carries at most 16 of them, and the right one
/// of 2^64 empties one store once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u64);

impl Mark {
    /// Reads a mark: 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_one.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Writes the marks of a position: those of its sources in their order, separated by commas; nothing between the commas
/// for a source without a mark. Empty where no source has one.
pub fn write(position: &Position, mark: impl Fn(&str, u64) -> Option<Mark>) -> String {
    let marks: Vec<Option<Mark>> = position.sources().map(|(source, n)| mark(source, *n)).collect();
    if marks.iter().all(Option::is_none) {
        return String::new();
    }
    let texts: Vec<String> =
        marks.into_iter().map(|mark| mark.map_or_else(String::new, |mark| mark.to_string())).collect();
    texts.join(",")
}

/// Returns the sources and numbers of a position, each with its mark. `marks`: what [`write()`] made for this position;
/// marks of another one count as none.
pub fn read<'p>(position: &'p Position, marks: &'p str) -> impl Iterator<Item = (&'p str, u64, Option<Mark>)> {
    let marks = if marks.split(',').count() == position.sources().count() { marks } else { "" };
    let all = marks.split(',').map(Mark::parse).chain(std::iter::repeat(None));
    position.sources().zip(all).map(|((source, n), mark)| (source.as_str(), *n, mark))
}

/// A position with its marks, as text. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkedPosition {
    /// The position ([`Position`]).
    pub position: String,
    /// Its marks, as [`write()`] makes them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub marks: String,
}

impl MarkedPosition {
    /// Whether it has no position.
    pub fn is_empty(&self) -> bool {
        self.position.is_empty()
    }

    /// The length of both texts, bytes.
    pub fn len(&self) -> usize {
        self.position.len().saturating_add(self.marks.len())
    }
}

/// The marks that a proxy knows: at most one of each source.
#[derive(Clone, Debug, Default)]
pub struct Marks(BTreeMap<String, (u64, Mark)>);

impl Marks {
    /// Adds the marks that came with a coordinator's position `there`, and drops those that are not for the numbers of
    /// the proxy's own position `here`.
    pub fn take(&mut self, here: &Position, there: &Position, marks: &str) {
        for (source, n, mark) in read(there, marks) {
            if let Some(mark) = mark.filter(|_| here.of(source) == n) {
                self.0.insert(source.to_owned(), (n, mark));
            }
        }
        self.0.retain(|source, (n, _)| here.of(source) == *n);
    }

    /// Returns the mark of this number.
    pub fn of(&self, source: &str, n: u64) -> Option<Mark> {
        self.0.get(source).filter(|(marked, _)| *marked == n).map(|(_, mark)| *mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    #[test]
    fn marks_are_read_as_they_were_written_and_those_of_another_position_are_none() {
        let position = at("a:1,b:2,c:3");
        let text = write(&position, |source, n| (source != "b").then_some(Mark(n)));
        assert_eq!(text, "0000000000000001,,0000000000000003");
        let marks = |position: &Position, text: &str| {
            read(position, text).map(|(_, _, mark)| mark.map(|mark| mark.0)).collect::<Vec<_>>()
        };
        assert_eq!(marks(&position, &text), [Some(1), None, Some(3)]);
        assert_eq!(marks(&at("a:1,b:2"), &text), [None, None]);
        assert_eq!(marks(&position, ""), [None, None, None]);
        assert_eq!(marks(&at("a:1,b:1"), "+000000000000001,1"), [None, None], "not 16 digits");
        assert_eq!(
            (write(&position, |_, _| None), write(&at(""), |_, _| Some(Mark(1)))),
            (String::new(), String::new())
        );
        assert_eq!(Mark::parse(&Mark(u64::MAX).to_string()), Some(Mark(u64::MAX)));
    }

    #[test]
    fn a_mark_is_kept_for_as_long_as_its_number_is_the_last() {
        let mut marks = Marks::default();
        marks.take(&at("a:3,b:2"), &at("a:3,b:2"), "0000000000000003,0000000000000002");
        marks.take(&at("a:3,b:2"), &at("a:2,b:1"), "0000000000000007,0000000000000008");
        assert_eq!(
            (marks.of("a", 3), marks.of("a", 2), marks.of("b", 2)),
            (Some(Mark(3)), None, Some(Mark(2))),
            "the coordinator is behind"
        );
        marks.take(&at("a:3,b:3"), &at("a:3,b:3"), "");
        assert_eq!((marks.of("a", 3), marks.of("b", 2), marks.of("b", 3)), (Some(Mark(3)), None, None));
    }
}
