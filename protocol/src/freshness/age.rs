//! The age of a response on arrival (RFC 9111 section 4.2.3).

use super::{date, directive::seconds};
use crate::request::{Response, list::members};

/// When a load's request was sent and when the response's head arrived: Unix milliseconds of this host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent.
    pub requested: u64,
    /// When the response's head arrived.
    pub responded: u64,
}

impl Times {
    /// Returns when the head arrived, Unix seconds.
    pub(super) fn arrived(self) -> i64 {
        i64::try_from(self.responded / 1000).unwrap_or(i64::MAX)
    }
}

/// Returns the response's age on arrival, milliseconds: corrected_initial_age, the greater of Age's and Date's.
pub(super) fn initial(response: &Response<'_>, times: Times) -> u64 {
    let delay = times.responded.saturating_sub(times.requested);
    let corrected = age_value(response).saturating_add(delay);
    let apparent = dates(response, times.arrived()).min().map_or(0, |date| times.arrived().saturating_sub(date));
    // Date has whole seconds, so that less than two are no age.
    let apparent = if apparent <= 1 { 0 } else { u64::try_from(apparent).unwrap_or(0).saturating_mul(1000) };
    corrected.max(apparent)
}

/// Returns the first member of Age, milliseconds; 0 where it is no number (section 5.1).
fn age_value(response: &Response<'_>) -> u64 {
    response.values("age").flat_map(members).next().and_then(seconds).unwrap_or(0).saturating_mul(1000)
}

/// Returns all valid Date fields, Unix seconds.
pub(super) fn dates(response: &Response<'_>, now: i64) -> impl Iterator<Item = i64> {
    response.values("date").filter_map(move |value| date::parse(value, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    const NOON: u64 = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
    const AT_ONCE: Times = Times { requested: NOON, responded: NOON };

    fn age(fields: &[Field<'_>], times: Times) -> u64 {
        initial(&Response { status: 200, fields }, times)
    }

    #[test]
    fn age_is_the_greater_of_what_age_and_date_say() {
        assert_eq!(age(&[], AT_ONCE), 0);
        assert_eq!(age(&[(b"age", b"30")], AT_ONCE), 30_000);
        assert_eq!(age(&[(b"date", b"Sun, 06 Nov 1994 08:49:27 GMT")], AT_ONCE), 10_000);
        assert_eq!(age(&[(b"age", b"30"), (b"date", b"Sun, 06 Nov 1994 08:49:27 GMT")], AT_ONCE), 30_000);
        assert_eq!(age(&[(b"age", b"3"), (b"date", b"Sun, 06 Nov 1994 08:49:27 GMT")], AT_ONCE), 10_000);
    }

    #[test]
    fn the_time_that_the_response_took_is_part_of_its_age() {
        assert_eq!(age(&[(b"age", b"30")], Times { requested: NOON - 1500, responded: NOON }), 31_500);
        assert_eq!(age(&[], Times { requested: NOON + 1500, responded: NOON }), 0);
    }

    #[test]
    fn a_date_in_the_future_or_of_this_second_is_no_age() {
        assert_eq!(age(&[(b"date", b"Sun, 06 Nov 1994 09:49:37 GMT")], AT_ONCE), 0);
        assert_eq!(age(&[(b"date", b"Sun, 06 Nov 1994 08:49:36 GMT")], AT_ONCE), 0);
    }

    #[test]
    fn of_several_ages_the_first_counts_and_of_several_dates_the_oldest() {
        assert_eq!(age(&[(b"age", b"30, 5")], AT_ONCE), 30_000);
        assert_eq!(age(&[(b"age", b"5"), (b"age", b"30")], AT_ONCE), 5_000);
        assert_eq!(
            age(&[(b"date", b"Sun, 06 Nov 1994 08:49:27 GMT"), (b"date", b"Sun, 06 Nov 1994 08:49:17 GMT")], AT_ONCE),
            20_000
        );
    }

    #[test]
    fn an_age_that_is_no_number_counts_for_nothing_and_one_too_large_is_as_large_as_can_be() {
        for text in [&b"-30"[..], b"3.5", b"abc", b"30s", b"\"30\"", b"", b"0x10", b"-1, 30"] {
            assert_eq!(age(&[(b"age", text)], AT_ONCE), 0, "{}", text.escape_ascii());
        }
        assert_eq!(age(&[(b"age", b"99999999999999999999")], AT_ONCE), 2_147_483_648_000);
    }

    #[test]
    fn a_date_that_cannot_be_read_is_no_age() {
        assert_eq!(age(&[(b"date", b"yesterday")], AT_ONCE), 0);
    }
}
