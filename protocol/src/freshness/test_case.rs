//! A request and its response, for tests.

use super::{NotStored, Reuse, Stored, Times, reuse, reuse_on_error, store};
use crate::{
    groups::Group,
    request::{Field, Request, Response},
};

/// Sun, 06 Nov 1994 08:49:37 GMT: when the response arrives.
pub(super) const NOW: u64 = 784_111_777_000;
/// The rules of a group that `--origin` makes.
pub(super) const SAFE: &str = r#"{"freshness": {"heuristic": true, "requestDirectives": "obey", "errors": "safe", "targets": ["MeshCache-Control", "CDN-Cache-Control"]}}"#;
/// The rules with `--origin-rules rfc9111`.
pub(super) const LETTER: &str = r#"{"freshness": {"heuristic": true, "requestDirectives": "obey", "errors": "rfc9111", "targets": ["MeshCache-Control", "CDN-Cache-Control"]}}"#;

type Text<'a> = (&'a str, &'a str);

#[derive(Clone)]
pub(super) struct Case<'a> {
    pub(super) group: &'a str,
    pub(super) method: &'a str,
    pub(super) asked: &'a [Text<'a>],
    pub(super) verified: bool,
    pub(super) status: u16,
    pub(super) fields: &'a [Text<'a>],
    pub(super) random: u64,
}

/// A 200 with these fields to a plain GET, in a group of defaults.
pub(super) fn case<'a>(fields: &'a [Text<'a>]) -> Case<'a> {
    Case { group: "{}", method: "GET", asked: &[], verified: false, status: 200, fields, random: 0 }
}

fn bytes<'a>(fields: &'a [Text<'a>]) -> Vec<Field<'a>> {
    fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect()
}

impl<'a> Case<'a> {
    pub(super) fn by(self, group: &'a str) -> Self {
        Self { group, ..self }
    }

    pub(super) fn letter(self) -> Self {
        self.by(LETTER)
    }

    pub(super) fn asking(self, asked: &'a [Text<'a>]) -> Self {
        Self { asked, ..self }
    }

    pub(super) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(super) fn store(&self) -> Result<Stored, NotStored> {
        let (asked, fields) = (bytes(self.asked), bytes(self.fields));
        let request = Request::read(self.method.as_bytes(), b"http", b"h", b"/", &asked).unwrap();
        let response = Response { status: self.status, fields: &fields };
        store(
            &Group::for_tests(self.group),
            &request,
            self.verified,
            &response,
            Times { requested: NOW, responded: NOW },
            self.random,
        )
    }

    pub(super) fn why_not(&self) -> NotStored {
        self.store().unwrap_err()
    }

    /// Returns the rule of its lifetime, and how much of it is left on arrival, milliseconds.
    pub(super) fn fresh(&self) -> (&'static str, i64) {
        let stored = self.store().unwrap();
        (stored.why.label(), stored.ttl(0))
    }

    /// Returns what a later request gets, some seconds after the response arrived.
    pub(super) fn later(&self, asked: &[Text<'_>], seconds: u64) -> Reuse {
        let asked = bytes(asked);
        let request = Request::read(b"GET", b"http", b"h", b"/", &asked).unwrap();
        reuse(
            &Group::for_tests(self.group),
            &request,
            false,
            Some(&self.store().unwrap()),
            seconds.saturating_mul(1000),
        )
    }

    /// Whether a later request gets it when the origin fails.
    pub(super) fn on_error(&self, asked: &[Text<'_>], seconds: u64) -> bool {
        let asked = bytes(asked);
        let request = Request::read(b"GET", b"http", b"h", b"/", &asked).unwrap();
        reuse_on_error(
            &Group::for_tests(self.group),
            &request,
            false,
            &self.store().unwrap(),
            seconds.saturating_mul(1000),
        )
    }
}
