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
