//! Marks: the proof that a coordinator has told of a purge. Proxies keep them with their positions and send them back;
//! what they mean only coordinators know.

use crate::purge::Position;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The proof that a coordinator has told of a source's number: 64 bits of an HMAC over both.
///
/// Enough: each guess is a question over the network, and the right one of 2^64 empties a store once. A question
/// carries up to 16 of them.
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

/// The marks of a position as text: of each of its sources in their order, nothing for one that has none, commas
/// between them. Empty where none has.
pub fn write(position: &Position, mark: impl Fn(&str, u64) -> Option<Mark>) -> String {
    let marks: Vec<Option<Mark>> = position.sources().map(|(source, n)| mark(source, *n)).collect();
    if marks.iter().all(Option::is_none) {
        return String::new();
    }
    let texts: Vec<String> =
        marks.into_iter().map(|mark| mark.map_or_else(String::new, |mark| mark.to_string())).collect();
    texts.join(",")
}

/// The numbers of a position, each with its mark. `marks`: as they were written for it; those for another one are none.
pub fn read<'p>(position: &'p Position, marks: &'p str) -> impl Iterator<Item = (&'p str, u64, Option<Mark>)> {
    let marks = if marks.split(',').count() == position.sources().count() { marks } else { "" };
    let all = marks.split(',').map(Mark::parse).chain(std::iter::repeat(None));
    position.sources().zip(all).map(|((source, n), mark)| (source.as_str(), *n, mark))
}

/// A position with the marks of its numbers, as questions say both. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkedPosition {
    /// The position.
    pub position: String,
    /// Its marks, as [`write`] has them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub marks: String,
}

impl MarkedPosition {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.position.is_empty()
    }

    /// How many bytes both take.
    pub fn len(&self) -> usize {
        self.position.len().saturating_add(self.marks.len())
    }
}

/// The marks of the numbers that a proxy has heard of.
#[derive(Clone, Debug, Default)]
pub struct Marks(BTreeMap<String, (u64, Mark)>);

impl Marks {
    /// Takes what a coordinator has told with its position, of the numbers that are the last `here`. Those of other
    /// numbers go.
    pub fn take(&mut self, here: &Position, there: &Position, marks: &str) {
        for (source, n, mark) in read(there, marks) {
            if let Some(mark) = mark.filter(|_| here.of(source) == n) {
                self.0.insert(source.to_owned(), (n, mark));
            }
        }
        self.0.retain(|source, (n, _)| here.of(source) == *n);
    }

    /// The mark of this number.
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
            "who tells is behind"
        );
        marks.take(&at("a:3,b:3"), &at("a:3,b:3"), "");
        assert_eq!((marks.of("a", 3), marks.of("b", 2), marks.of("b", 3)), (Some(Mark(3)), None, None));
    }
}
