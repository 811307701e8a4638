//! Going on with a response's body from an offset: Range with If-Range, so that two versions are never mixed (RFC 9110
//! sections 13.1.5 and 14.2).

use crate::{
    freshness::{
        range::ContentRange,
        validator::{self, Tag},
    },
    request::Response,
};

/// What another request for the rest of a body has to bring: the same version of the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    validator: Validator,
    length: Option<u64>,
}

/// A strong validator, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Validator {
    Tag(Vec<u8>),
    Date(Vec<u8>),
}

/// Why an answer is not the rest of the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotContinued {
    /// It is of another version, or does not say of which: the whole in its place (200), another validator or length.
    Changed,
    /// The range cannot be satisfied (416): the content is shorter by now.
    Unsatisfiable,
    /// A 206 with other bytes than those that were asked for.
    OtherRange,
    /// Another status.
    Status,
}

impl NotContinued {
    /// Returns its word in logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unsatisfiable => "unsatisfiable",
            Self::OtherRange => "other-range",
            Self::Status => "status",
        }
    }
}

impl Continuation {
    /// Returns how to go on with a complete response (200). `length`: of its content, where that is known. None without a
    /// strong validator: a quoted tag without `W/`, else a Last-Modified before its Date (RFC 9110 section 8.8.2.2).
    pub fn of(response: &Response<'_>, length: Option<u64>) -> Option<Self> {
        if response.status != 200 {
            return None;
        }
        let date = || {
            let near = validator::near(response);
            let (modified, dated) = (validator::modified(response, near)?, validator::dated(response)?);
            let has_tag = response.value("etag").is_some();
            (modified < dated && !has_tag).then(|| response.value("last-modified").map(<[u8]>::to_vec)).flatten()
        };
        let validator = super::strong_tag(response).map(Validator::Tag).or_else(|| date().map(Validator::Date))?;
        Some(Self { validator, length })
    }

    /// Returns the fields of a request for the bytes from `first` on: up to `last`, included, or to the end.
    pub fn fields(&self, first: u64, last: Option<u64>) -> [(&'static str, Vec<u8>); 2] {
        let last = last.map_or_else(String::new, |last| last.to_string());
        let (Validator::Tag(validator) | Validator::Date(validator)) = &self.validator;
        [("range", format!("bytes={first}-{last}").into_bytes()), ("if-range", validator.clone())]
    }

    /// Judges the answer to such a request. `Ok`: its body has exactly these bytes of the same version.
    pub fn judge(&self, first: u64, last: Option<u64>, answer: &Response<'_>) -> Result<ContentRange, NotContinued> {
        match answer.status {
            206 => {}
            200 => return Err(NotContinued::Changed),
            416 => return Err(NotContinued::Unsatisfiable),
            _ => return Err(NotContinued::Status),
        }
        let range = ContentRange::of(answer).ok_or(NotContinued::OtherRange)?;
        if !self.is_same_version(answer) || self.length.is_some_and(|length| length != range.length) {
            return Err(NotContinued::Changed);
        }
        let end = range.length.saturating_sub(1);
        let is_asked_for = range.first == first && range.last == last.map_or(end, |last| last.min(end));
        if is_asked_for { Ok(range) } else { Err(NotContinued::OtherRange) }
    }

    /// A 206 without the validator may be of a server that does not know If-Range.
    fn is_same_version(&self, answer: &Response<'_>) -> bool {
        match &self.validator {
            Validator::Tag(had) => {
                Tag::read(had).zip(validator::tag(answer)).is_some_and(|(had, has)| had.matches_strongly(has))
            }
            Validator::Date(had) => {
                answer.value("etag").is_none() && answer.value("last-modified") == Some(had.as_slice())
            }
        }
    }
}

/// Whether a response says that its origin answers ranges of bytes (RFC 9110 section 14.3).
pub fn accepts_ranges(response: &Response<'_>) -> bool {
    let words = |value: &[u8]| value.split(|b| *b == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"bytes"));
    response.values("accept-ranges").any(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 09:00:00 GMT");
    const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const TAG: (&str, &str) = ("etag", "\"a\"");

    fn with<T>(status: u16, fields: &[(&str, &str)], see: impl FnOnce(&Response<'_>) -> T) -> T {
        let fields: Vec<Field<'_>> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        see(&Response { status, fields: &fields })
    }

    fn of(fields: &[(&str, &str)]) -> Option<Continuation> {
        with(200, fields, |response| Continuation::of(response, Some(10)))
    }

    #[test]
    fn only_a_complete_response_with_a_strong_validator_can_be_gone_on_with() {
        for fields in [&[TAG][..], &[TAG, MODIFIED], &[DATE, MODIFIED]] {
            assert!(of(fields).is_some(), "{fields:?}");
        }
        for fields in [
            &[][..],
            &[("etag", "W/\"a\"")],
            &[("etag", "a")],
            &[TAG, ("etag", "\"b\"")],
            &[MODIFIED],
            &[MODIFIED, ("date", MODIFIED.1)],
            // Who sends a weak tag says that its versions differ within a second.
            &[("etag", "W/\"a\""), DATE, MODIFIED],
        ] {
            assert!(of(fields).is_none(), "{fields:?}");
        }
        assert!(with(206, &[TAG], |part| Continuation::of(part, Some(10))).is_none());
    }

    #[test]
    fn the_rest_is_asked_for_on_the_condition_that_it_is_of_the_same_version() {
        let field = |name: &'static str, value: &str| (name, value.as_bytes().to_vec());
        let tag = of(&[TAG, MODIFIED, DATE]).unwrap();
        assert_eq!(tag.fields(4, None), [field("range", "bytes=4-"), field("if-range", "\"a\"")]);
        let date = of(&[MODIFIED, DATE]).unwrap();
        assert_eq!(date.fields(4, Some(6)), [field("range", "bytes=4-6"), field("if-range", MODIFIED.1)]);
    }

    #[test]
    fn only_exactly_these_bytes_of_the_same_version_go_on() {
        use NotContinued::*;
        let range = ("content-range", "bytes 4-9/10");
        let to_the_end = |status: u16, fields: &[(&str, &str)]| {
            with(status, fields, |answer| of(&[TAG, MODIFIED]).unwrap().judge(4, None, answer).map(|_| ()))
        };
        assert_eq!(to_the_end(206, &[TAG, range]), Ok(()));
        for (status, fields, why) in [
            (200, &[TAG][..], Changed),
            (206, &[range], Changed),
            (206, &[("etag", "\"b\""), range], Changed),
            (206, &[("etag", "W/\"a\""), range], Changed),
            (206, &[TAG, ("content-range", "bytes 4-10/11")], Changed),
            (206, &[TAG], OtherRange),
            (206, &[TAG, ("content-range", "bytes 4-9/*")], OtherRange),
            (206, &[TAG, ("content-range", "bytes 3-9/10")], OtherRange),
            (206, &[TAG, ("content-range", "bytes 4-8/10")], OtherRange),
            (416, &[TAG, ("content-range", "bytes */3")], Unsatisfiable),
            (404, &[], Status),
            (503, &[], Status),
        ] {
            assert_eq!(to_the_end(status, fields), Err(why), "{status} {fields:?}");
        }
        let part = |last, said: &str| {
            with(206, &[TAG, ("content-range", said)], |answer| {
                of(&[TAG]).unwrap().judge(4, Some(last), answer).is_ok()
            })
        };
        assert!(part(6, "bytes 4-6/10") && part(99, "bytes 4-9/10"));
        assert!(!part(6, "bytes 4-9/10") && !part(6, "bytes 4-5/10"));
        let by_date = |fields: &[(&str, &str)]| {
            with(206, fields, |answer| of(&[MODIFIED, DATE]).unwrap().judge(4, None, answer).is_ok())
        };
        assert!(by_date(&[MODIFIED, range]) && !by_date(&[range]) && !by_date(&[DATE, range]));
        assert!(!by_date(&[MODIFIED, TAG, range]), "it has a validator that the first one had not");
    }

    #[test]
    fn an_origin_says_that_it_answers_ranges_of_bytes() {
        for (value, says) in [("bytes", true), ("Bytes", true), ("x, bytes", true), ("none", false), ("", false)] {
            assert_eq!(with(200, &[("accept-ranges", value)], accepts_ranges), says, "{value}");
        }
        assert!(!with(200, &[TAG], accepts_ranges));
    }
}
