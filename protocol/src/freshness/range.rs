//! Ranges: which bytes of a complete body a request is for (RFC 9110 section 14).

use crate::request::Response;
use std::fmt;

/// The most ranges. More of them, or more than two that overlap, are answered with the whole (section 14.2 allows it).
const MAX_RANGES: usize = 16;
/// Ranges that are no further apart than this, about the size of a part's head, are sent as one. Bytes.
const GAP: u64 = 80;

/// The bytes of a range, first and last included. `None`: it is past the end.
type Bytes = Option<(u64, u64)>;

/// The part of a stored response that answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole, with its own status.
    Whole,
    /// 304.
    NotModified,
    /// 206 with these bytes, first and last included.
    Range(u64, u64),
    /// 206 multipart/byteranges with these.
    Ranges(Vec<(u64, u64)>),
    /// 416; Content-Range names the length.
    Unsatisfiable,
    /// Only the origin can answer: If-Match or If-Unmodified-Since (RFC 9110 section 13.1.1), or a stored 206 lacks the
    /// range.
    Origin,
}

/// The Content-Range of a 206: its bytes of the complete content (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The length of the complete content.
    pub length: u64,
}

impl ContentRange {
    /// Reads the Content-Range of a 206. `None`: another status, several parts, an unknown length, or an invalid field.
    pub fn of(response: &Response<'_>) -> Option<Self> {
        let mut said = response.values("content-range");
        let (Some(one), None) = (said.next(), said.next()) else { return None };
        Self::read(one).filter(|_| response.status == 206)
    }

    /// Reads the value of a Content-Range that names bytes and length.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (unit, range) = value.split_at_checked(6)?;
        let slash = range.iter().position(|b| *b == b'/')?;
        let (bytes, length) = range.split_at_checked(slash)?;
        let dash = bytes.iter().position(|b| *b == b'-')?;
        let (first, last) = bytes.split_at_checked(dash)?;
        let extent = Self { first: number(first)?, last: number(last.get(1..)?)?, length: number(length.get(1..)?)? };
        let fits = unit.eq_ignore_ascii_case(b"bytes ") && extent.first <= extent.last && extent.last < extent.length;
        fits.then_some(extent)
    }

    /// Returns the number of bytes.
    pub fn bytes(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Whether it includes these bytes, first and last included.
    pub fn has(self, first: u64, last: u64) -> bool {
        self.first <= first && last <= self.last
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/{}", self.first, self.last, self.length)
    }
}

/// Returns what a Range field selects from a body of `length` bytes. An invalid field selects the whole.
pub(super) fn select(value: &[u8], length: u64) -> Part {
    let Some(at) = value.iter().position(|b| *b == b'=') else { return Part::Whole };
    let (unit, set) = value.split_at_checked(at).unwrap_or((value, b""));
    let specs = || {
        set.get(1..).unwrap_or_default().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty())
    };
    // An empty body has no range.
    if !unit.trim_ascii_start().eq_ignore_ascii_case(b"bytes") || length == 0 || specs().nth(MAX_RANGES).is_some() {
        return Part::Whole;
    }
    let mut specs = specs();
    match (specs.next(), specs.next()) {
        (None, _) => Part::Whole,
        (Some(one), None) => match read(one, length) {
            None => Part::Whole,
            Some(None) => Part::Unsatisfiable,
            Some(Some((first, last))) => Part::Range(first, last),
        },
        (Some(one), Some(two)) => {
            match [one, two].into_iter().chain(specs).map(|spec| read(spec, length)).collect::<Option<Vec<Bytes>>>() {
                None => Part::Whole,
                Some(ranges) => several(&ranges.into_iter().flatten().collect::<Vec<_>>()),
            }
        }
    }
}

/// Reads `first-last`, `first-` or `-suffix`.
fn read(spec: &[u8], length: u64) -> Option<Bytes> {
    let at = spec.iter().position(|b| *b == b'-')?;
    let (first, rest) = spec.split_at_checked(at)?;
    let end = length.saturating_sub(1);
    match (first, rest.get(1..)?) {
        ([], suffix) => {
            let suffix = number(suffix)?;
            Some((suffix > 0).then(|| (length.saturating_sub(suffix), end)))
        }
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first { None } else { Some((first < length).then(|| (first, last.min(end)))) }
        }
    }
}

/// Joins ranges that overlap or nearly touch, and keeps the order of the request.
fn several(asked: &[(u64, u64)]) -> Part {
    let overlap = |a: &(u64, u64), b: &(u64, u64)| a.0 <= b.1 && b.0 <= a.1;
    let crowded = asked
        .iter()
        .enumerate()
        .filter(|(n, a)| asked.iter().enumerate().any(|(m, b)| m != *n && overlap(a, b)))
        .count();
    if crowded > 2 {
        return Part::Whole;
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for one in asked {
        let mut joined = *one;
        let near = |a: &(u64, u64), b: &(u64, u64)| a.0 <= b.1.saturating_add(GAP) && b.0 <= a.1.saturating_add(GAP);
        let place = ranges.iter().position(|had| near(had, &joined));
        // A range that touches two others joins all three.
        while let Some(at) = ranges.iter().position(|had| near(had, &joined)) {
            let had = ranges.remove(at);
            joined = (joined.0.min(had.0), joined.1.max(had.1));
        }
        ranges.insert(place.unwrap_or(ranges.len()).min(ranges.len()), joined);
    }
    match ranges.as_slice() {
        [] => Part::Unsatisfiable,
        [(first, last)] => Part::Range(*first, *last),
        _ => Part::Ranges(ranges),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |n, b| {
        b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b.saturating_sub(b'0'))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, length: u64) -> Part {
        select(text.as_bytes(), length)
    }

    #[test]
    fn one_range_is_first_to_last_open_ended_or_a_suffix() {
        for (text, expected) in [
            ("bytes=0-0", (0, 0)),
            ("bytes=2-5", (2, 5)),
            ("bytes=2-", (2, 9)),
            ("bytes=-3", (7, 9)),
            ("bytes=-30", (0, 9)),
            ("bytes=0-99", (0, 9)),
            ("BYTES=1-2", (1, 2)),
            ("bytes=, 1-2 ,", (1, 2)),
            ("bytes=0-99999999999999999999999", (0, 9)),
            ("bytes=-99999999999999999999999", (0, 9)),
        ] {
            assert_eq!(of(text, 10), Part::Range(expected.0, expected.1), "{text}");
        }
    }

    #[test]
    fn a_range_past_the_end_cannot_be_satisfied() {
        for text in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-", "bytes=10-, -0, 11-12"] {
            assert_eq!(of(text, 10), Part::Unsatisfiable, "{text}");
        }
    }

    #[test]
    fn a_range_that_cannot_be_read_is_ignored() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1",
            "bytes= 1 - 2",
            "bytes=1-2,x",
            "bytes=1-2,5-4",
            "bytes=--1",
            "items=0-1",
            "bytes =0-1",
            "bytes:0-1",
            "bytes=0-1-2",
            "none=0-1",
        ] {
            assert_eq!(of(text, 10), Part::Whole, "{text}");
        }
    }

    #[test]
    fn a_range_of_nothing_is_ignored() {
        assert_eq!(of("bytes=0-", 0), Part::Whole);
        assert_eq!(of("bytes=-5", 0), Part::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order_and_lose_what_is_past_the_end() {
        assert_eq!(of("bytes=500-509, 0-9, 2000-", 1000), Part::Ranges(vec![(500, 509), (0, 9)]));
        assert_eq!(of("bytes=500-509, 2000-", 1000), Part::Range(500, 509));
    }

    #[test]
    fn ranges_that_overlap_or_nearly_touch_are_sent_as_one() {
        assert_eq!(of("bytes=0-9, 5-19", 1000), Part::Range(0, 19));
        assert_eq!(of("bytes=0-9, 50-59", 1000), Part::Range(0, 59));
        assert_eq!(
            of("bytes=0-9, 300-309, 100-109, 600-", 1000),
            Part::Ranges(vec![(0, 9), (300, 309), (100, 109), (600, 999)])
        );
        assert_eq!(of("bytes=0-9, 100-109, 50-59", 1000), Part::Range(0, 109));
    }

    #[test]
    fn sets_that_are_made_to_hurt_are_answered_with_everything() {
        let many = |n: u64| {
            format!("bytes={}", (0..n).map(|n| format!("{}-{}", n * 1000, n * 1000)).collect::<Vec<_>>().join(","))
        };
        assert!(matches!(of(&many(16), 100_000), Part::Ranges(all) if all.len() == 16));
        assert_eq!(of(&many(17), 100_000), Part::Whole);
        assert_eq!(of("bytes=0-,0-,0-", 1000), Part::Whole);
        assert_eq!(of("bytes=0-9,5-14,200-,10-20", 1000), Part::Whole);
    }
}
