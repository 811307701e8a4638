//! Whether a stored response may answer a request (RFC 9111 section 4, RFC 5861, RFC 8246).

use super::{request_directives::RequestDirectives, sharing::names_user, stored::Stored};
use crate::{groups::Group, request::Request};

/// How a stored response may be used for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It answers the request.
    Fresh,
    /// It answers the request although it is stale, and is refreshed in the background (stale-while-revalidate,
    /// max-stale).
    Stale,
    /// The origin has to be asked, conditionally where there is a validator. With the reason for Cache-Status (`fwd=`):
    /// `uri-miss`, `stale`, `request`.
    Validate(&'static str),
    /// It never answers this request, which names its user: the response may not be shared so.
    Refuse,
    /// It does not answer this request, which has only-if-cached: 504.
    OnlyIfCached,
}

/// Decides whether a stored response whose variant matches may answer a request.
/// `stored`: `None` where there is no such response; the result is then `Validate` or `OnlyIfCached`. `resident`: how
/// long it has been stored, milliseconds.
pub fn reuse(group: &Group, request: &Request<'_>, verified: bool, stored: Option<&Stored>, resident: u64) -> Reuse {
    let directives = RequestDirectives::of(group, request);
    let reuse = match stored {
        None => Reuse::Validate("uri-miss"),
        Some(stored) if !stored.for_everybody && names_user(group, request, verified) => Reuse::Refuse,
        Some(stored) => one(&directives, stored, resident),
    };
    match reuse {
        Reuse::Validate(_) | Reuse::Refuse if directives.only_if_cached => Reuse::OnlyIfCached,
        other => other,
    }
}

fn one(directives: &RequestDirectives, stored: &Stored, resident: u64) -> Reuse {
    if directives.no_cache {
        return Reuse::Validate("request");
    }
    if stored.always_validate {
        return Reuse::Validate("stale");
    }
    let fresh = stored.is_fresh(resident);
    let reload = directives.max_age.is_some_and(|most| most == 0 || stored.age(resident) > most);
    // A reload brings nothing new of what never changes.
    if reload && !(fresh && stored.immutable) {
        return Reuse::Validate("request");
    }
    if directives.min_fresh.is_some_and(|least| !fresh || u64::try_from(stored.ttl(resident)).unwrap_or(0) < least) {
        return Reuse::Validate("request");
    }
    if fresh {
        return Reuse::Fresh;
    }
    if stored.must_revalidate {
        return Reuse::Validate("stale");
    }
    let stale = stored.staleness(resident);
    let client = directives.max_stale.is_some_and(|most| stale <= most);
    // A request that limits the age, without max-stale, accepts no stale response (section 5.2.1.1).
    let window = directives.max_age.is_none() && stale < stored.while_revalidate;
    if client || window { Reuse::Stale } else { Reuse::Validate("stale") }
}

/// Whether a stale response may be given because the origin failed: no response, or 500, 502, 503 or 504 (RFC 5861
/// section 4).
pub fn reuse_on_error(group: &Group, request: &Request<'_>, verified: bool, stored: &Stored, resident: u64) -> bool {
    let directives = RequestDirectives::of(group, request);
    if directives.no_cache || stored.always_validate || (!stored.for_everybody && names_user(group, request, verified))
    {
        return false;
    }
    if stored.is_fresh(resident) {
        // The origin was asked because of the request's directives alone.
        return true;
    }
    let stale = stored.staleness(resident);
    let window = stored
        .while_revalidate
        .max(stored.if_error)
        .max(directives.if_error.unwrap_or(0))
        .max(directives.max_stale.unwrap_or(0));
    !stored.must_revalidate && (stored.disconnected || stale < window)
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_case::{Case, LETTER, case},
        *,
    };

    const ETAG: (&str, &str) = ("etag", "\"a\"");
    const STALE: Reuse = Reuse::Validate("stale");
    const REQUEST: Reuse = Reuse::Validate("request");

    fn control(text: &str) -> (&str, &str) {
        ("cache-control", text)
    }

    /// Fresh for 60 s, in the group that obeys.
    fn minute<'a>(fields: &'a [(&'a str, &'a str)]) -> Case<'a> {
        case(fields).letter()
    }

    #[test]
    fn a_fresh_response_is_given_and_a_stale_one_validated() {
        let stored = minute(&[("cache-control", "max-age=60"), ETAG]);
        assert_eq!(stored.later(&[], 0), Reuse::Fresh);
        assert_eq!(stored.later(&[], 59), Reuse::Fresh);
        assert_eq!(stored.later(&[], 60), STALE);
        assert_eq!(minute(&[("cache-control", "max-age=0"), ETAG]).later(&[], 0), STALE);
    }

    #[test]
    fn what_is_not_there_is_a_miss() {
        let group = Group::for_tests("{}");
        let ask = |fields: &'static [(&'static [u8], &'static [u8])]| {
            reuse(&group, &Request::read(b"GET", b"http", b"h", b"/", fields).unwrap(), false, None, 0)
        };
        assert_eq!(ask(&[]), Reuse::Validate("uri-miss"));
        assert_eq!(ask(&[(b"cache-control", b"Only-If-Cached")]), Reuse::OnlyIfCached);
    }

    #[test]
    fn no_cache_of_the_response_is_never_given_without_validation() {
        let stored = minute(&[("cache-control", "no-cache, max-age=60"), ETAG]);
        assert_eq!(stored.later(&[], 0), STALE);
        assert_eq!(stored.later(&[control("max-stale")], 70), STALE);
        assert!(!stored.on_error(&[], 0));
        assert_eq!(minute(&[("cache-control", "no-cache=\"x\", max-age=60")]).later(&[], 0), Reuse::Fresh);
    }

    #[test]
    fn requests_with_no_cache_are_validated_where_the_group_obeys() {
        for asked in [control("no-cache"), ("pragma", "no-cache"), control("max-age=0")] {
            assert_eq!(minute(&[("cache-control", "max-age=60")]).later(&[asked], 0), REQUEST, "{asked:?}");
            assert_eq!(case(&[("cache-control", "max-age=60")]).later(&[asked], 0), Reuse::Fresh, "{asked:?}");
        }
        assert_eq!(
            minute(&[("cache-control", "max-age=60")]).later(&[("pragma", "no-cache"), control("max-age=60")], 0),
            Reuse::Fresh
        );
    }

    #[test]
    fn max_age_of_a_request_bounds_the_age() {
        let stored = minute(&[("cache-control", "max-age=60"), ("age", "10")]);
        assert_eq!(stored.later(&[control("max-age=20")], 10), Reuse::Fresh);
        assert_eq!(stored.later(&[control("max-age=20")], 11), REQUEST);
        assert_eq!(stored.later(&[control("max-age=x")], 0), REQUEST);
    }

    #[test]
    fn min_fresh_asks_for_what_stays_fresh() {
        let stored = minute(&[("cache-control", "max-age=60")]);
        assert_eq!(stored.later(&[control("min-fresh=20")], 40), Reuse::Fresh);
        assert_eq!(stored.later(&[control("min-fresh=20")], 41), REQUEST);
        assert_eq!(stored.later(&[control("min-fresh=x")], 0), REQUEST);
    }

    #[test]
    fn max_stale_takes_what_is_stale() {
        let stored = minute(&[("cache-control", "max-age=60"), ETAG]);
        assert_eq!(stored.later(&[control("max-stale=10")], 70), Reuse::Stale);
        assert_eq!(stored.later(&[control("max-stale=10")], 71), STALE);
        assert_eq!(stored.later(&[control("max-stale")], 100_000), Reuse::Stale);
        assert_eq!(stored.later(&[control("max-stale=x")], 70), STALE);
        assert_eq!(case(&[("cache-control", "max-age=60"), ETAG]).later(&[control("max-stale")], 70), STALE);
    }

    #[test]
    fn what_must_be_revalidated_is_never_given_stale() {
        for text in [
            "max-age=60, must-revalidate",
            "max-age=60, proxy-revalidate",
            "s-maxage=60",
            "max-age=60, must-revalidate, stale-while-revalidate=99, stale-if-error=99",
        ] {
            let fields = [control(text), ETAG];
            let stored = minute(&fields);
            assert_eq!(stored.later(&[], 59), Reuse::Fresh, "{text}");
            assert_eq!(stored.later(&[], 61), STALE, "{text}");
            assert_eq!(stored.later(&[control("max-stale")], 61), STALE, "{text}");
            assert!(!stored.on_error(&[], 61) && !stored.on_error(&[control("stale-if-error=99")], 61), "{text}");
        }
    }

    #[test]
    fn stale_while_revalidate_gives_the_stale_one_in_its_window() {
        let stored = minute(&[("cache-control", "max-age=60, stale-while-revalidate=10"), ETAG]);
        assert_eq!(stored.later(&[], 60), Reuse::Stale);
        assert_eq!(stored.later(&[], 69), Reuse::Stale);
        assert_eq!(stored.later(&[], 70), STALE);
        assert_eq!(stored.later(&[control("max-age=99")], 65), STALE);
        assert_eq!(stored.later(&[control("no-cache")], 65), REQUEST);
    }

    #[test]
    fn stale_if_error_gives_the_stale_one_when_the_origin_fails() {
        let stored = case(&[("cache-control", "max-age=60, stale-if-error=10")]);
        assert!(stored.on_error(&[], 69) && !stored.on_error(&[], 70));
        let without = case(&[("cache-control", "max-age=60"), ETAG]);
        assert!(!without.on_error(&[], 61));
        assert!(without.by(r#"{"freshness": {"staleIfError": "10s"}}"#).on_error(&[], 69));
    }

    #[test]
    fn a_request_may_ask_for_stale_if_error() {
        let fields = [("cache-control", "max-age=60, stale-if-error=0"), ETAG];
        assert!(
            minute(&fields).on_error(&[control("stale-if-error=10")], 69)
                && !minute(&fields).on_error(&[control("stale-if-error=10")], 70)
        );
        assert!(!minute(&fields).on_error(&[], 61) && !case(&fields).on_error(&[control("stale-if-error=10")], 61));
    }

    #[test]
    fn to_the_letter_a_disconnected_cache_gives_what_it_has_unless_it_is_told_not_to() {
        let fields = [("cache-control", "max-age=60"), ETAG];
        assert!(minute(&fields).on_error(&[], 100_000) && !minute(&fields).on_error(&[control("no-cache")], 61));
        assert!(!case(&fields).on_error(&[], 61) && !minute(&fields).status(503).on_error(&[], 61));
        assert!(!minute(&[("cache-control", "max-age=60, stale-if-error=5"), ETAG]).on_error(&[], 66));
    }

    #[test]
    fn an_immutable_response_is_not_validated_by_a_reload_while_it_is_fresh() {
        let stored = minute(&[("cache-control", "max-age=60, immutable"), ETAG]);
        assert_eq!(stored.later(&[control("max-age=0")], 10), Reuse::Fresh);
        assert_eq!(stored.later(&[control("no-cache")], 10), REQUEST);
        assert_eq!(stored.later(&[control("max-age=0")], 60), REQUEST);
        assert_eq!(stored.later(&[], 60), STALE);
    }

    #[test]
    fn only_if_cached_gets_what_can_be_given_or_nothing_in_every_group() {
        for group in ["{}", LETTER] {
            let stored = case(&[("cache-control", "max-age=60"), ETAG]).by(group);
            assert_eq!(stored.later(&[control("only-if-cached")], 10), Reuse::Fresh);
            assert_eq!(stored.later(&[control("only-if-cached")], 60), Reuse::OnlyIfCached);
            assert_eq!(stored.later(&[control("only-if-cached"), ("authorization", "x")], 10), Reuse::OnlyIfCached);
        }
        assert_eq!(
            minute(&[("cache-control", "max-age=60"), ETAG]).later(&[control("only-if-cached, max-stale")], 70),
            Reuse::Stale
        );
    }

    #[test]
    fn who_names_its_user_gets_only_what_is_for_everybody() {
        for asked in [("authorization", "x"), ("cookie", "a=b")] {
            assert_eq!(case(&[("cache-control", "max-age=60")]).later(&[asked], 0), Reuse::Refuse, "{asked:?}");
            assert_eq!(case(&[("cache-control", "public, max-age=60")]).later(&[asked], 0), Reuse::Fresh, "{asked:?}");
            assert!(!case(&[("cache-control", "max-age=60, stale-if-error=9")]).on_error(&[asked], 61), "{asked:?}");
        }
        assert_eq!(minute(&[("cache-control", "max-age=60")]).later(&[("authorization", "x")], 0), Reuse::Refuse);
        assert_eq!(minute(&[("cache-control", "max-age=60")]).later(&[("cookie", "a=b")], 0), Reuse::Fresh);
    }

    #[test]
    fn a_request_with_no_store_may_be_answered_from_the_store() {
        assert_eq!(minute(&[("cache-control", "max-age=60")]).later(&[control("no-store")], 0), Reuse::Fresh);
    }
}
