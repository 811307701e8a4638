//! The cache directives of a request: Cache-Control and Pragma (RFC 9111 sections 5.2.1 and 5.4, RFC 5861).

use super::directive::{Argument, Delta, directives as split};
use crate::{
    groups::{Directives, Group},
    request::{Flags, Request},
};

/// The cache directives of a request. Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestDirectives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<u64>,
    pub(super) min_fresh: Option<u64>,
    pub(super) max_stale: Option<u64>,
    pub(super) if_error: Option<u64>,
}

impl RequestDirectives {
    /// Reads a request's Cache-Control and Pragma as far as the group obeys them; only-if-cached always counts.
    pub(super) fn of(group: &Group, request: &Request<'_>) -> Self {
        if !request.flags.any(Flags::CACHE_CONTROL.with(Flags::PRAGMA)) {
            return Self::default();
        }
        let directives = Self::read(request);
        match group.config().freshness.request_directives {
            Directives::Obey => directives,
            Directives::Ignore => Self { only_if_cached: directives.only_if_cached, ..Self::default() },
        }
    }

    /// Whether the response has to be newer than the request.
    pub(super) fn reloads(&self) -> bool {
        self.no_cache || self.max_age == Some(0)
    }

    fn read(request: &Request<'_>) -> Self {
        let mut directives = Self::default();
        for (name, argument) in request.values("cache-control").flat_map(split) {
            directives.take(name, argument);
        }
        // Pragma counts only where there is no Cache-Control (RFC 9111 section 5.4).
        if !request.flags.any(Flags::CACHE_CONTROL) {
            directives.no_cache =
                request.values("pragma").flat_map(split).any(|(name, _)| name.eq_ignore_ascii_case(b"no-cache"));
        }
        directives
    }

    fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let given = Delta::of(argument).value();
        let least = |had: Option<u64>| given.min(had.or(given));
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            self.max_age = least(self.max_age);
        } else if is("min-fresh") {
            // An unreadable value requires more than any response has.
            let most = if Delta::of(argument) == Delta::Bad { Some(u64::MAX) } else { given };
            self.min_fresh = most.max(self.min_fresh);
        } else if is("max-stale") {
            let any = if argument == Argument::None { Some(u64::MAX) } else { given };
            self.max_stale = any.min(self.max_stale.or(any));
        } else if is("stale-if-error") {
            self.if_error = least(self.if_error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str, fields: &[(&'static [u8], &'static [u8])]) -> RequestDirectives {
        RequestDirectives::of(&Group::for_tests(json), &Request::read(b"GET", b"http", b"h", b"/", fields).unwrap())
    }

    const OBEY: &str = r#"{"freshness": {"requestDirectives": "obey"}}"#;

    #[test]
    fn a_request_is_obeyed_only_where_the_group_says_so_but_for_only_if_cached() {
        let fields: [(&[u8], &[u8]); 1] = [(
            b"cache-control",
            b"no-cache, no-store, max-age=0, only-if-cached, max-stale, min-fresh=1, stale-if-error=5",
        )];
        assert_eq!(asked("{}", &fields), RequestDirectives { only_if_cached: true, ..RequestDirectives::default() });
        let all = asked(OBEY, &fields);
        assert_eq!(
            all,
            RequestDirectives {
                no_store: true,
                no_cache: true,
                only_if_cached: true,
                max_age: Some(0),
                min_fresh: Some(1000),
                max_stale: Some(u64::MAX),
                if_error: Some(5000)
            }
        );
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        assert!(asked(OBEY, &[(b"pragma", b"No-Cache")]).no_cache);
        assert!(!asked(OBEY, &[(b"pragma", b"no-cache"), (b"cache-control", b"max-age=60")]).no_cache);
        assert!(!asked(OBEY, &[(b"pragma", b"foo")]).no_cache);
        assert!(!asked("{}", &[(b"pragma", b"no-cache")]).no_cache);
    }

    #[test]
    fn what_a_request_asks_in_a_way_that_cannot_be_read_is_read_strictly() {
        let all = asked(
            OBEY,
            &[
                (b"cache-control", b"max-age=x, min-fresh=x, max-stale=x"),
                (b"cache-control", b"max-age=5, min-fresh=5, max-stale=5"),
            ],
        );
        assert_eq!((all.max_age, all.min_fresh, all.max_stale), (Some(0), Some(u64::MAX), Some(0)));
    }
}
