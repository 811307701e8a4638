//! The question: what a proxy or coordinator sends to a coordinator beside the client's own request.

use super::{OLDEST, VERSION, header};
use crate::{
    request::{Field, values},
    slice::Slice,
};
use std::fmt;

/// The part of a question beside the client's own request, as the value of [`header::WIRE`]: `1; group=shop;
/// ring=00c0ffee00c0ffee; patience=750; hop`. One field, since each field costs both sides more than its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The sender's wire version.
    pub wire: u32,
    /// The group that the sender found.
    pub group: String,
    /// The proxy's namespace, for short service names; empty: none.
    pub namespace: String,
    /// Whether the proxy verified a token of this request.
    pub verified: bool,
    /// The sender's ring version; 0: none.
    pub ring: u64,
    /// The digest of the sender's rules for the group, opaque.
    pub rules: String,
    /// The sender's purge position ([`crate::purge::Position`]); empty: none.
    pub purge: String,
    /// The marks of that position ([`crate::mark`]), from a proxy; empty: none.
    pub marks: String,
    /// How long the sender waits for a response, milliseconds; 0: no limit.
    pub patience: u64,
    /// How long all requests behind this question have been waiting, milliseconds. They may have what was loaded since
    /// then.
    pub waited: u64,
    /// The flight of a `loading` verdict ([`Verdict::flight`](super::Verdict::flight)); 0: none.
    pub flight: u64,
    /// How long ago the sender saw an unsafe request for the key succeed, milliseconds. It gets nothing older.
    pub changed: Option<u64>,
    /// Whether the receiver answers itself and asks no other peer.
    pub hop: bool,
    /// Whether the sender takes a response whose body is still growing: it gets the head as soon as there is one. A
    /// sender that takes whole bodies alone gets `loading` instead.
    pub streams: bool,
    /// Whether one of the requests behind this question can pass by leave: [`Verdict::leave`](super::Verdict::leave).
    pub leave: bool,
    /// The [`crate::Route`] that the proxy chose, for groups with `key.route`. It has a field of its own
    /// ([`header::ROUTE`]), since it contains a space and perhaps a `;`.
    pub route: Option<String>,
    /// The slice of a file that it is for, from a coordinator that puts the file together. It has a field of its own
    /// ([`header::SLICE`]).
    pub slice: Option<Slice>,
}

/// Why a request is no question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadQuestion {
    /// It has no [`header::WIRE`]: an ordinary request.
    NotOne,
    /// Its wire version is not supported.
    Version(u32),
    /// The field of this name, or this parameter of [`header::WIRE`], cannot be read.
    Unreadable(&'static str),
}

impl Question {
    /// Creates an empty question of this wire version.
    pub fn new() -> Self {
        Self { wire: VERSION, ..Self::default() }
    }

    /// Reads a question from a request's fields. Of a repeated field the first counts.
    pub fn read(fields: &[Field<'_>]) -> Result<Self, BadQuestion> {
        let get = |name: &'static str| match values(fields, name).next() {
            Some(value) => std::str::from_utf8(value).map(Some).map_err(|_| BadQuestion::Unreadable(name)),
            None => Ok(None),
        };
        let mut question = Self::parse(get(header::WIRE)?.ok_or(BadQuestion::NotOne)?)?;
        question.route = get(header::ROUTE)?.map(str::to_owned);
        let slice = |text| Slice::parse(text).ok_or(BadQuestion::Unreadable(header::SLICE));
        question.slice = get(header::SLICE)?.map(slice).transpose()?;
        Ok(question)
    }

    /// Reads the value of [`header::WIRE`], and ignores unknown parameters.
    pub fn parse(value: &str) -> Result<Self, BadQuestion> {
        fn number<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, BadQuestion> {
            text.parse().map_err(|_| BadQuestion::Unreadable(name))
        }
        let mut words = value.split(';').map(str::trim);
        let wire = number(header::WIRE, words.next().unwrap_or_default())?;
        if !(OLDEST..=VERSION).contains(&wire) {
            return Err(BadQuestion::Version(wire));
        }
        let mut question = Self { wire, ..Self::default() };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "group" => question.group = value.to_owned(),
                "namespace" => question.namespace = value.to_owned(),
                "verified" => question.verified = true,
                "ring" => {
                    question.ring = u64::from_str_radix(value, 16).map_err(|_| BadQuestion::Unreadable("ring"))?
                }
                "rules" => question.rules = value.to_owned(),
                "purge" => question.purge = value.to_owned(),
                "marks" => question.marks = value.to_owned(),
                "patience" => question.patience = number("patience", value)?,
                "waited" => question.waited = number("waited", value)?,
                "flight" => question.flight = number("flight", value)?,
                "changed" => question.changed = Some(number("changed", value)?),
                "hop" => question.hop = true,
                "streams" => question.streams = true,
                "leave" => question.leave = true,
                _ => {}
            }
        }
        Ok(question)
    }
}

impl fmt::Display for Question {
    /// Leaves out what is empty, and text that would end its parameter: it is no name of a group or a namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.wire)?;
        for (name, text) in [
            ("group", &self.group),
            ("namespace", &self.namespace),
            ("rules", &self.rules),
            ("purge", &self.purge),
            ("marks", &self.marks),
        ] {
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
                write!(f, "; {name}={text}")?;
            }
        }
        if self.ring != 0 {
            write!(f, "; ring={:016x}", self.ring)?;
        }
        for (name, n) in [("patience", self.patience), ("waited", self.waited), ("flight", self.flight)] {
            if n != 0 {
                write!(f, "; {name}={n}")?;
            }
        }
        if let Some(changed) = self.changed {
            write!(f, "; changed={changed}")?;
        }
        let words = [("verified", self.verified), ("hop", self.hop), ("streams", self.streams), ("leave", self.leave)];
        for (name, is) in words {
            if is {
                write!(f, "; {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let question = Question {
            wire: 1,
            group: "g".into(),
            namespace: "ns".into(),
            verified: true,
            ring: 0xabc,
            rules: "r".into(),
            purge: "p".into(),
            marks: "00000000000000ff".into(),
            patience: 750,
            waited: 40,
            flight: 7,
            changed: Some(0),
            hop: true,
            streams: true,
            leave: true,
            route: None,
            slice: None,
        };
        let said = question.to_string();
        assert_eq!(
            said,
            "1; group=g; namespace=ns; rules=r; purge=p; marks=00000000000000ff; ring=0000000000000abc; patience=750; waited=40; flight=7; changed=0; verified; hop; streams; leave"
        );
        assert_eq!(Question::read(&[(b"meshcache-wire", said.as_bytes())]), Ok(question));
        assert_eq!(Question::read(&[]), Err(BadQuestion::NotOne));
        let sly = Question { namespace: "a; verified".into(), ..Question::new() };
        assert_eq!(sly.to_string(), "1");
        let read = |value: &'static [u8]| Question::read(&[(b"meshcache-wire", value)]);
        assert_eq!(read(b"99"), Err(BadQuestion::Version(99)));
        for (value, unreadable) in [
            (&b""[..], "meshcache-wire"),
            (b"\xff", "meshcache-wire"),
            (b"1; patience=-1", "patience"),
            (b"1; ring=x", "ring"),
        ] {
            assert_eq!(read(value), Err(BadQuestion::Unreadable(unreadable)));
        }
        let of_slice = |slice: &'static [u8]| Question::read(&[(b"meshcache-wire", b"1"), (b"meshcache-slice", slice)]);
        assert_eq!(of_slice(b"0/65536").unwrap().slice, Slice::parse("0/65536"));
        assert_eq!(of_slice(b"1/65536"), Err(BadQuestion::Unreadable("meshcache-slice")));
        assert_eq!(read(b"1; new-word=1;; hop"), Ok(Question { hop: true, ..Question::new() }));
    }
}
