//! Which responses are stored: methods, directives, users and cookies.

mod statuses;

use super::*;
use crate::freshness::test_case::{Case, LETTER, SAFE, case};

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
    let own = [fresh, ("content-location", "/")];
    let anonymous = Case { method: "POST", ..case(&own).by(ANONYMOUS) };
    assert_eq!(anonymous.why_not(), NotStored::Method, "its content is the client's own");
    for no in [
        &[fresh][..],
        &[fresh, ("content-location", "/b")],
        &[fresh, ("content-location", "http://other/")],
        &[("cache-control", "public"), ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"), ("content-location", "/")],
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
        for text in
            ["max-age=60", "max-age=60, proxy-revalidate", "no-cache", "public=1, max-age=60", "immutable, max-age=60"]
        {
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
        case(&[]).by(r#"{"freshness": {"default": "50s"}, "share": {"authorization": true}}"#).asking(&USER).fresh(),
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
    let kept = crate::freshness::storable(&Group::for_tests(SAFE), &Response { status: 200, fields: &fields }, 0);
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

/// All that a response says of itself is ignored, in a group of anonymous requests.
const ANONYMOUS: &str = r#"{"request": {"drop": ["*"]}, "freshness": {"ignore": ["no-store", "private", "vary"]}}"#;

#[test]
fn what_the_group_ignores_does_not_count_and_all_else_does() {
    for text in [
        "no-store, max-age=60",
        "No-Store=1, max-age=60",
        "private, max-age=60",
        "private=\"cache-control\", max-age=60",
        "must-understand, no-store, max-age=60",
    ] {
        assert_eq!(case(&[("cache-control", text)]).by(ANONYMOUS).fresh(), ("max-age", 60_000), "{text}");
    }
    for text in ["no-store, max-age=7", "private, max-age=7"] {
        assert_eq!(case(&[("meshcache-control", text)]).by(ANONYMOUS).fresh(), ("targeted", 7000), "{text}");
    }
    assert_eq!(case(&[("cache-control", "no-store")]).by(ANONYMOUS).why_not(), NotStored::NoFreshness);
    assert_eq!(case(&[FRESH, ("cache-control", "max-age=5")]).by(ANONYMOUS).fresh(), ("max-age", 5000));
    let one = r#"{"request": {"drop": ["*"]}, "freshness": {"ignore": ["private"]}}"#;
    assert_eq!(case(&[("cache-control", "private, no-store, max-age=60")]).by(one).why_not(), NotStored::NoStore);
    assert_eq!(case(&[FRESH, ("vary", "*")]).by(one).why_not(), NotStored::VaryEverything);
}

#[test]
fn where_vary_is_ignored_one_response_is_for_all() {
    let group = Group::for_tests(ANONYMOUS);
    for text in ["*", "accept", "not a name"] {
        assert!(case(&[FRESH, ("vary", text)]).by(ANONYMOUS).store().is_ok(), "{text}");
        let fields = [(&b"vary"[..], text.as_bytes())];
        let response = Response { status: 200, fields: &fields };
        assert_eq!(Vary::in_group(&group, &response), Vary::Nothing, "{text}");
        assert_eq!(Vary::in_group(&Group::for_tests("{}"), &response), Vary::of(&response));
        let kept = crate::freshness::storable(&group, &response, 0);
        assert!(kept.iter().any(|(name, _)| name == b"vary"), "clients' caches may need it");
    }
}

#[test]
fn where_vary_is_ignored_an_encoded_response_is_for_those_who_accept_it() {
    let encodes = r#"{"request": {"drop": ["*"], "acceptEncoding": ["gzip"]}, "freshness": {"ignore": ["vary"]}}"#;
    let by_encoding = Vary::By(vec!["accept-encoding".into()]);
    for (name, value, by) in [
        ("vary", "Accept, Accept-Encoding", by_encoding.clone()),
        ("content-encoding", "gzip", by_encoding),
        ("vary", "accept", Vary::Nothing),
        ("vary", "*", Vary::Nothing),
    ] {
        let fields = [(name.as_bytes(), value.as_bytes())];
        let response = Response { status: 200, fields: &fields };
        assert_eq!(Vary::in_group(&Group::for_tests(encodes), &response), by, "{name}: {value}");
        assert_eq!(Vary::in_group(&Group::for_tests(ANONYMOUS), &response), Vary::Nothing, "{name}: {value}");
    }
}

#[test]
fn where_something_is_ignored_a_cookie_is_set_for_nobody() {
    let one = r#"{"request": {"drop": ["*"]}, "freshness": {"ignore": ["private"]}}"#;
    let fields: [(&[u8], &[u8]); 2] = [(b"set-cookie", b"a=b"), (b"x-user", b"1")];
    for group in [ANONYMOUS, one] {
        assert!(case(&[FRESH, ("set-cookie", "a=b")]).by(group).store().is_ok());
        let kept = crate::freshness::storable(&Group::for_tests(group), &Response { status: 200, fields: &fields }, 0);
        let names: Vec<_> = kept.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"x-user"[..], b"date"]);
    }
}

#[test]
fn fields_that_an_ignored_private_names_are_stored() {
    let said: (&[u8], &[u8]) = (b"cache-control", b"private=\"x-user\", no-cache=\"x-other\"");
    let fields = [said, (b"x-user", b"1"), (b"x-other", b"2")];
    let kept = crate::freshness::storable(&Group::for_tests(ANONYMOUS), &Response { status: 200, fields: &fields }, 0);
    let has = |name: &[u8]| kept.iter().any(|(own, _)| own == name);
    assert!(has(b"x-user") && !has(b"x-other"));
}
