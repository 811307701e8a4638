//! Vary: which requests a stored response answers (RFC 9111 section 4.1).

use super::accept::{self, Equals};
use crate::{
    groups::{Group, Ignored},
    request::{
        Request, Response,
        list::{is_token, members},
    },
    sort::sort,
};
use serde::{Deserialize, Serialize};

/// The first byte of a value that is compared without the order of members with equal weights. No field value contains
/// it.
const UNORDERED: u8 = 2;

/// The most names. More of them count as `*`: no other request would ever match.
const MAX_NAMES: usize = 32;

/// The Vary of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// No Vary: the response answers every request.
    Nothing,
    /// The response answers requests with equal values of these fields (lower case, sorted, each once).
    By(Vec<String>),
    /// `*` or invalid: the response answers no other request.
    Everything,
}

/// The selecting fields of the request that a response was stored for, in canonical form (RFC 9111 section 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selecting(Vec<(String, Option<Vec<u8>>)>);

impl Vary {
    /// Reads all Vary fields of a response.
    pub fn of(response: &Response<'_>) -> Self {
        Self::of_lines(response.values("vary"))
    }

    /// Reads all Vary fields of a response of a group, which may ignore them. Where anonymous requests have an
    /// Accept-Encoding, an encoded response is for those that have this one, whether its origin says so or not.
    pub fn in_group(group: &Group, response: &Response<'_>) -> Self {
        const ONLY: &str = "accept-encoding";
        let vary = Self::of(response);
        if !group.ignores(Ignored::Vary) {
            return vary;
        }
        let names = matches!(&vary, Self::By(names) if names.iter().any(|name| name == ONLY));
        let is_encoded = names || response.values("content-encoding").next().is_some();
        if is_encoded && !group.config().request.accept_encoding.is_empty() {
            Self::By(vec![ONLY.to_owned()])
        } else {
            Self::Nothing
        }
    }

    /// Reads a list of names that [`Vary::names`] wrote.
    pub fn read(names: &str) -> Self {
        Self::of_lines(std::iter::once(names.as_bytes()))
    }

    /// Writes the names, separated by commas. Empty for [`Vary::Nothing`] and [`Vary::Everything`].
    pub fn names(&self) -> String {
        match self {
            Self::By(names) => names.join(","),
            Self::Nothing | Self::Everything => String::new(),
        }
    }

    fn of_lines<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut names = Vec::new();
        for member in lines.flat_map(members) {
            match std::str::from_utf8(member) {
                Ok(name) if name != "*" && is_token(member) => names.push(name.to_ascii_lowercase()),
                _ => return Self::Everything,
            }
        }
        sort(&mut names);
        names.dedup();
        match names.len() {
            0 => Self::Nothing,
            1..=MAX_NAMES => Self::By(names),
            _ => Self::Everything,
        }
    }
}

impl Selecting {
    /// Returns a request's values of the fields that `vary` names. Empty for [`Vary::Nothing`].
    pub fn of(vary: &Vary, request: &Request<'_>) -> Self {
        Self::by(vary, request, Equals::Usual)
    }

    /// Returns a request's values in a group. To the letter of RFC 9111, languages of equal weight have no order.
    pub fn in_group(group: &Group, vary: &Vary, request: &Request<'_>) -> Self {
        Self::by(
            vary,
            request,
            if group.config().freshness.errors.to_the_letter() { Equals::Unordered } else { Equals::Usual },
        )
    }

    fn by(vary: &Vary, request: &Request<'_>, equals: Equals) -> Self {
        match vary {
            Vary::By(names) => Self(
                names
                    .iter()
                    .map(|name| (name.clone(), is_there(request, name).then(|| canonical(request, name, equals))))
                    .collect(),
            ),
            Vary::Nothing | Vary::Everything => Self::default(),
        }
    }

    /// Returns the names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a field is among them. `name`: in lower case.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// Whether every request has the same values: there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request has the same values. Allocates nothing.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.0.iter().all(|(name, value)| match value {
            None => !is_there(request, name),
            Some(value) => is_there(request, name) && agrees(request, name, value),
        })
    }

    /// Returns the bytes that it takes in memory, with its allocations.
    pub fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| 64_usize.saturating_add(name.len()).saturating_add(value.as_ref().map_or(0, Vec::len)))
            .sum()
    }
}

/// Whether a request has a field. Host, which a [`Request`] has as its authority, is always present.
fn is_there(request: &Request<'_>, name: &str) -> bool {
    name == "host" || request.value(name).is_some()
}

/// Returns a field's canonical form.
fn canonical(request: &Request<'_>, name: &str, equals: Equals) -> Vec<u8> {
    // Only there does it make a difference.
    let unordered = equals == Equals::Unordered && name == "accept-language";
    let mut text = if unordered { vec![UNORDERED] } else { Vec::new() };
    accept::each(request, name, equals, |part| text.extend_from_slice(part));
    text
}

fn agrees(request: &Request<'_>, name: &str, value: &[u8]) -> bool {
    let (value, equals) =
        value.strip_prefix(&[UNORDERED]).map_or((value, Equals::Usual), |value| (value, Equals::Unordered));
    let mut rest = Some(value);
    accept::each(request, name, equals, |part| rest = rest.and_then(|rest| rest.strip_prefix(part)));
    rest.is_some_and(<[u8]>::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    fn vary(values: &[&str]) -> Vary {
        let fields: Vec<Field<'_>> = values.iter().map(|v| (&b"vary"[..], v.as_bytes())).collect();
        Vary::of(&Response { status: 200, fields: &fields })
    }

    fn agree(name: &str, one: &[&str], two: &[&str]) -> bool {
        let fields = |values: &[&str]| -> Vec<(Vec<u8>, Vec<u8>)> {
            values.iter().map(|v| (name.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
        };
        let (one, two) = (fields(one), fields(two));
        let borrowed = |fields: &[(Vec<u8>, Vec<u8>)]| -> Vec<(&'static [u8], &'static [u8])> {
            fields.iter().map(|(n, v)| (&*n.clone().leak(), &*v.clone().leak())).collect()
        };
        let (one, two) = (borrowed(&one), borrowed(&two));
        let one = Request::read(b"GET", b"http", b"h", b"/", &one).unwrap();
        let two = Request::read(b"GET", b"http", b"h", b"/", &two).unwrap();
        let by = vary(&[name]);
        let matches = Selecting::of(&by, &one).matches(&two);
        assert_eq!(matches, Selecting::of(&by, &two).matches(&one));
        assert_eq!(matches, Selecting::of(&by, &one) == Selecting::of(&by, &two));
        matches
    }

    #[test]
    fn all_vary_fields_count_in_any_case_and_order() {
        assert_eq!(vary(&[]), Vary::Nothing);
        assert_eq!(vary(&["", " , "]), Vary::Nothing);
        assert_eq!(vary(&["Foo, bar", "BAZ", "foo"]), Vary::By(vec!["bar".into(), "baz".into(), "foo".into()]));
        assert_eq!(vary(&["foo", "bar"]), vary(&["bar, foo"]));
        assert_eq!((vary(&["foo, Bar"]).names().as_str(), Vary::read("bar,foo")), ("bar,foo", vary(&["foo, Bar"])));
    }

    #[test]
    fn a_star_matches_no_request() {
        for values in [&["*"][..], &["foo", "*"], &["*, foo"], &["foo, *, bar"]] {
            assert_eq!(vary(values), Vary::Everything, "{values:?}");
        }
    }

    #[test]
    fn a_vary_that_cannot_be_read_matches_no_request() {
        for text in ["foo bar", "foo;q=1", "\"foo\"", "fo\u{e9}"] {
            assert_eq!(vary(&[text]), Vary::Everything, "{text}");
        }
        assert_eq!(vary(&[&(0..33).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(",")]), Vary::Everything);
    }

    #[test]
    fn a_field_matches_itself_and_absence_matches_absence() {
        assert!(agree("foo", &["1"], &["1"]) && !agree("foo", &["1"], &["2"]));
        assert!(
            agree("foo", &[], &[])
                && !agree("foo", &[], &["1"])
                && !agree("foo", &[], &[""])
                && agree("foo", &[""], &[""])
        );
        assert!(!agree("foo", &["1"], &["11"]) && !agree("foo", &["a"], &["A"]));
    }

    #[test]
    fn lines_are_combined_and_space_at_commas_does_not_count() {
        assert!(agree("foo", &["1, 2"], &["1", "2"]) && agree("foo", &["1,2"], &["  1 ,\t2 "]));
        assert!(!agree("foo", &["1, 2"], &["2, 1"]) && !agree("foo", &["1 2"], &["1  2"]));
        assert!(!agree("foo", &["\"1, 2\""], &["\"1,2\""]));
    }

    #[test]
    fn accept_encoding_is_compared_without_order_case_and_space() {
        let same = |a, b| agree("accept-encoding", &[a], &[b]);
        assert!(same("gzip, deflate, br", "br,GZIP , deflate"));
        assert!(same("gzip;q=1.0, br", "br, x-gzip"));
        assert!(same("gzip;q=0.50", "gzip; Q=0.5"));
        assert!(same("gzip, gzip", "gzip"));
        assert!(
            !same("gzip", "br")
                && !same("gzip", "gzip, br")
                && !same("gzip;q=0", "gzip")
                && !same("gzip;q=0.5, br", "gzip, br;q=0.5")
                && !same("", "gzip")
        );
        assert!(!same("gzip;q=x", "gzip") && same("gzip;q=x", "gzip;q=x") && !same("gzip;q=0.5", "gzip;q=500"));
        let many =
            |order: &mut dyn Iterator<Item = usize>| order.map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
        assert!(agree("accept-encoding", &[&many(&mut (0..40))], &[&many(&mut (0..40))]));
    }

    #[test]
    fn accept_language_is_compared_without_case_and_by_its_weights() {
        let same = |a, b| agree("accept-language", &[a], &[b]);
        assert!(!same("x-gzip", "gzip"));
        assert!(same("en-GB, de;q=0.5", "de;q=0.5 , EN-gb") && same("en;q=0.8", "en; q=0.80"));
        assert!(!same("en", "en, de") && !same("en;q=0.4, de;q=0.5", "en;q=0.5, de;q=0.4"));
    }

    #[test]
    fn languages_of_equal_weight_keep_their_order_but_to_the_letter() {
        let same = |a, b| agree("accept-language", &[a], &[b]);
        assert!(
            !same("en, de", "DE,en") && same("en, de", "EN,de;q=1.0") && same("fr;q=0.1, en, de", "en, de, fr;q=0.1")
        );
        assert!(!same("en;q=0.5, de;q=0.5", "de;q=0.5, en;q=0.5"));
        let letter = Group::for_tests(r#"{"freshness": {"errors": "rfc9111"}}"#);
        let ask = |fields| Request::read(b"GET", b"http", b"h", b"/", fields).unwrap();
        let (one, two): ([Field<'_>; 1], [Field<'_>; 1]) =
            ([(b"accept-language", b"en, de")], [(b"accept-language", b"DE,en")]);
        for (group, agrees) in [(&letter, true), (&Group::for_tests("{}"), false)] {
            assert_eq!(Selecting::in_group(group, &vary(&["accept-language"]), &ask(&one)).matches(&ask(&two)), agrees);
        }
    }

    #[test]
    fn accept_is_compared_without_space_and_by_its_weights() {
        let same = |a, b| agree("accept", &[a], &[b]);
        assert!(same("text/html;level=1, */*; q=0.1", "*/*;q=0.1, text/html ; level=1"));
        assert!(
            same("text/html;x=\"a;q=1\", */*;q=0.1", "*/*;q=0.1, text/html;x=\"a;q=1\"")
                && same("a;x=\"b;c\" ; y=1, c;q=0.1", "c;q=0.1, a;x=\"b;c\";y=1")
        );
        assert!(!same("a;x=\"b; c\"", "a;x=\"b;c\""));
        assert!(
            !same("text/html", "text/plain")
                && !same("text/html;level=1", "text/html;level=2")
                && !same("text/html;x=\"a;q=0.5\"", "text/html;x=\"a\";q=0.5")
        );
    }

    #[test]
    fn host_is_the_authority() {
        let by = vary(&["Host"]);
        let ask = |authority: &'static str| Request::read(b"GET", b"http", authority.as_bytes(), b"/", &[]).unwrap();
        assert!(
            Selecting::of(&by, &ask("A:80")).matches(&ask("a:80")) && !Selecting::of(&by, &ask("a")).matches(&ask("b"))
        );
    }

    #[test]
    fn a_response_without_vary_is_for_every_request() {
        let request = Request::read(b"GET", b"http", b"h", b"/", &[(b"foo", b"1")]).unwrap();
        assert!(Selecting::of(&Vary::Nothing, &request).matches(&request));
        assert_eq!(Selecting::default().bytes(), 0);
    }
}
