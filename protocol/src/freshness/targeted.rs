//! Targeted cache control: structured fields for some caches only (RFC 9213).

use super::{control::Control, directive::Argument};
use crate::{
    groups::{Freshness, Group, Ignored},
    request::Response,
};
use sfv::{BareItemFromInput, KeyRef, Parser, visitor};
use std::{collections::BTreeSet, convert::Infallible};

/// Returns the directives that count for a response: those of the group's first target that is present, valid and not
/// empty, else Cache-Control's. `true`: a target's, so that Expires does not count either.
pub(super) fn control(group: &Group, response: &Response<'_>) -> (Control, bool) {
    let Freshness { targets, ignore, .. } = &group.config().freshness;
    let target = targets.iter().find_map(|name| {
        let name = name.to_ascii_lowercase();
        let lines: Vec<&[u8]> = response.values(&name).collect();
        if lines.is_empty() { None } else { read(&lines.join(&b", "[..]), ignore) }
    });
    match target {
        Some(control) => (control, true),
        None => (Control::read(response.values("cache-control"), ignore), false),
    }
}

/// Reads a targeted field. `None`: it is empty or no dictionary, and counts as absent.
fn read(field: &[u8], ignored: &BTreeSet<Ignored>) -> Option<Control> {
    let members = Parser::new(field).parse_dictionary_with_visitor(Members::default()).ok()?;
    if members.0.is_empty() {
        return None;
    }
    let mut control = Control::default();
    for (name, value) in members.0 {
        let mut take = |argument: Argument<'_>| control.take(name.as_bytes(), argument, ignored);
        match value {
            Value::Flag(true) => take(Argument::None),
            Value::Flag(false) => {}
            Value::Number(n) => take(Argument::Token(n.to_string().as_bytes())),
            // A directive with a list of names is a String; a number in a String is of the wrong type (section 2.1).
            Value::Text(names) if name == "private" || name == "no-cache" => take(Argument::Quoted(names.as_bytes())),
            Value::Text(_) | Value::Other => take(Argument::Bad),
        }
    }
    Some(control)
}

enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
    Other,
}

/// The dictionary's members. Of a repeated name the last counts (RFC 9651 section 4.2.2).
#[derive(Default)]
struct Members(Vec<(String, Value)>);

struct Member<'a>(&'a mut Value);

impl<'de> visitor::DictionaryVisitor<'de> for Members {
    type Out = Self;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl visitor::EntryVisitor<'de>, Infallible> {
        self.0.retain(|(name, _)| name != key.as_str());
        self.0.push((key.as_str().to_owned(), Value::Other));
        Ok(self.0.last_mut().map(|(_, value)| Member(value)))
    }

    fn finish(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

impl<'de> visitor::EntryVisitor<'de> for Member<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl visitor::ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl visitor::InnerListVisitor<'de>, Infallible> {
        Ok(visitor::Ignored)
    }
}

impl<'de> visitor::ItemVisitor<'de> for Member<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl visitor::ParameterVisitor<'de, Out = ()>, Infallible> {
        *self.0 = match item {
            BareItemFromInput::Boolean(flag) => Value::Flag(flag),
            BareItemFromInput::Integer(n) => Value::Number(n.into()),
            BareItemFromInput::String(text) => Value::Text(text.as_str().to_owned()),
            BareItemFromInput::Token(token) => Value::Text(token.as_str().to_owned()),
            _ => Value::Other,
        };
        Ok(visitor::Ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::directive::Delta, *};

    const TARGETS: &str = r#"{"freshness": {"targets": ["MeshCache-Control", "CDN-Cache-Control"]}}"#;

    fn of(json: &str, fields: &[(&'static [u8], &'static [u8])]) -> (Control, bool) {
        control(&Group::for_tests(json), &Response { status: 200, fields })
    }

    #[test]
    fn a_target_replaces_cache_control_in_the_order_of_the_list() {
        let both = of(
            TARGETS,
            &[
                (b"cache-control", b"no-store"),
                (b"cdn-cache-control", b"max-age=10"),
                (b"meshcache-control", b"max-age=20, must-revalidate"),
            ],
        );
        assert!(both.1 && both.0.max_age == Delta::Millis(20_000) && both.0.must_revalidate && !both.0.no_store);
        let second = of(TARGETS, &[(b"cache-control", b"no-store"), (b"cdn-cache-control", b"max-age=10")]);
        assert!(second.1 && second.0.max_age == Delta::Millis(10_000) && !second.0.no_store);
        let none = of(TARGETS, &[(b"cache-control", b"no-store"), (b"cdn-cache-control", b"none")]);
        assert!(none.1 && !none.0.no_store);
    }

    #[test]
    fn a_target_that_is_empty_or_no_structured_field_is_as_if_it_were_not_there() {
        for text in [
            &b""[..],
            b"  ",
            b"max-age=10,",
            b"Max-Age=10",
            b"max-age=10; =",
            b"max-age=\"10",
            b"max-age=1 2",
            b"max-age=9999999999999999",
            b"\xff",
        ] {
            let fields = [(&b"cache-control"[..], &b"max-age=5"[..]), (b"cdn-cache-control", text)];
            let (control, targeted) = control(&Group::for_tests(TARGETS), &Response { status: 200, fields: &fields });
            assert!(!targeted && control.max_age == Delta::Millis(5000), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_target_that_is_not_on_the_list_changes_nothing() {
        assert!(!of("{}", &[(b"cdn-cache-control", b"max-age=10")]).1);
        assert!(of("{}", &[(b"meshcache-control", b"max-age=10")]).1);
    }

    #[test]
    fn values_of_the_wrong_type_are_read_strictly() {
        for text in [
            &b"max-age=\"10\""[..],
            b"max-age=ten",
            b"max-age=1.5",
            b"max-age=-1",
            b"max-age",
            b"max-age=(1 2)",
            b"max-age=:MQ==:",
        ] {
            let fields = [(&b"cdn-cache-control"[..], text)];
            let (control, targeted) = control(&Group::for_tests(TARGETS), &Response { status: 200, fields: &fields });
            assert!(targeted && control.max_age == Delta::Bad, "{}", text.escape_ascii());
        }
        assert!(of(TARGETS, &[(b"cdn-cache-control", b"private=\"x-user\", max-age=9")]).0.excludes(b"x-user"));
        assert!(of(TARGETS, &[(b"cdn-cache-control", b"no-store=5, private=(a)")]).0.private);
    }

    #[test]
    fn parameters_are_ignored_and_the_last_of_a_name_counts() {
        let control = of(
            TARGETS,
            &[
                (b"cdn-cache-control", b"max-age=10;x=\"y\", no-store=?0, max-age=30"),
                (b"cdn-cache-control", b"public"),
            ],
        )
        .0;
        assert!(control.max_age == Delta::Millis(30_000) && control.public && !control.no_store);
    }
}
