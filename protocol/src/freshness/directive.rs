//! Cache directives, with their names and arguments (RFC 9111 section 5.2).

use crate::request::list::{closing, is_token, is_token_byte, members, pieces};

/// The greatest delta-seconds; more count as this many (RFC 9111 section 1.2.2).
const MAX_SECONDS: u64 = 1 << 31;

/// The argument of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// Nothing.
    None,
    /// `=token`.
    Token(&'a [u8]),
    /// `="quoted string"`, without the quotes.
    Quoted(&'a [u8]),
    /// Invalid.
    Bad,
}

/// Splits a field line into directives: the name as written, and the argument. In a line with invalid quotes it is not
/// clear what is quoted: then the text between any two commas is a directive with an invalid argument.
pub(super) fn directives(line: &[u8]) -> impl Iterator<Item = (&[u8], Argument<'_>)> {
    let regular = is_regular(line);
    if regular { members(line) } else { pieces(line) }.map(move |member| {
        let end = member.iter().position(|b| !is_token_byte(*b)).unwrap_or(member.len());
        let (name, rest) = member.split_at_checked(end).unwrap_or((member, b""));
        let argument = match rest {
            _ if !regular => Argument::Bad,
            [] => Argument::None,
            [b'=', b'"', quoted @ .., b'"'] => Argument::Quoted(quoted),
            [b'=', token @ ..] if is_token(token) => Argument::Token(token),
            _ => Argument::Bad,
        };
        (name, argument)
    })
}

/// Whether each quoted string of a line follows a `=` and ends where its member ends.
fn is_regular(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(open) = rest.iter().position(|b| *b == b'"') {
        let before = open.checked_sub(1).and_then(|at| rest.get(at));
        let Some(end) = closing(rest, open, true) else { return false };
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
        if before != Some(&b'=') || !matches!(rest.trim_ascii_start(), [] | [b',', ..]) {
            return false;
        }
    }
    true
}

/// The seconds of a directive, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delta {
    /// The directive is absent.
    #[default]
    Absent,
    /// Its number is invalid.
    Bad,
    /// Its number.
    Millis(u64),
}

impl Delta {
    /// Reads delta-seconds, as a token or quoted. Larger numbers count as the greatest.
    pub(super) fn of(argument: Argument<'_>) -> Self {
        match argument {
            Argument::Token(text) | Argument::Quoted(text) => {
                seconds(text).map_or(Self::Bad, |s| Self::Millis(s.saturating_mul(1000)))
            }
            Argument::None | Argument::Bad => Self::Bad,
        }
    }

    /// Returns the stricter one of two with the same name: the shorter.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, one) | (one, Self::Absent) => one,
            (Self::Millis(a), Self::Millis(b)) => Self::Millis(a.min(b)),
            _ => Self::Bad,
        }
    }

    /// Returns the milliseconds; 0 for an invalid number. `None`: absent.
    pub(super) fn value(self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Bad => Some(0),
            Self::Millis(ms) => Some(ms),
        }
    }
}

/// Reads a non-negative integer, at most 2^31 (RFC 9111 section 1.2.2).
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |n, b| {
        b.is_ascii_digit()
            .then(|| n.saturating_mul(10).saturating_add(u64::from(b.saturating_sub(b'0'))).min(MAX_SECONDS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn max_age(text: &str) -> Delta {
        directives(text.as_bytes())
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"max-age"))
            .fold(Delta::Absent, |had, (_, argument)| had.and(Delta::of(argument)))
    }

    #[test]
    fn directives_are_read_in_any_case_and_with_any_space_around_commas() {
        let read: Vec<_> = directives(b"  MAX-Age=60 ,\tPublic,,x=\"a, \\\"b\"").collect();
        assert_eq!(
            read,
            [
                (&b"MAX-Age"[..], Argument::Token(b"60")),
                (b"Public", Argument::None),
                (b"x", Argument::Quoted(b"a, \\\"b"))
            ]
        );
        assert_eq!(max_age("x, MAX-Age=60\t, public"), Delta::Millis(60_000));
    }

    #[test]
    fn numbers_are_read_quoted_too() {
        assert_eq!(max_age(r#"max-age="60", s-maxage=7"#), Delta::Millis(60_000));
        assert_eq!(max_age(r#"max-age="6\0""#), Delta::Bad);
    }

    #[test]
    fn numbers_that_overflow_are_as_large_as_can_be() {
        for text in [
            "max-age=2147483648",
            "max-age=4294967296",
            "max-age=18446744073709551616",
            "max-age=99999999999999999999999999999999",
        ] {
            assert_eq!(max_age(text), Delta::Millis(2_147_483_648_000), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_seconds_is_none_at_all() {
        for text in [
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=1.5",
            "max-age=a",
            "max-age=60a",
            "max-age=0x10",
            "max-age =60",
            "max-age= 60",
            "max-age=60; s-maxage=7",
            "max-age=\"\"",
            "max-age=6 0",
        ] {
            assert_eq!(max_age(text), Delta::Bad, "{text}");
        }
        assert_eq!((Delta::Bad.value(), Delta::Absent.value()), (Some(0), None));
    }

    #[test]
    fn of_two_numbers_the_smaller_counts() {
        assert_eq!(max_age("max-age=60, max-age=10"), Delta::Millis(10_000));
        assert_eq!(max_age("max-age=10, max-age=60"), Delta::Millis(10_000));
        assert_eq!(max_age("max-age=60, max-age=x"), Delta::Bad);
    }
}
