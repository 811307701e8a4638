//! Whether a request may wait for a load that other requests share ("Sharing safely" in docs/http.md).

use super::request_directives::RequestDirectives;
use crate::{
    groups::Group,
    reason::Reason,
    request::{Flags, Request},
};

/// Why a request is not collapsed with others: it neither starts nor joins a shared load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCollapsed {
    /// It is not a GET.
    Method,
    /// It names its user: Authorization, Cookie, an identity header, or a token that the proxy verified.
    Identity,
    /// It has Range.
    Range,
    /// It has a condition.
    Conditional,
    /// It has no-store or no-cache, and the group obeys.
    Directive,
}

impl NotCollapsed {
    /// Returns the reason for Cache-Status, metrics and logs.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::Method,
            Self::Identity => Reason::Identity,
            Self::Range => Reason::Range,
            Self::Conditional => Reason::Conditional,
            // A reload shares the next load: what remains is no-store.
            Self::Directive => Reason::RequestNoStore,
        }
    }
}

/// Whether a request may start or join a shared load.
pub fn joins(group: &Group, request: &Request<'_>, verified: bool) -> Result<(), NotCollapsed> {
    if !request.is_get() {
        return Err(NotCollapsed::Method);
    }
    if names_user(group, request, verified) {
        return Err(NotCollapsed::Identity);
    }
    if request.flags.any(Flags::RANGE) {
        return Err(NotCollapsed::Range);
    }
    if request.flags.any(Flags::CONDITIONAL) {
        return Err(NotCollapsed::Conditional);
    }
    let directives = RequestDirectives::of(group, request);
    if directives.no_store || directives.reloads() {
        return Err(NotCollapsed::Directive);
    }
    Ok(())
}

/// The loads that a request may wait for, by their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStart {
    /// Any load, also one that is in progress.
    Any,
    /// A load that begins after the request arrived: the response has to be newer than the request (no-cache,
    /// max-age=0).
    AfterRequest,
}

/// Whether a request may share a load where responses are stored, and which. Besides those that [`joins`] admits: a
/// reload, with a load that begins after it; a conditional request, which the cache evaluates against the loaded
/// response (RFC 9111 section 4.3.2); and, where a stored response is going to be validated (`validates`), one with
/// Range.
pub fn shares(
    group: &Group,
    request: &Request<'_>,
    verified: bool,
    validates: bool,
) -> Result<LoadStart, NotCollapsed> {
    let directives = RequestDirectives::of(group, request);
    let is_evaluated_here = || !directives.no_store && !is_for_origin(request);
    match joins(group, request, verified) {
        Ok(()) => Ok(LoadStart::Any),
        Err(NotCollapsed::Conditional) if is_evaluated_here() => {
            Ok(if directives.reloads() { LoadStart::AfterRequest } else { LoadStart::Any })
        }
        Err(NotCollapsed::Range) if validates && is_evaluated_here() => {
            Ok(if directives.reloads() { LoadStart::AfterRequest } else { LoadStart::Any })
        }
        Err(NotCollapsed::Directive) if directives.reloads() && !directives.no_store => Ok(LoadStart::AfterRequest),
        Err(alone) => Err(alone),
    }
}

/// Whether a load of the whole would answer a request for the head or for a part alone, whose conditions a cache may
/// evaluate.
pub fn is_answered_by_whole(group: &Group, request: &Request<'_>, verified: bool) -> bool {
    let directives = RequestDirectives::of(group, request);
    (request.is_head() || (request.is_get() && request.flags.any(Flags::RANGE)))
        && !directives.no_store
        && !directives.reloads()
        && !names_user(group, request, verified)
        && !is_for_origin(request)
}

/// Whether a request has a condition that only the origin may evaluate.
fn is_for_origin(request: &Request<'_>) -> bool {
    request.flags.any(Flags::CONDITIONAL)
        && (request.value("if-match").is_some() || request.value("if-unmodified-since").is_some())
}

/// Whether a request names its user: it has Authorization, Cookie, one of the group's identity fields, or a token that
/// the proxy verified. What the group shares does not count, nor does Cookie where the group follows RFC 9111
/// (`--origin`), which leaves cookies to the origin's Cache-Control and Vary (section 7.3), nor a token where requests
/// are anonymous (`request.drop: ["*"]`): it is not sent.
pub fn names_user(group: &Group, request: &Request<'_>, verified: bool) -> bool {
    let share = &group.config().share;
    let cookies = || !share.cookie && !group.config().freshness.errors.by_rfc();
    (verified && token_names_user(group))
        || (!share.authorization && request.flags.any(Flags::AUTHORIZATION))
        || (request.flags.any(Flags::COOKIE) && cookies())
        || share.identity.iter().any(|name| request.value(name).is_some())
}

/// Whether a token that the proxy verified names the user of a group's request. Where it does not, nobody need look for
/// one.
pub fn token_names_user(group: &Group) -> bool {
    !group.is_anonymous() && !group.config().share.authorization
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    fn ask<'a>(method: &'static [u8], fields: &'a [Field<'a>]) -> Request<'a> {
        Request::read(method, b"http", b"h", b"/", fields).unwrap()
    }

    fn group(json: &str) -> Group {
        Group::for_tests(json)
    }

    #[test]
    fn a_plain_get_joins() {
        assert_eq!(joins(&group("{}"), &ask(b"GET", &[(b"accept", b"*/*")]), false), Ok(()));
        assert_eq!(joins(&group("{}"), &ask(b"HEAD", &[]), false), Err(NotCollapsed::Method));
        assert_eq!(joins(&group("{}"), &ask(b"get", &[]), false), Err(NotCollapsed::Method));
    }

    #[test]
    fn who_names_its_user_asks_alone() {
        let g = group(r#"{"share": {"identity": ["X-User-Id"]}}"#);
        for fields in [[(&b"authorization"[..], &b"x"[..])], [(b"cookie", b"a=b")], [(b"x-user-id", b"7")]] {
            assert_eq!(joins(&g, &ask(b"GET", &fields), false), Err(NotCollapsed::Identity));
        }
        assert_eq!(joins(&g, &ask(b"GET", &[]), true), Err(NotCollapsed::Identity));
        assert_eq!(joins(&g, &ask(b"GET", &[(b"x-user", b"7")]), false), Ok(()));
    }

    #[test]
    fn what_the_group_shares_names_nobody() {
        let g = group(r#"{"share": {"authorization": true, "cookie": true}}"#);
        assert_eq!(joins(&g, &ask(b"GET", &[(b"authorization", b"x"), (b"cookie", b"a=b")]), true), Ok(()));
        let letter = group(r#"{"freshness": {"errors": "rfc9111"}}"#);
        assert_eq!(joins(&letter, &ask(b"GET", &[(b"cookie", b"a=b")]), false), Ok(()));
        assert_eq!(joins(&letter, &ask(b"GET", &[(b"authorization", b"x")]), false), Err(NotCollapsed::Identity));
    }

    #[test]
    fn a_token_that_is_not_sent_names_nobody() {
        assert_eq!(joins(&group(r#"{"request": {"drop": ["*"]}}"#), &ask(b"GET", &[]), true), Ok(()));
        let named = group(r#"{"request": {"drop": ["authorization"]}}"#);
        assert_eq!(joins(&named, &ask(b"GET", &[]), true), Err(NotCollapsed::Identity), "it may be in another field");
    }

    #[test]
    fn parts_and_conditions_ask_alone() {
        assert_eq!(joins(&group("{}"), &ask(b"GET", &[(b"range", b"bytes=0-1")]), false), Err(NotCollapsed::Range));
        for name in [&b"if-none-match"[..], b"if-match", b"if-modified-since", b"if-unmodified-since"] {
            assert_eq!(joins(&group("{}"), &ask(b"GET", &[(name, b"x")]), false), Err(NotCollapsed::Conditional));
        }
    }

    #[test]
    fn conditions_share_any_load_and_parts_a_validation() {
        let obey = group(r#"{"freshness": {"requestDirectives": "obey"}}"#);
        let fields: [Field<'_>; 3] =
            [(b"if-none-match", b"\"a\""), (b"range", b"bytes=0-1"), (b"cache-control", b"max-age=0")];
        for (count, unstored, since) in [
            (1, Ok(LoadStart::Any), LoadStart::Any),
            (2, Err(NotCollapsed::Range), LoadStart::Any),
            (3, Err(NotCollapsed::Range), LoadStart::AfterRequest),
        ] {
            let request = ask(b"GET", fields.get(..count).unwrap_or_default());
            assert_eq!(shares(&obey, &request, false, false), unstored, "nothing is stored");
            assert_eq!(shares(&obey, &request, false, true), Ok(since));
        }
        for fields in [
            [(&b"if-match"[..], &b"\"a\""[..]), (b"range", b"x")],
            [(b"if-none-match", b"*"), (b"cache-control", b"no-store")],
        ] {
            assert!(shares(&obey, &ask(b"GET", &fields), false, true).is_err());
        }
        assert!(shares(&obey, &ask(b"HEAD", &[]), false, true).is_err());
    }

    #[test]
    fn a_load_of_the_whole_would_answer_requests_for_the_head_or_a_part() {
        let obey = group(r#"{"freshness": {"requestDirectives": "obey"}}"#);
        let range = (&b"range"[..], &b"bytes=0-1"[..]);
        assert!(
            is_answered_by_whole(&obey, &ask(b"HEAD", &[]), false)
                && is_answered_by_whole(&obey, &ask(b"GET", &[range]), false)
        );
        assert!(is_answered_by_whole(&obey, &ask(b"GET", &[range, (b"if-none-match", b"\"a\"")]), false));
        assert!(
            !is_answered_by_whole(&obey, &ask(b"GET", &[]), false)
                && !is_answered_by_whole(&obey, &ask(b"HEAD", &[]), true)
        );
        for other in [
            (&b"if-match"[..], &b"\"a\""[..]),
            (b"if-unmodified-since", b"x"),
            (b"cache-control", b"no-store"),
            (b"cache-control", b"no-cache"),
            (b"cookie", b"a=b"),
        ] {
            assert!(!is_answered_by_whole(&obey, &ask(b"GET", &[range, other]), false));
        }
    }

    #[test]
    fn reloads_share_only_loads_that_begin_after_them() {
        let obey = group(r#"{"freshness": {"requestDirectives": "obey"}}"#);
        for (value, reload) in
            [(&b"no-cache"[..], true), (b"max-age=0", true), (b"no-store", false), (b"no-cache, no-store", false)]
        {
            let fields = [(&b"cache-control"[..], value)];
            assert_eq!(joins(&obey, &ask(b"GET", &fields), false), Err(NotCollapsed::Directive));
            assert_eq!(
                shares(&obey, &ask(b"GET", &fields), false, false),
                if reload { Ok(LoadStart::AfterRequest) } else { Err(NotCollapsed::Directive) }
            );
            assert_eq!(shares(&group("{}"), &ask(b"GET", &fields), false, false), Ok(LoadStart::Any));
        }
        assert_eq!(joins(&obey, &ask(b"GET", &[(b"pragma", b"no-cache")]), false), Err(NotCollapsed::Directive));
        assert_eq!(joins(&obey, &ask(b"GET", &[(b"cache-control", b"max-age=60")]), false), Ok(()));
    }
}
