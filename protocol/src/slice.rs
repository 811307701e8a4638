//! Slices: the pieces of one size in which a large file is loaded, stored and owned, and what an origin's response to a
//! request for one is.

use crate::{
    freshness::{ContentRange, strong_tag},
    key::{Key, frame, many},
    request::Response,
};
use std::{fmt, num::NonZeroU64};

/// The longest entity tag that is a version.
const LONGEST_VERSION: usize = 128;

/// A slice of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The size of all slices but the last.
    pub size: u64,
    /// Which slice it is; none: the first.
    pub later: Option<Later>,
}

/// A slice after the first, of the version that the first one named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// Its number; the first slice has 0.
    pub number: NonZeroU64,
    /// The strong entity tag of the file.
    pub version: String,
}

/// What an origin's response to the request for a slice is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SliceResponse {
    /// The slice.
    Slice {
        /// Its bytes of the file.
        extent: ContentRange,
        /// The file's strong entity tag.
        version: String,
    },
    /// All of the file, which is no larger than a slice.
    Whole,
    /// A range that is no slice: the file has no strong entity tag, the length is not announced, or it is not what was
    /// asked for. The file has to be loaded whole.
    Unfit,
    /// The file has another version now.
    Changed,
    /// A response to which the range does not matter.
    Other,
}

impl Slice {
    /// The first slice of a file.
    pub const fn first(size: u64) -> Self {
        Self { size, later: None }
    }

    /// The slice of this number of a version.
    pub fn numbered(size: u64, number: u64, version: &str) -> Self {
        Self { size, later: NonZeroU64::new(number).map(|number| Later { number, version: version.to_owned() }) }
    }

    /// Reads what its `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, version) = text.split_once(' ').map_or((text, None), |(place, version)| (place, Some(version)));
        let (number, size) = place.split_once('/')?;
        let (number, size) = (number.parse().ok()?, size.parse().ok().filter(|size| *size > 0)?);
        match (NonZeroU64::new(number), version) {
            (None, None) => Some(Self::first(size)),
            (Some(number), Some(version)) if is_version(version) && number.get().checked_mul(size).is_some() => {
                Some(Self { size, later: Some(Later { number, version: version.to_owned() }) })
            }
            _ => None,
        }
    }

    /// The key of this slice of a file. Each version has slices of its own, so none is ever put beside those of another.
    #[must_use]
    pub fn key(&self, file: &Key) -> Key {
        let mut bytes = file.bytes().to_vec();
        let (number, version) = match &self.later {
            Some(later) => (later.number.get(), &*later.version),
            None => (0, ""),
        };
        let (number, size) = (number.to_le_bytes(), self.size.to_le_bytes());
        let values = [&number[..], &size, version.as_bytes()];
        many(&mut |part| frame(&mut bytes, &[part]), b"s", b"slice", values.into_iter());
        Key::from_bytes(bytes)
    }

    /// The offset of its first byte.
    pub fn start(&self) -> u64 {
        self.later.as_ref().map_or(0, |later| later.number.get()).saturating_mul(self.size)
    }

    /// The offset of its last byte, unless the file ends before.
    fn last(&self) -> u64 {
        self.start().saturating_add(self.size).saturating_sub(1)
    }

    /// The fields of a request that asks an origin for it. With `If-Match` another version is no body that has to be cut
    /// off (RFC 9110 section 13.1.1). `is_validated`: If-None-Match goes with it, and says the same.
    pub fn conditions(&self, is_validated: bool) -> Vec<(&'static str, Vec<u8>)> {
        let range = ("range", format!("bytes={}-{}", self.start(), self.last()).into_bytes());
        let version = self.later.as_ref().filter(|_| !is_validated);
        std::iter::once(range).chain(version.map(|later| ("if-match", later.version.clone().into_bytes()))).collect()
    }

    /// Whether these bytes are this slice.
    pub fn has(&self, extent: ContentRange) -> bool {
        let end = extent.length.saturating_sub(1).min(self.last());
        extent.first == self.start() && extent.last == end
    }

    /// Judges an origin's response. `length`: the length of its body, if it is announced.
    pub fn judge(&self, response: &Response<'_>, length: Option<u64>) -> SliceResponse {
        if response.status != 206 {
            return match (response.status, &self.later) {
                (416, None) => SliceResponse::Unfit,
                (200 | 404 | 410 | 412 | 416, Some(_)) => SliceResponse::Changed,
                _ => SliceResponse::Other,
            };
        }
        let version =
            strong_tag(response).and_then(|tag| String::from_utf8(tag).ok()).filter(|version| is_version(version));
        if let (Some(later), Some(version)) = (&self.later, &version)
            && later.version != *version
        {
            return SliceResponse::Changed;
        }
        let extent = ContentRange::of(response).filter(|extent| self.has(*extent) && length == Some(extent.bytes()));
        match (extent, version) {
            (Some(extent), _) if self.later.is_none() && extent.bytes() == extent.length => SliceResponse::Whole,
            (Some(extent), Some(version)) => SliceResponse::Slice { extent, version },
            _ => SliceResponse::Unfit,
        }
    }
}

impl fmt::Display for Slice {
    /// `NUMBER/SIZE`, and of a later slice the version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.later {
            None => write!(f, "0/{}", self.size),
            Some(Later { number, version }) => write!(f, "{number}/{} {version}", self.size),
        }
    }
}

/// Whether a text is a strong entity tag that goes into a field and a key as it is.
fn is_version(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    text.len() <= LONGEST_VERSION && inner.is_some_and(|inner| inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    #[test]
    fn a_slice_is_read_as_it_was_written() {
        for (text, start) in [("0/65536", 0), ("3/65536 \"a\"", 196_608)] {
            let slice = Slice::parse(text).unwrap();
            assert_eq!((slice.to_string().as_str(), slice.start()), (text, start));
        }
        for bad in [
            "",
            "1",
            "0/0",
            "1/65536",
            "0/65536 \"a\"",
            "1/65536 a",
            "1/65536 W/\"a\"",
            "1/65536 \"a",
            "-1/9 \"a\"",
            "1/65536 \"a b\"",
            "9223372036854775807/65536 \"a\"",
        ] {
            assert_eq!(Slice::parse(bad), None, "{bad}");
        }
        assert_eq!(Slice::parse(&format!("1/9 \"{}\"", "x".repeat(127))), None);
    }

    #[test]
    fn each_slice_of_each_version_has_a_key_of_its_own_that_purges_of_the_url_find() {
        let mut file = Vec::new();
        ["g", "http", "h", "/x", "?b=1"].iter().for_each(|part| frame(&mut file, &[part.as_bytes()]));
        let file = Key::from_bytes(file);
        let of = |text: &str| Slice::parse(text).unwrap().key(&file);
        let mut all = vec![
            of("0/65536"),
            of("0/65537"),
            of("1/65536 \"a\""),
            of("2/65536 \"a\""),
            of("1/65536 \"b\""),
            of("1/65537 \"a\""),
            file.clone().with_content(&[1; 32]),
        ];
        all.push(file.clone());
        for (i, a) in all.iter().enumerate() {
            assert_eq!(a.parts(), file.parts());
            assert_eq!(all.iter().filter(|b| *b == a).count(), 1, "{i}");
        }
    }

    #[test]
    fn an_origin_is_asked_for_the_bytes_of_the_version() {
        let text = |slice: &Slice, validated| {
            slice.conditions(validated).into_iter().map(|(n, v)| (n, String::from_utf8(v).unwrap())).collect::<Vec<_>>()
        };
        let range = ("range", "bytes=0-99".to_owned());
        assert_eq!(text(&Slice::first(100), false), [range]);
        let (later, range) = (Slice::numbered(100, 2, "\"a\""), ("range", "bytes=200-299".to_owned()));
        assert_eq!(text(&later, false), [range.clone(), ("if-match", "\"a\"".to_owned())]);
        assert_eq!(text(&later, true), [range]);
    }

    fn judge(slice: &Slice, status: u16, range: &str, tag: &str, length: Option<u64>) -> SliceResponse {
        let fields: [Field<'_>; 2] = [(b"content-range", range.as_bytes()), (b"etag", tag.as_bytes())];
        let given = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>();
        slice.judge(&Response { status, fields: &given }, length)
    }

    #[test]
    fn the_first_slice_tells_the_version_or_that_there_is_none() {
        let first = Slice::first(100);
        let slice = SliceResponse::Slice {
            extent: ContentRange { first: 0, last: 99, length: 250 },
            version: "\"a\"".to_owned(),
        };
        for (status, range, tag, length, expected) in [
            (206, "bytes 0-99/250", "\"a\"", Some(100), slice),
            (206, "bytes 0-49/50", "", Some(50), SliceResponse::Whole),
            (206, "bytes 0-99/100", "W/\"a\"", Some(100), SliceResponse::Whole),
            (206, "bytes 0-99/250", "W/\"a\"", Some(100), SliceResponse::Unfit),
            (206, "bytes 0-99/250", "a", Some(100), SliceResponse::Unfit),
            (206, "bytes 0-99/250", "", Some(100), SliceResponse::Unfit),
            (206, "bytes 0-99/250", "\"a\"", None, SliceResponse::Unfit),
            (206, "bytes 0-99/250", "\"a\"", Some(99), SliceResponse::Unfit),
            (206, "bytes 0-98/250", "\"a\"", Some(99), SliceResponse::Unfit),
            (206, "bytes 0-249/250", "\"a\"", Some(250), SliceResponse::Unfit),
            (206, "bytes 1-100/250", "\"a\"", Some(100), SliceResponse::Unfit),
            (206, "bytes 0-99/*", "\"a\"", Some(100), SliceResponse::Unfit),
            (206, "", "\"a\"", Some(100), SliceResponse::Unfit),
            (416, "bytes */0", "", Some(0), SliceResponse::Unfit),
            (200, "", "\"a\"", Some(100), SliceResponse::Other),
            (404, "", "", None, SliceResponse::Other),
        ] {
            assert_eq!(judge(&first, status, range, tag, length), expected, "{status} {range} {tag} {length:?}");
        }
    }

    #[test]
    fn a_later_slice_is_of_its_version_or_none_at_all() {
        let last = Slice::numbered(100, 2, "\"a\"");
        let slice = SliceResponse::Slice {
            extent: ContentRange { first: 200, last: 249, length: 250 },
            version: "\"a\"".to_owned(),
        };
        for (status, range, tag, length, expected) in [
            (206, "bytes 200-249/250", "\"a\"", Some(50), slice),
            (206, "bytes 200-249/250", "\"b\"", Some(50), SliceResponse::Changed),
            (206, "bytes 200-249/250", "W/\"a\"", Some(50), SliceResponse::Unfit),
            (206, "bytes 200-249/250", "\"a\"", Some(51), SliceResponse::Unfit),
            (206, "bytes 200-248/250", "\"a\"", Some(49), SliceResponse::Unfit),
            (206, "bytes 0-99/250", "\"a\"", Some(100), SliceResponse::Unfit),
            (200, "", "\"a\"", Some(250), SliceResponse::Changed),
            (412, "", "", None, SliceResponse::Changed),
            (416, "bytes */9", "", None, SliceResponse::Changed),
            (404, "", "", None, SliceResponse::Changed),
            (503, "", "", None, SliceResponse::Other),
        ] {
            assert_eq!(judge(&last, status, range, tag, length), expected, "{status} {range} {tag} {length:?}");
        }
    }
}
