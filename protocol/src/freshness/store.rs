//! May this response be stored, and how long is it fresh? (RFC 9111 sections 3 and 4.2)

use super::{
    age,
    age::Times,
    directive::Delta,
    invalidate::answers_get,
    lifetime::{LifetimeRule, Subject, understood},
    range::ContentRange,
    request_directives::Asked,
    sharing,
    stored::Stored,
    targeted, validator,
    vary::Vary,
};
use crate::{
    groups::{Errors, Group},
    reason::Reason,
    request::{Flags, Request, Response},
};

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The method is not GET, and no POST whose answer is what a GET would bring.
    Method,
    /// The request said no-store (with `requestDirectives: obey`).
    RequestNoStore,
    /// The response said no-store.
    NoStore,
    /// The response said private.
    Private,
    /// The request names its user and the response does not say that it is for everybody.
    Identity,
    /// The response sets a cookie.
    SetCookie,
    /// A status that may not be stored, or an error that the group does not list.
    Status,
    /// `Vary: *`.
    VaryEverything,
    /// No freshness and no validator: it could never be given.
    NoFreshness,
    /// A body larger than the group's limit.
    TooLarge,
    /// The response or its body is not complete, or of a kind that is never stored (event streams, a 206 that was not
    /// asked for or has several parts).
    Incomplete,
}

impl NotStored {
    /// The reason that is said.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::Method,
            Self::RequestNoStore => Reason::RequestNoStore,
            Self::NoStore => Reason::NoStore,
            Self::Private => Reason::Private,
            Self::Identity => Reason::Identity,
            Self::SetCookie => Reason::SetCookie,
            Self::Status => Reason::Status,
            Self::VaryEverything => Reason::Vary,
            Self::NoFreshness => Reason::NoFreshness,
            Self::TooLarge => Reason::TooLarge,
            Self::Incomplete => Reason::Incomplete,
        }
    }

    /// How long a key is remembered as `pass` after such a response, milliseconds. Short for errors, which may be over
    /// at once.
    pub const fn remember(self) -> u64 {
        match self {
            Self::Status | Self::Incomplete => 1000,
            _ => 10_000,
        }
    }
}

/// Decides whether a response to a GET is stored, or one to a POST that says that it answers a GET (RFC 9110 section
/// 9.3.3). `verified`: a proxy verified a token of the request. `random`: for `jitter`.
///
/// After a 304 (or the HEAD of the same representation) it is asked again, with what [`super::freshened`] made.
pub fn store(
    group: &Group,
    request: &Request<'_>,
    verified: bool,
    response: &Response<'_>,
    times: Times,
    random: u64,
) -> Result<Stored, NotStored> {
    let (control, targeted) = targeted::control(group, response);
    let named = sharing::names_user(group, request, verified);
    let age = age::initial(response, times);
    let subject = Subject { group, response, control: &control, targeted, times, age, named };
    admit(&subject, request)?;

    let fresh = &group.config().freshness;
    let lifetime = subject.lifetime(random).ok_or(NotStored::NoFreshness)?;
    let forced = lifetime.why == LifetimeRule::Force || lifetime.why == LifetimeRule::Status;
    let always_validate = control.no_cache && !forced;
    // A part is given while it is fresh, and no longer: what it could be validated with may be the whole.
    let is_part = response.status == 206;
    let must_revalidate = control.forbids_stale() || is_part;
    let by_rfc = fresh.errors.by_rfc();
    let stale_ok = !must_revalidate && !always_validate;
    // A group's windows are for what is worth keeping, not for failures.
    let own = |span: u64| if response.status < 500 { span } else { 0 };
    let window = |said: Delta, group: u64| if stale_ok { said.value().unwrap_or(own(group)) } else { 0 };
    let stored = Stored {
        status: response.status,
        lifetime: lifetime.millis,
        initial_age: age,
        while_revalidate: window(control.while_revalidate, fresh.stale_while_revalidate.as_millis()),
        if_error: window(control.if_error, fresh.stale_if_error.as_millis()),
        always_validate,
        must_revalidate,
        for_everybody: control.permits,
        validator: !is_part && validator::any(response, times.arrived()),
        immutable: control.immutable,
        disconnected: by_rfc && stale_ok && control.if_error == Delta::Absent && response.status < 500,
        why: lifetime.why,
    };
    let useful = (stored.is_fresh(0) && !stored.always_validate)
        || stored.validator
        || stored.while_revalidate > 0
        || stored.if_error > 0;
    if useful { Ok(stored) } else { Err(NotStored::NoFreshness) }
}

/// All that forbids to store a response whatever its freshness.
fn admit(subject: &Subject<'_>, request: &Request<'_>) -> Result<(), NotStored> {
    let Subject { group, response, control, .. } = *subject;
    let errors = group.config().freshness.errors;
    let no = |is: bool, why| if is { Err(why) } else { Ok(()) };
    let answers_get = request.is_get() || (subject.explicit().is_some() && answers_get(request, response));
    no(!answers_get, NotStored::Method)?;
    no(Asked::of(group, request).no_store, NotStored::RequestNoStore)?;
    no((response.status == 206 && !is_part(request, response)) || is_event_stream(response), NotStored::Incomplete)?;
    no(!(200..600).contains(&response.status) || response.status == 304, NotStored::Status)?;
    no(control.must_understand && !understood(response.status), NotStored::Status)?;
    no(control.no_store && !control.lifts_no_store, NotStored::NoStore)?;
    no(control.private, NotStored::Private)?;
    no(Vary::of(response) == Vary::Everything, NotStored::VaryEverything)?;
    no(subject.named && !control.permits, NotStored::Identity)?;
    no(sets_cookie(subject, errors), NotStored::SetCookie)?;
    no(!errors.to_the_letter() && answers_conditions(request, response), NotStored::Status)?;
    no(!subject.admits_status(), NotStored::Status)?;
    no(is_larger(response, group.config().limits.object.0), NotStored::TooLarge)
}

/// Whether a response may be to what its request alone asked, a condition, a range or an expectation, and not to its
/// target: any but a success, which is the whole (or a part that says of what) whoever asks.
fn answers_conditions(request: &Request<'_>, response: &Response<'_>) -> bool {
    request.flags.any(Flags::CONDITIONAL.with(Flags::RANGE).with(Flags::EXPECT))
        && !(200..300).contains(&response.status)
}

/// Whether a Set-Cookie keeps a response out of the store: always, unless the group stores such ones without it or the
/// origin says so (`private="set-cookie"`). RFC 9111 (section 7.3) lets it be: to the letter where the origin gave a
/// freshness, else only where it says that the response is for everybody.
fn sets_cookie(subject: &Subject<'_>, errors: Errors) -> bool {
    let Subject { group, response, control, .. } = *subject;
    let sets = |name: &str| response.value(name).is_some() && !control.excludes(name.as_bytes());
    let said = control.public || (errors.to_the_letter() && subject.explicit().is_some());
    (sets("set-cookie") || sets("set-cookie2")) && !group.config().share.set_cookie && !(errors.by_rfc() && said)
}

/// Whether a 206 is the one range that its request asked for (RFC 9111 section 3.3).
fn is_part(request: &Request<'_>, response: &Response<'_>) -> bool {
    request.is_get() && request.flags.any(Flags::RANGE) && ContentRange::of(response).is_some()
}

fn is_event_stream(response: &Response<'_>) -> bool {
    response.values("content-type").any(|value| {
        value
            .split(|b| *b == b';')
            .next()
            .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    })
}

fn is_larger(response: &Response<'_>, limit: u64) -> bool {
    response
        .value("content-length")
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok())
        .is_some_and(|length| length > limit)
}

#[cfg(test)]
mod tests {
    use super::super::test_case::{LETTER, SAFE, case};
    use super::*;

    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    const PUBLIC: (&str, &str) = ("cache-control", "public, max-age=60");
    const ETAG: (&str, &str) = ("etag", "\"a\"");
    const USER: [(&str, &str); 1] = [("authorization", "Basic x")];

    #[test]
    fn a_response_with_freshness_is_stored() {
        let stored = case(&[FRESH, ETAG]).store().unwrap();
        assert_eq!((stored.status, stored.lifetime, stored.initial_age, stored.validator), (200, 60_000, 0, true));
        assert!(!stored.always_validate && !stored.must_revalidate && !stored.for_everybody && !stored.immutable);
    }

    #[test]
    fn only_answers_to_get_are_stored() {
        for method in ["HEAD", "POST", "PUT", "OPTIONS", "get", "FOO"] {
            let mut other = case(&[PUBLIC]);
            other.method = method;
            assert_eq!(other.why_not(), NotStored::Method, "{method}");
        }
    }

    #[test]
    fn an_answer_to_post_is_stored_where_it_says_that_it_answers_a_get() {
        let post = |fields: &[(&str, &str)]| {
            let mut post = case(fields);
            post.method = "POST";
            post.store().map(|stored| stored.lifetime)
        };
        let fresh = ("cache-control", "max-age=60");
        assert_eq!(post(&[fresh, ("content-location", "/")]), Ok(60_000));
        assert_eq!(post(&[fresh, ("content-location", "http://h/")]), Ok(60_000));
        for no in [
            &[fresh][..],
            &[fresh, ("content-location", "/b")],
            &[fresh, ("content-location", "http://other/")],
            &[
                ("cache-control", "public"),
                ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"),
                ("content-location", "/"),
            ],
        ] {
            assert_eq!(post(no), Err(NotStored::Method), "{no:?}");
        }
    }

    #[test]
    fn what_is_not_complete_or_never_ends_is_not_stored() {
        for group in ["{}", LETTER] {
            let (said, one) = (("content-range", "bytes 0-3/10"), [("range", "bytes=0-3")]);
            assert_eq!(
                case(&[PUBLIC, said]).by(group).status(206).why_not(),
                NotStored::Incomplete,
                "nobody asked for a part"
            );
            for no in [
                "bytes 0-3/*",
                "bytes 3-0/10",
                "bytes 0-10/10",
                "bytes */10",
                "lines 0-3/10",
                "bytes 0-3",
                "bytes -3/10",
                "",
            ] {
                assert_eq!(
                    case(&[PUBLIC, ("content-range", no)]).by(group).asking(&one).status(206).why_not(),
                    NotStored::Incomplete,
                    "{no}"
                );
            }
            assert_eq!(case(&[PUBLIC]).by(group).asking(&one).status(206).why_not(), NotStored::Incomplete);
            let fields = [PUBLIC, said, ETAG, ("cache-control", "stale-while-revalidate=9, stale-if-error=9")];
            let stored = case(&fields).by(group).asking(&one).status(206).store().unwrap();
            assert!(
                stored.must_revalidate && !stored.validator && !stored.disconnected,
                "a part is given while it is fresh, and no longer"
            );
            assert_eq!((stored.while_revalidate, stored.if_error), (0, 0));
            for kind in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
                assert_eq!(case(&[PUBLIC, ("content-type", kind)]).by(group).why_not(), NotStored::Incomplete);
            }
        }
        assert!(case(&[PUBLIC, ("content-type", "text/event-streams")]).store().is_ok());
    }

    #[test]
    fn a_304_and_a_status_that_is_not_final_are_no_answers_to_store() {
        for status in [0, 100, 101, 103, 199, 304, 600, 999] {
            assert_eq!(case(&[PUBLIC]).letter().status(status).why_not(), NotStored::Status, "{status}");
        }
    }

    #[test]
    fn no_store_is_not_stored_whatever_else_is_said() {
        for text in ["no-store", "public, max-age=60, s-maxage=60, NO-STORE", "no-store=1, max-age=60"] {
            for group in ["{}", LETTER, r#"{"freshness": {"force": "60s", "min": "60s", "default": "60s"}}"#] {
                assert_eq!(case(&[("cache-control", text)]).by(group).why_not(), NotStored::NoStore, "{text}");
            }
        }
        assert_eq!(case(&[FRESH, ("cache-control", "no-store")]).why_not(), NotStored::NoStore);
    }

    #[test]
    fn private_is_not_stored_but_for_what_it_does_not_name() {
        for text in ["private", "public, private, s-maxage=60", "Private=x, private, max-age=60"] {
            for group in ["{}", LETTER, r#"{"freshness": {"force": "60s"}}"#] {
                assert_eq!(case(&[("cache-control", text)]).by(group).why_not(), NotStored::Private, "{text}");
            }
        }
        assert!(case(&[("cache-control", "private=\"x-user\", max-age=60")]).store().is_ok());
    }

    #[test]
    fn a_request_with_no_store_stores_nothing_where_the_group_obeys() {
        let asked = case(&[FRESH]).asking(&[("cache-control", "no-store")]);
        assert!(asked.store().is_ok());
        assert_eq!(asked.letter().why_not(), NotStored::RequestNoStore);
    }

    #[test]
    fn an_answer_to_a_request_with_authorization_is_stored_only_where_it_says_so() {
        for group in ["{}", LETTER] {
            for text in [
                "max-age=60",
                "max-age=60, proxy-revalidate",
                "no-cache",
                "public=1, max-age=60",
                "immutable, max-age=60",
            ] {
                assert_eq!(
                    case(&[("cache-control", text), ETAG]).by(group).asking(&USER).why_not(),
                    NotStored::Identity,
                    "{text}"
                );
            }
            for text in ["public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"] {
                let stored = case(&[("cache-control", text)]).by(group).asking(&USER).store().unwrap();
                assert!(stored.for_everybody, "{text}");
            }
        }
        assert!(case(&[FRESH]).by(r#"{"share": {"authorization": true}}"#).asking(&USER).store().is_ok());
    }

    #[test]
    fn who_names_its_user_in_another_way_counts_as_authorization() {
        let group = r#"{"share": {"identity": ["x-user-id"]}}"#;
        for asked in [("cookie", "a=b"), ("x-user-id", "7")] {
            assert_eq!(case(&[FRESH]).by(group).asking(&[asked]).why_not(), NotStored::Identity, "{asked:?}");
            assert!(case(&[PUBLIC]).by(group).asking(&[asked]).store().is_ok());
        }
        let mut verified = case(&[FRESH]);
        verified.verified = true;
        assert_eq!(verified.why_not(), NotStored::Identity);
        assert!(case(&[FRESH]).by(r#"{"share": {"cookie": true}}"#).asking(&[("cookie", "a=b")]).store().is_ok());
        // RFC 9111 to the letter knows nothing of cookies.
        assert!(case(&[FRESH]).letter().asking(&[("cookie", "a=b")]).store().is_ok());
    }

    #[test]
    fn the_groups_numbers_do_not_hold_for_a_request_that_names_its_user() {
        let group = r#"{"freshness": {"default": "50s", "min": "50s", "force": "50s", "status": {"404": "50s"}}}"#;
        let named = case(&[("cache-control", "public, max-age=7")]).by(group).asking(&USER);
        assert_eq!(named.fresh(), ("max-age", 7000));
        assert_eq!(case(&[("cache-control", "public")]).by(group).asking(&USER).why_not(), NotStored::NoFreshness);
        assert_eq!(named.status(404).why_not(), NotStored::Status);
        assert_eq!(
            case(&[])
                .by(r#"{"freshness": {"default": "50s"}, "share": {"authorization": true}}"#)
                .asking(&USER)
                .fresh(),
            ("default", 50_000)
        );
    }

    #[test]
    fn an_answer_that_sets_a_cookie_is_stored_only_where_the_group_or_the_origin_says_so() {
        let cookie = ("set-cookie", "a=b");
        for text in ["max-age=60", "public, s-maxage=60"] {
            assert_eq!(case(&[("cache-control", text), cookie]).why_not(), NotStored::SetCookie, "{text}");
        }
        assert!(case(&[FRESH, cookie]).by(r#"{"share": {"setCookie": true}}"#).store().is_ok());
        assert!(case(&[("cache-control", "max-age=60, private=\"Set-Cookie\""), cookie]).store().is_ok());
    }

    #[test]
    fn by_the_rfc_but_not_to_the_letter_a_cookie_is_stored_only_with_public_and_never_without_it() {
        let cookie = ("set-cookie", "a=b");
        for text in ["max-age=60", "s-maxage=60", "must-revalidate, max-age=60", "public=1, max-age=60"] {
            assert_eq!(case(&[("cache-control", text), cookie]).by(SAFE).why_not(), NotStored::SetCookie, "{text}");
        }
        assert!(case(&[PUBLIC, cookie]).by(SAFE).store().is_ok());
        let fields: [(&[u8], &[u8]); 1] = [(b"set-cookie", b"a=b")];
        let kept = super::super::storable(&Group::for_tests(SAFE), &Response { status: 200, fields: &fields }, 0);
        assert!(kept.iter().any(|(name, _)| name == b"set-cookie"));
    }

    #[test]
    fn to_the_letter_a_cookie_does_not_matter_where_the_origin_gave_a_freshness() {
        let cookie = ("set-cookie", "a=b");
        assert!(case(&[FRESH, cookie]).letter().store().is_ok());
        assert_eq!(
            case(&[("last-modified", "Sun, 06 Nov 1994 00:00:00 GMT"), cookie]).letter().why_not(),
            NotStored::SetCookie
        );
    }

    #[test]
    fn only_some_statuses_are_stored_without_freshness() {
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451, 501] {
            assert!(case(&[ETAG]).letter().status(status).store().is_ok(), "{status}");
        }
        for status in [201, 202, 226, 299, 302, 303, 307, 400, 403, 418, 499, 500, 502, 503, 504, 599] {
            assert_eq!(case(&[ETAG]).letter().status(status).why_not(), NotStored::NoFreshness, "{status}");
            assert!(case(&[ETAG, ("cache-control", "public")]).letter().status(status).store().is_ok(), "{status}");
        }
    }

    #[test]
    fn every_final_status_is_stored_with_explicit_freshness() {
        for status in [200, 201, 202, 226, 299, 302, 307, 399, 400, 403, 404, 410, 499, 500, 502, 503, 504, 599] {
            for field in [FRESH, ("cache-control", "s-maxage=60"), ("expires", "Sun, 06 Nov 1994 09:49:37 GMT")] {
                assert!(case(&[field]).letter().status(status).store().is_ok(), "{status}");
            }
        }
    }

    #[test]
    fn must_understand_stores_what_is_understood_even_with_no_store_and_nothing_else() {
        let both = [("cache-control", "must-understand, no-store, max-age=60")];
        for (status, ok) in
            [(200, true), (204, true), (404, true), (503, true), (226, false), (299, false), (418, false), (599, false)]
        {
            let result = case(&both).letter().status(status).store();
            assert_eq!(result.map(|_| ()), if ok { Ok(()) } else { Err(NotStored::Status) }, "{status}");
        }
        assert_eq!(
            case(&[("cache-control", "must-understand, max-age=60")]).letter().status(599).why_not(),
            NotStored::Status
        );
    }

    #[test]
    fn an_answer_that_varies_by_everything_is_not_stored() {
        for text in ["*", "accept, *", "not a name"] {
            assert_eq!(case(&[PUBLIC, ("vary", text)]).why_not(), NotStored::VaryEverything, "{text}");
        }
        assert!(case(&[PUBLIC, ("vary", "accept, cookie")]).store().is_ok());
    }

    #[test]
    fn an_error_is_stored_only_as_the_group_lists_it() {
        let group =
            r#"{"freshness": {"status": {"404": "10s", "4xx": "5s", "410": "0s"}, "min": "50s", "force": "70s"}}"#;
        assert_eq!(case(&[PUBLIC]).by(group).status(404).fresh(), ("status", 10_000));
        assert_eq!(case(&[]).by(group).status(403).fresh(), ("status", 5000));
        assert_eq!(case(&[("age", "100")]).by(group).status(404).fresh(), ("status", 10_000));
        assert_eq!(case(&[("cache-control", "no-cache")]).by(group).status(404).fresh(), ("status", 10_000));
        assert_eq!(case(&[("cache-control", "no-store")]).by(group).status(404).why_not(), NotStored::NoStore);
        for status in [410, 500, 503] {
            assert_eq!(case(&[PUBLIC]).by(group).status(status).why_not(), NotStored::Status, "{status}");
        }
        assert_eq!(case(&[PUBLIC]).status(404).why_not(), NotStored::Status);
    }

    #[test]
    fn what_a_request_brought_upon_itself_is_stored_in_no_group() {
        let listed = r#"{"freshness": {"status": {"4xx": "5s", "400": "5s", "412": "5s", "416": "5s", "417": "5s", "429": "5s"}, "force": "9s"}}"#;
        for status in [400, 406, 408, 411, 412, 413, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431] {
            for group in ["{}", listed, SAFE] {
                assert_eq!(case(&[PUBLIC, ETAG]).by(group).status(status).why_not(), NotStored::Status, "{status}");
            }
        }
        for status in [400, 412, 416, 417] {
            assert!(case(&[PUBLIC]).letter().status(status).store().is_ok(), "to the letter: {status}");
        }
        for status in [403, 404, 405, 410, 414, 451] {
            assert!(
                case(&[PUBLIC]).by(SAFE).status(status).store().is_ok()
                    && case(&[]).by(listed).status(status).store().is_ok(),
                "{status}"
            );
        }
    }

    #[test]
    fn of_answers_to_conditions_ranges_and_expectations_only_successes_are_stored() {
        let listed = r#"{"freshness": {"status": {"4xx": "5s"}}}"#;
        for asked in [
            ("if-match", "\"a\""),
            ("if-none-match", "\"a\""),
            ("if-unmodified-since", "x"),
            ("range", "bytes=0-1"),
            ("if-range", "x"),
            ("expect", "x"),
        ] {
            for group in [listed, SAFE] {
                for status in [404, 409, 302] {
                    assert_eq!(
                        case(&[PUBLIC]).by(group).asking(&[asked]).status(status).why_not(),
                        NotStored::Status,
                        "{asked:?} {status}"
                    );
                }
                assert!(case(&[PUBLIC]).by(group).asking(&[asked]).store().is_ok(), "{asked:?}");
            }
            assert!(case(&[PUBLIC]).letter().asking(&[asked]).status(404).store().is_ok(), "to the letter: {asked:?}");
        }
    }

    #[test]
    fn statuses_that_rfc_6585_forbids_are_stored_only_where_the_group_lists_them_one_by_one() {
        for status in [428, 429, 431, 511] {
            assert_eq!(case(&[PUBLIC]).letter().status(status).why_not(), NotStored::Status, "{status}");
            assert_eq!(
                case(&[PUBLIC]).by(r#"{"freshness": {"status": {"4xx": "5s", "5xx": "5s"}}}"#).status(status).why_not(),
                NotStored::Status,
                "{status}"
            );
        }
        assert_eq!(case(&[]).by(r#"{"freshness": {"status": {"511": "1s"}}}"#).status(511).fresh(), ("status", 1000));
    }

    #[test]
    fn what_could_never_be_given_is_not_stored() {
        for fields in [
            &[][..],
            &[("cache-control", "max-age=0")],
            &[("expires", "0")],
            &[FRESH, ("age", "60")],
            &[("cache-control", "no-cache, max-age=60")],
        ] {
            assert_eq!(case(fields).why_not(), NotStored::NoFreshness, "{fields:?}");
            let validated: Vec<_> = fields.iter().copied().chain([ETAG]).collect();
            assert!(case(&validated).store().is_ok(), "{fields:?}");
        }
        assert!(case(&[("cache-control", "max-age=0, stale-while-revalidate=5")]).store().is_ok());
        assert_eq!(case(&[("cache-control", "no-cache, stale-while-revalidate=5")]).why_not(), NotStored::NoFreshness);
    }

    #[test]
    fn a_length_over_the_limit_is_too_large() {
        let group = r#"{"limits": {"object": "1KiB"}}"#;
        assert_eq!(case(&[FRESH, ("content-length", "1025")]).by(group).why_not(), NotStored::TooLarge);
        assert!(case(&[FRESH, ("content-length", "1024")]).by(group).store().is_ok());
    }

    #[test]
    fn stale_windows_are_the_responses_else_the_groups() {
        let group = r#"{"freshness": {"staleWhileRevalidate": "5s", "staleIfError": "7s"}}"#;
        let windows = |text: &str| {
            case(&[("cache-control", text)]).by(group).store().map(|s| (s.while_revalidate, s.if_error)).unwrap()
        };
        assert_eq!(windows("max-age=60"), (5000, 7000));
        assert_eq!(windows("max-age=60, stale-while-revalidate=9, stale-if-error=0"), (9000, 0));
        assert_eq!(windows("max-age=60, stale-while-revalidate=x, stale-if-error"), (0, 0));
        for text in [
            "max-age=60, must-revalidate",
            "max-age=60, proxy-revalidate",
            "s-maxage=60",
            "max-age=60, must-revalidate, stale-while-revalidate=9, stale-if-error=9",
        ] {
            assert_eq!(windows(text), (0, 0), "{text}");
        }
        let failure = case(&[FRESH])
            .by(r#"{"freshness": {"staleIfError": "7s", "status": {"503": "1s"}}}"#)
            .status(503)
            .store()
            .unwrap();
        assert_eq!((failure.while_revalidate, failure.if_error), (0, 0));
    }
}
