//! The cache directives of a response: Cache-Control or a targeted field (RFC 9111 section 5.2.2, RFC 5861, RFC 8246).
//!
//! Read strictly: invalid or repeated directives never make a response more cacheable. A restriction counts in any
//! form; a permission counts only in the form of the RFCs.

use super::directive::{Argument, Delta, directives};
use crate::{
    groups::Ignored,
    request::list::{is_token, members},
};
use std::collections::BTreeSet;

/// The cache directives of a response, from the field that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) no_store: bool,
    /// Without field names.
    pub(super) private: bool,
    /// Without field names.
    pub(super) no_cache: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    /// The response may be stored only if its status is understood (RFC 9111 section 5.2.2.3).
    pub(super) must_understand: bool,
    /// A valid `must-understand`: a response whose status is understood may be stored despite `no-store`.
    pub(super) lifts_no_store: bool,
    pub(super) immutable: bool,
    pub(super) s_maxage: Delta,
    pub(super) max_age: Delta,
    pub(super) while_revalidate: Delta,
    pub(super) if_error: Delta,
    /// A valid `public`, `must-revalidate` or `s-maxage`: a shared cache may store the response although the request
    /// has Authorization (RFC 9111 section 3.5).
    pub(super) permits: bool,
    /// The fields, lower case, that `private="..."` and `no-cache="..."` name. They are not stored.
    pub(super) named: Vec<Vec<u8>>,
}

impl Control {
    /// Reads the lines of a Cache-Control field.
    pub(super) fn read<'a>(lines: impl Iterator<Item = &'a [u8]>, ignored: &BTreeSet<Ignored>) -> Self {
        let mut control = Self::default();
        for (name, argument) in lines.flat_map(directives) {
            control.take(name, argument, ignored);
        }
        control
    }

    /// Adds a directive. Unknown ones and those that are ignored change nothing (RFC 9111 section 5.2.3).
    pub(super) fn take(&mut self, name: &[u8], argument: Argument<'_>, ignored: &BTreeSet<Ignored>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let bare = argument == Argument::None;
        let is_ignored = |what: Ignored| ignored.contains(&what);
        if (is_ignored(Ignored::NoStore) && (is("no-store") || is("must-understand")))
            || (is_ignored(Ignored::Private) && is("private"))
        {
            return;
        }
        if is("no-store") {
            self.no_store = true;
        } else if is("private") {
            self.private |= !self.add_names(argument);
        } else if is("no-cache") {
            self.no_cache |= !self.add_names(argument);
        } else if is("public") {
            self.public |= bare;
            self.permits |= bare;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
            self.permits |= bare;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
            self.lifts_no_store |= bare;
        } else if is("immutable") {
            self.immutable |= bare;
        } else if is("s-maxage") {
            self.s_maxage = self.s_maxage.and(Delta::of(argument));
            self.permits |= matches!(Delta::of(argument), Delta::Millis(_));
        } else if is("max-age") {
            self.max_age = self.max_age.and(Delta::of(argument));
        } else if is("stale-while-revalidate") {
            self.while_revalidate = self.while_revalidate.and(Delta::of(argument));
        } else if is("stale-if-error") {
            self.if_error = self.if_error.and(Delta::of(argument));
        }
    }

    /// Adds the field names of a qualified directive. `false`: the argument is no list of names, or has a field that
    /// decides which requests the response answers, so that the directive applies to the whole response.
    fn add_names(&mut self, argument: Argument<'_>) -> bool {
        let (Argument::Token(text) | Argument::Quoted(text)) = argument else { return false };
        let whole = |name: &[u8]| {
            !is_token(name) || name.eq_ignore_ascii_case(b"vary") || name.eq_ignore_ascii_case(b"cache-control")
        };
        if members(text).next().is_none() || members(text).any(whole) {
            return false;
        }
        self.named.extend(members(text).map(<[u8]>::to_ascii_lowercase));
        true
    }

    /// Whether a field (lower case) is named by a qualified directive.
    pub(super) fn excludes(&self, field: &[u8]) -> bool {
        self.named.iter().any(|name| name == field)
    }

    /// Whether the response may never be given stale (RFC 9111 section 4.2.4).
    pub(super) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage != Delta::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Control {
        Control::read(lines.iter().map(|l| l.as_bytes()), &BTreeSet::new())
    }

    #[test]
    fn all_lines_count_and_of_two_numbers_the_smaller() {
        let control = read(&["max-age=10, Public", "max-age=60, No-Cache"]);
        assert_eq!((control.max_age, control.public, control.no_cache), (Delta::Millis(10_000), true, true));
    }

    #[test]
    fn field_names_are_read_from_private_and_no_cache() {
        let control = read(&[r#"private="X-User, set-cookie", no-cache=x-other, max-age=60"#]);
        assert!(
            !control.private
                && !control.no_cache
                && control.excludes(b"x-user")
                && control.excludes(b"set-cookie")
                && control.excludes(b"x-other")
        );
        for whole in [
            r#"private="""#,
            r#"private=",""#,
            r#"private="a b""#,
            "private=",
            r#"private="vary""#,
            r#"private="Cache-Control""#,
            r#"private="a"#,
            "private=a b",
            r#"private="a", private"#,
        ] {
            assert!(read(&[whole]).private, "{whole}");
        }
        assert!(read(&[r#"no-cache="a, b c""#]).no_cache);
    }

    #[test]
    fn a_restriction_counts_however_it_is_written() {
        for text in [
            "no-store",
            "No-Store=1",
            r#"no-store="x""#,
            "no-store; max-age=60",
            "no-store =",
            "max-age=60 no-store, no-store foo",
            r#"x="a, no-store"#,
        ] {
            assert!(read(&[text]).no_store, "{text}");
        }
        assert!(
            read(&["must-revalidate=1"]).must_revalidate
                && read(&["proxy-revalidate=x"]).proxy_revalidate
                && read(&[r#"x=", must-understand"#]).must_understand
        );
        assert!(!read(&[r#"x="a, no-store""#]).no_store);
    }

    #[test]
    fn where_quotes_do_not_fit_only_restrictions_count() {
        for text in [
            r#"max-age=60, public, x=""#,
            r#"x=", y=",public,max-age=60,""#,
            r#"x="\, y="\",public,max-age=60""#,
            r#"max-age=60, public, x="a"b"#,
            r#"max-age=60, public, "a""#,
        ] {
            let control = read(&[text]);
            assert!(!control.public && !control.permits && control.max_age.value().is_none_or(|ms| ms == 0), "{text}");
        }
        assert!(read(&[r#"x=", private=",a""#]).private && read(&[r#"x="\, private="a\"b""#]).private);
    }

    #[test]
    fn a_permission_counts_only_as_the_rfcs_write_it() {
        for text in ["public=1", "public;", "must-revalidate=1", "s-maxage", "s-maxage=x"] {
            assert!(!read(&[text]).permits, "{text}");
        }
        for text in ["public", "must-revalidate", "s-maxage=0"] {
            assert!(read(&[text]).permits, "{text}");
        }
        assert!(
            !read(&["immutable=1"]).immutable
                && !read(&["must-understand=x"]).lifts_no_store
                && !read(&["public=1"]).public
        );
    }

    #[test]
    fn unknown_directives_change_nothing() {
        assert_eq!(read(&[r#"max-age=60, x-new="a, b", foo=1, bar, =, ="x""#]), read(&["max-age=60"]));
    }
}
