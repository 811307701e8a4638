//! Lifetimes, rule by rule.

use crate::freshness::test_case::{LETTER, case};

const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
const IN_100: (&str, &str) = ("expires", "Sun, 06 Nov 1994 08:51:17 GMT");
const ETAG: (&str, &str) = ("etag", "\"a\"");

fn control(text: &str) -> (&str, &str) {
    ("cache-control", text)
}

#[test]
fn the_first_that_is_there_gives_the_lifetime() {
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:32:57 GMT");
    let group = r#"{"freshness": {"default": "9s", "heuristic": true}}"#;
    let all =
        [("meshcache-control", "max-age=10, s-maxage=7"), control("s-maxage=20, max-age=30"), IN_100, modified, DATE];
    assert_eq!(case(&all).by(group).fresh(), ("targeted", 7000));
    assert_eq!(case(&all[1..]).by(group).fresh(), ("s-maxage", 20_000));
    assert_eq!(case(&[control("max-age=30"), IN_100, modified, DATE]).by(group).fresh(), ("max-age", 30_000));
    assert_eq!(case(&all[2..]).by(group).fresh(), ("expires", 100_000));
    assert_eq!(case(&all[3..]).by(group).fresh(), ("heuristic", 100_000));
    assert_eq!(case(&all[4..]).by(group).fresh(), ("default", 9000));
}

#[test]
fn a_targeted_field_makes_cache_control_and_expires_count_for_nothing() {
    assert_eq!(
        case(&[("meshcache-control", "foo"), control("no-store, max-age=30"), IN_100, ETAG]).fresh(),
        ("default", 0)
    );
    assert_eq!(
        case(&[("cdn-cache-control", "max-age=10"), control("max-age=30")]).letter().fresh(),
        ("targeted", 10_000)
    );
    assert_eq!(case(&[("cdn-cache-control", "max-age=10"), control("max-age=30")]).fresh(), ("max-age", 30_000));
    assert!(case(&[("meshcache-control", "foo"), control("public"), IN_100, ETAG]).status(302).store().is_err());
}

#[test]
fn a_lifetime_that_cannot_be_read_is_none_and_nothing_after_it_counts() {
    for text in ["max-age=x", "s-maxage=x, max-age=60", "max-age", "max-age=-1", "max-age=1.5", "max-age=60, max-age=x"]
    {
        assert_eq!(case(&[control(text), IN_100, ETAG]).letter().store().unwrap().lifetime, 0, "{text}");
    }
}

#[test]
fn expires_is_counted_from_date_and_from_arrival_without_one() {
    let late = ("date", "Sun, 06 Nov 1994 08:50:37 GMT");
    assert_eq!(case(&[IN_100, late]).store().unwrap().lifetime, 40_000);
    assert_eq!(case(&[IN_100]).store().unwrap().lifetime, 100_000);
    assert_eq!(case(&[IN_100, ("date", "now")]).store().unwrap().lifetime, 100_000);
}

#[test]
fn expires_that_is_no_date_has_passed_and_of_several_the_first_in_time_counts() {
    for text in [
        "0",
        "-1",
        "",
        "soon",
        "Sun, 06 Nov 1994 08:51:17",
        "Sun, 06 Nov 1994 08:51:17 CET",
        "784111877",
        "Sat, 05 Nov 1994 08:51:17 GMT",
    ] {
        assert_eq!(case(&[("expires", text), DATE, ETAG]).letter().fresh(), ("expires", 0), "{text}");
    }
    assert_eq!(case(&[IN_100, ("expires", "Sun, 06 Nov 1994 08:50:17 GMT")]).fresh(), ("expires", 40_000));
    assert_eq!(case(&[IN_100, ("expires", "0"), ETAG]).fresh(), ("expires", 0));
}

#[test]
fn the_age_on_arrival_is_taken_from_the_lifetime() {
    assert_eq!(case(&[control("max-age=60"), ("age", "15")]).fresh(), ("max-age", 45_000));
    assert_eq!(case(&[control("max-age=60"), ("date", "Sun, 06 Nov 1994 08:49:17 GMT")]).fresh(), ("max-age", 40_000));
    assert_eq!(case(&[control("max-age=60"), ("age", "70"), ETAG]).fresh(), ("max-age", -10_000));
}

#[test]
fn a_heuristic_is_a_tenth_of_the_time_since_modification_and_never_beside_explicit_freshness() {
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:32:57 GMT");
    assert_eq!(case(&[modified, DATE]).letter().fresh(), ("heuristic", 100_000));
    assert_eq!(case(&[modified, control("public")]).letter().status(302).fresh(), ("heuristic", 100_000));
    assert_eq!(case(&[modified, control("max-age=0")]).letter().fresh(), ("max-age", 0));
    assert_eq!(case(&[modified, ("expires", "0")]).letter().fresh(), ("expires", 0));
    assert_eq!(case(&[modified]).fresh(), ("default", 0));
    assert_eq!(case(&[("last-modified", "Sun, 06 Nov 1994 09:32:57 GMT"), ETAG]).letter().fresh(), ("default", 0));
    assert_eq!(case(&[("last-modified", "?"), ETAG]).letter().fresh(), ("default", 0));
}

#[test]
fn the_default_is_for_answers_that_say_nothing() {
    let group = r#"{"freshness": {"default": "9s"}}"#;
    assert_eq!(case(&[]).by(group).fresh(), ("default", 9000));
    assert_eq!(case(&[("age", "100")]).by(group).fresh(), ("default", 9000));
    assert_eq!(case(&[control("max-age=0"), ETAG]).by(group).fresh(), ("max-age", 0));
    assert_eq!(case(&[control("no-cache"), ETAG]).by(group).fresh(), ("default", 0));
    assert!(case(&[]).by(group).status(302).store().is_err());
}

#[test]
fn then_come_min_and_max_and_force() {
    let bounds = r#"{"freshness": {"default": "5s", "min": "10s", "max": "100s"}}"#;
    assert_eq!(case(&[]).by(bounds).fresh(), ("min", 10_000));
    assert_eq!(case(&[control("max-age=0")]).by(bounds).fresh(), ("min", 10_000));
    assert_eq!(case(&[control("max-age=50")]).by(bounds).fresh(), ("max-age", 50_000));
    assert_eq!(case(&[control("max-age=500")]).by(bounds).fresh(), ("max", 100_000));
    assert_eq!(case(&[control("max-age=500"), ("age", "450")]).by(bounds).fresh(), ("max-age", 50_000));
    let force = r#"{"freshness": {"min": "10s", "max": "100s", "force": "200s"}}"#;
    for text in ["max-age=500", "max-age=0", "no-cache", "must-revalidate"] {
        assert_eq!(case(&[control(text)]).by(force).fresh(), ("force", 200_000), "{text}");
    }
    assert_eq!(case(&[("age", "1000")]).by(force).status(302).fresh(), ("force", 200_000));
    assert!(!case(&[control("no-cache")]).by(force).store().unwrap().always_validate);
}

#[test]
fn min_does_not_make_no_cache_usable_nor_a_status_storable() {
    let group = r#"{"freshness": {"min": "10s"}}"#;
    let stored = case(&[control("no-cache, max-age=5"), ETAG]).by(group).store().unwrap();
    assert!(stored.always_validate && stored.lifetime == 5000);
    assert!(case(&[]).by(group).status(302).store().is_err());
    assert_eq!(case(&[]).by(group).status(200).fresh(), ("min", 10_000));
}

#[test]
fn jitter_shortens_what_is_left_by_up_to_its_share() {
    let mut jittered =
        case(&[("cache-control", "max-age=110"), ("age", "10")]).by(r#"{"freshness": {"jitter": "20%"}}"#);
    for (random, left) in [(0, 100_000), (u64::MAX / 2, 90_001), (u64::MAX, 80_001)] {
        jittered.random = random;
        assert_eq!(jittered.fresh(), ("max-age", left));
    }
}

#[test]
fn a_huge_lifetime_is_as_long_as_can_be() {
    let group = r#"{"freshness": {"max": "36500d"}}"#;
    for text in ["max-age=2147483648", "max-age=99999999999999999999"] {
        assert_eq!(case(&[control(text)]).by(group).fresh(), ("max-age", 2_147_483_648_000), "{text}");
    }
    assert_eq!(case(&[control("max-age=99999999999999999999")]).by(LETTER).fresh(), ("max", 604_800_000));
}
