//! Failures that may not be stored, but are shared by the requests that wait for them.

use super::{date, store::NotStored};
use crate::groups::Group;

/// Whether the requests that wait for a load may have its response although it is not stored: the origin fails or has
/// nothing, and the response is not stored only because it has no freshness. Under RFC 9111 (section 4) only what is or
/// could be stored is shared: no 5xx in a group that follows it.
pub fn is_shared_failure(group: &Group, status: u16, not: NotStored) -> bool {
    let by_rfc = group.config().freshness.errors.by_rfc();
    let fails = matches!(status, 404 | 410) || (matches!(status, 500 | 502 | 503 | 504) && !by_rfc);
    fails && matches!(not, NotStored::Status | NotStored::NoFreshness)
}

/// Returns the time of Retry-After, seconds or a date (RFC 9110 section 10.2.3), in milliseconds from now; 0 where it
/// cannot be read. `now`: Unix milliseconds.
pub fn retry_after(value: &[u8], now: u64) -> u64 {
    match std::str::from_utf8(value).map(str::trim).unwrap_or_default() {
        text if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map_or(u64::MAX, |seconds: u64| seconds.saturating_mul(1000))
        }
        _ => {
            let now = i64::try_from(now / 1000).unwrap_or(i64::MAX);
            date::parse(value, now)
                .map_or(0, |date| u64::try_from(date.saturating_sub(now)).unwrap_or(0).saturating_mul(1000))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_case::{LETTER, case},
        *,
    };

    #[test]
    fn failures_without_freshness_are_shared_and_nothing_else() {
        let shared = |group: &str, status: u16, fields: &[(&str, &str)]| {
            let not = case(fields).by(group).status(status).why_not();
            is_shared_failure(&Group::for_tests(group), status, not)
        };
        for status in [404, 410, 500, 502, 503, 504] {
            assert!(shared("{}", status, &[]), "{status}");
            for by_rfc in [LETTER, r#"{"freshness": {"errors": "safe"}}"#] {
                assert_eq!(shared(by_rfc, status, &[]), status < 500, "{status}");
            }
            for forbids in
                [("cache-control", "private"), ("cache-control", "no-store"), ("set-cookie", "a=b"), ("vary", "*")]
            {
                assert!(!shared("{}", status, &[forbids]), "{status} {forbids:?}");
            }
        }
        for status in [302, 400, 401, 403, 407, 429, 501] {
            assert!(!shared("{}", status, &[]), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        const NOW: u64 = 784_111_777_000;
        for (value, ms) in [
            (&b"5"[..], 5000),
            (b"99999999999999999999999", u64::MAX),
            (b"Sun, 06 Nov 1994 08:49:47 GMT", 10_000),
            (b"Sun, 06 Nov 1994 08:49:27 GMT", 0),
            (b"-5", 0),
            (b"soon", 0),
            (b"", 0),
        ] {
            assert_eq!(retry_after(value, NOW), ms, "{value:?}");
        }
    }
}
