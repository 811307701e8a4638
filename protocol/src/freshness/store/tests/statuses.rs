//! Which responses are stored: statuses, Vary, length, and what they are stored with.

use super::super::*;
use crate::freshness::test_case::{SAFE, case};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const PUBLIC: (&str, &str) = ("cache-control", "public, max-age=60");
const ETAG: (&str, &str) = ("etag", "\"a\"");

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
    let group = r#"{"freshness": {"status": {"404": "10s", "4xx": "5s", "410": "0s"}, "min": "50s", "force": "70s"}}"#;
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
        for group in [listed, SAFE, r#"{"freshness": {"errors": "rfc9111"}}"#] {
            for status in [203, 204, 404, 409, 302] {
                assert_eq!(
                    case(&[PUBLIC]).by(group).asking(&[asked]).status(status).why_not(),
                    NotStored::Status,
                    "{asked:?} {status}"
                );
            }
            assert!(case(&[PUBLIC]).by(group).asking(&[asked]).store().is_ok(), "{asked:?}");
        }
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

/// kubecache's defaults: every 2xx for CACHE_TTL, every other status for CACHE_ERROR_TTL, whatever the response says.
const KUBECACHE: &str = r#"{"request": {"drop": ["*"]}, "key": {"host": "none"}, "freshness": {"ignore": ["no-store", "private", "vary"],
    "status": {"2xx": "5m", "3xx": "1m", "4xx": "1m", "428": "1m", "429": "1m", "431": "1m", "5xx": "1m", "511": "1m"}}}"#;

#[test]
fn every_status_has_its_lifetime_by_kubecaches_defaults_whatever_the_answer_says() {
    for fields in [
        &[][..],
        &[("cache-control", "no-store"), ("vary", "*"), ("set-cookie", "a=b")],
        &[("cache-control", "no-cache, private, max-age=7, must-revalidate"), ("age", "100"), ("expires", "0")],
        &[("cache-control", "max-age=86400, must-understand")],
    ] {
        for status in (200..600).filter(|status| ![206, 304].contains(status)) {
            let stored = case(fields).by(KUBECACHE).status(status).store();
            let stored = stored.unwrap_or_else(|not| panic!("{status} {fields:?}: {not:?}"));
            let expected = if status < 300 { 300_000 } else { 60_000 };
            assert_eq!((stored.ttl(0), stored.why, stored.always_validate), (expected, LifetimeRule::Status, false));
        }
    }
    let part = case(&[FRESH, ("content-range", "bytes 0-3/10")]).by(KUBECACHE).status(206);
    assert_eq!(part.asking(&[("range", "bytes=0-3")]).fresh(), ("max-age", 60_000), "a part by what it says itself");
}

#[test]
fn what_status_lists_is_before_force_min_and_default_and_a_number_before_its_class() {
    let group = r#"{"freshness": {"status": {"2xx": "5s", "200": "10s", "302": "7s", "301": "0s", "3xx": "8s", "307": "1h"}, "min": "50s", "force": "70s", "default": "90s", "max": "30m"}}"#;
    for (status, expected) in [(200, 10_000), (203, 5000), (302, 7000), (303, 8000), (307, 1_800_000)] {
        for fields in [&[][..], &[("cache-control", "no-cache, max-age=1")], &[("age", "100"), PUBLIC]] {
            let why = if status == 307 { "max" } else { "status" };
            assert_eq!(case(fields).by(group).status(status).fresh(), (why, expected), "{status} {fields:?}");
        }
    }
    assert_eq!(case(&[PUBLIC]).by(group).status(301).why_not(), NotStored::Status, "0s: not stored");
    for (forbids, why) in [("no-store", NotStored::NoStore), ("private", NotStored::Private)] {
        assert_eq!(case(&[("cache-control", forbids)]).by(group).why_not(), why);
    }
    let user = [("authorization", "Basic x")];
    assert_eq!(case(&[PUBLIC]).by(group).asking(&user).fresh(), ("max-age", 60_000), "not for who names its user");
}

#[test]
fn what_a_request_can_provoke_is_stored_only_where_it_is_listed_and_requests_are_anonymous() {
    let of = |drop: &str, status: &str| {
        format!(r#"{{"request": {{"drop": [{drop}]}}, "freshness": {{"status": {{{status}}}}}}}"#)
    };
    let (listed, class) = (r#""400": "5s", "412": "5s", "416": "5s", "429": "5s""#, r#""4xx": "5s""#);
    for status in [400, 412, 416] {
        for list in [listed, class] {
            assert_eq!(case(&[]).by(&of(r#""*""#, list)).status(status).fresh(), ("status", 5000), "{status}");
            for drop in ["", r#""cookie", "authorization""#] {
                assert_eq!(case(&[PUBLIC]).by(&of(drop, list)).status(status).why_not(), NotStored::Status, "{status}");
            }
        }
        assert_eq!(case(&[PUBLIC]).by(&of(r#""*""#, "")).status(status).why_not(), NotStored::Status, "{status}");
    }
    assert_eq!(case(&[]).by(&of(r#""*""#, listed)).status(429).fresh(), ("status", 5000));
    assert_eq!(case(&[]).by(&of(r#""*""#, class)).status(429).why_not(), NotStored::Status, "RFC 6585");
}
