//! Validators: entity tags and modification dates (RFC 9110 section 8.8).

use super::date;
use crate::request::Response;

/// The time near which dates with two-digit years are, where no better one is known: 2026. Unix seconds.
const PIVOT: i64 = 1_767_225_600;

/// An entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Reads an entity tag. One without quotes, as some servers send it, is read as if it had them.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (weak, rest) = match value.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let quoted = rest.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let opaque = quoted.unwrap_or(rest);
        let fits = opaque.iter().all(|b| *b == 0x21 || (0x23..=0x7e).contains(b) || *b >= 0x80);
        (fits && (quoted.is_some() || !opaque.is_empty())).then_some(Self { weak, opaque })
    }

    /// Whether both are equal by weak comparison (section 8.8.3.2).
    pub(super) fn matches(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// Whether both are equal by strong comparison.
    pub(super) fn matches_strongly(self, other: Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Whether it is a strong validator.
    pub(super) fn is_strong(self) -> bool {
        !self.weak
    }
}

/// Returns the response's only entity tag, as received. `None`: there is none, or two differ.
pub(super) fn raw_tag<'a>(response: &Response<'a>) -> Option<&'a [u8]> {
    let mut tags = response.values("etag");
    let first = tags.next()?;
    (Tag::read(first).is_some() && tags.all(|other| other == first)).then_some(first)
}

/// Returns the response's entity tag.
pub(super) fn tag<'a>(response: &Response<'a>) -> Option<Tag<'a>> {
    raw_tag(response).and_then(Tag::read)
}

/// Returns the response's Last-Modified as received, where it is a date.
pub(super) fn raw_modified<'a>(response: &Response<'a>, now: i64) -> Option<&'a [u8]> {
    response.value("last-modified").filter(|value| date::parse(value, now).is_some())
}

/// Returns the response's Last-Modified, Unix seconds.
pub(super) fn modified(response: &Response<'_>, now: i64) -> Option<i64> {
    response.value("last-modified").and_then(|value| date::parse(value, now))
}

/// Returns the response's Date, Unix seconds.
pub(super) fn dated(response: &Response<'_>) -> Option<i64> {
    response.value("date").and_then(|value| date::parse(value, PIVOT))
}

/// Returns the time near which a stored response's dates are: its Date.
pub(super) fn near(response: &Response<'_>) -> i64 {
    dated(response).unwrap_or(PIVOT)
}

/// Whether the response can be validated.
pub(super) fn any(response: &Response<'_>, now: i64) -> bool {
    raw_tag(response).is_some() || modified(response, now).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Tag<'_> {
        Tag::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn tags_are_compared_weakly_and_strongly() {
        for (a, b, weakly, strongly) in [
            (r#"W/"1""#, r#"W/"1""#, true, false),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, true, false),
            (r#""1""#, r#"W/"1""#, true, false),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!((read(a).matches(read(b)), read(a).matches_strongly(read(b))), (weakly, strongly), "{a} {b}");
        }
    }

    #[test]
    fn a_tag_without_quotes_is_the_one_with_quotes() {
        assert!(read("abc").matches_strongly(read(r#""abc""#)) && read(r#""""#).matches(read(r#""""#)));
        for bad in ["", "W/", "a b", "\"a\"b\"", "\"", "\"a"] {
            assert_eq!(Tag::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn two_tags_that_differ_are_no_validator() {
        let fields: [crate::Field; 2] = [(b"etag", b"\"a\""), (b"etag", b"\"b\"")];
        assert_eq!(tag(&Response { status: 200, fields: &fields }), None);
        let fields: [crate::Field; 2] = [(b"etag", b"\"a\""), (b"etag", b"\"a\"")];
        assert!(tag(&Response { status: 200, fields: &fields }).is_some());
    }
}
