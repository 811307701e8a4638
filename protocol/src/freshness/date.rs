//! HTTP dates: reads all three formats, and writes IMF-fixdate (RFC 9110 section 5.6.7).

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const DAYS: [&[u8]; 7] = [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];

/// In seconds. A date with a two-digit year that is further ahead is in the century before.
const FIFTY_YEARS: i64 = 1_577_847_600;

/// Reads an HTTP date: Unix seconds. `now` decides the century of a two-digit year. Follows the grammar except for case
/// (RFC 9111 section 4.2): a date in another form may mean another time.
pub(super) fn parse(value: &[u8], now: i64) -> Option<i64> {
    let value = value.trim_ascii();
    imf(value).or_else(|| rfc850(value, now)).or_else(|| asctime(value))
}

fn imf(value: &[u8]) -> Option<i64> {
    let [w1, w2, w3, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', time @ .., b' ', g, m, t] =
        value
    else {
        return None;
    };
    weekday(&[*w1, *w2, *w3], true)?;
    gmt([*g, *m, *t])?;
    moment(digits(&[*y1, *y2, *y3, *y4])?, month([*m1, *m2, *m3])?, digits(&[*d1, *d2])?, time)
}

fn rfc850(value: &[u8], now: i64) -> Option<i64> {
    let comma = value.iter().position(|b| *b == b',')?;
    let (day, rest) = value.split_at_checked(comma)?;
    weekday(day, false)?;
    let [b',', b' ', d1, d2, b'-', m1, m2, m3, b'-', y1, y2, b' ', time @ .., b' ', g, m, t] = rest else {
        return None;
    };
    gmt([*g, *m, *t])?;
    let (year, month, day) = (digits(&[*y1, *y2])?, month([*m1, *m2, *m3])?, digits(&[*d1, *d2])?);
    let century = year_of(now).saturating_sub(year_of(now).rem_euclid(100));
    let at = moment(century.saturating_add(year), month, day, time)?;
    if at > now.saturating_add(FIFTY_YEARS) {
        moment(century.saturating_add(year).saturating_sub(100), month, day, time)
    } else {
        Some(at)
    }
}

fn asctime(value: &[u8]) -> Option<i64> {
    let [w1, w2, w3, b' ', m1, m2, m3, b' ', d1, d2, b' ', time @ .., b' ', y1, y2, y3, y4] = value else {
        return None;
    };
    weekday(&[*w1, *w2, *w3], true)?;
    let day = if *d1 == b' ' { digits(&[*d2])? } else { digits(&[*d1, *d2])? };
    moment(digits(&[*y1, *y2, *y3, *y4])?, month([*m1, *m2, *m3])?, day, time)
}

/// Writes an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn format(unix: i64) -> String {
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let name = |of: &[u8]| String::from_utf8_lossy(of.get(..3).unwrap_or_default()).into_owned();
    let capital = |of: &[u8]| {
        let mut name = name(of);
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        name
    };
    // 1970-01-01 was a Thursday.
    let weekday = usize::try_from(days.saturating_add(3).rem_euclid(7))
        .ok()
        .and_then(|n| DAYS.get(n).copied())
        .unwrap_or(DAYS[0]);
    let month = usize::try_from(month.saturating_sub(1)).ok().and_then(|n| MONTHS.get(n).copied()).unwrap_or(MONTHS[0]);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        capital(weekday),
        capital(month),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn weekday(name: &[u8], short: bool) -> Option<()> {
    DAYS.iter()
        .any(|day| if short { day.get(..3) } else { Some(*day) }.is_some_and(|day| day.eq_ignore_ascii_case(name)))
        .then_some(())
}

fn month(name: [u8; 3]) -> Option<i64> {
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(&name))?;
    i64::try_from(at).ok().map(|n| n.saturating_add(1))
}

fn gmt(zone: [u8; 3]) -> Option<()> {
    zone.eq_ignore_ascii_case(b"gmt").then_some(())
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0_i64, |n, b| {
        b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(i64::from(b.saturating_sub(b'0'))))
    })
}

fn moment(year: i64, month: i64, day: i64, time: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = time else { return None };
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    let days = days(year, month, day);
    // A day that its month does not have comes back as another one. 60 is a leap second.
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(
        days.saturating_mul(86_400)
            .saturating_add(hour.saturating_mul(3600))
            .saturating_add(minute.saturating_mul(60))
            .saturating_add(second),
    )
}

fn year_of(unix: i64) -> i64 {
    civil(unix.div_euclid(86_400)).0
}

/// Returns the days since 1970-01-01 of a day in the Gregorian calendar (Hinnant's algorithm: years begin in March,
/// eras have 400 years).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march = month.saturating_add(9) % 12;
    let of_year = (march.saturating_mul(153).saturating_add(2) / 5).saturating_add(day).saturating_sub(1);
    let day_of_era =
        of_era.saturating_mul(365).saturating_add(of_era / 4).saturating_sub(of_era / 100).saturating_add(of_year);
    era.saturating_mul(146_097).saturating_add(day_of_era).saturating_sub(719_468)
}

/// Returns the year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        of_era.saturating_sub(of_era / 1460).saturating_add(of_era / 36_524).saturating_sub(of_era / 146_096) / 365;
    let of_year = of_era.saturating_sub(
        year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100),
    );
    let march = of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = of_year.saturating_sub(march.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if march < 10 { march.saturating_add(3) } else { march.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year_of_era);
    (if month <= 2 { year.saturating_add(1) } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000; // 2023-11-14
    const THEN: i64 = 784_111_777;

    fn read(text: &str) -> Option<i64> {
        parse(text.as_bytes(), NOW)
    }

    #[test]
    fn dates_are_read_in_all_three_formats() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(read(text), Some(THEN), "{text}");
        }
        assert_eq!(read("Sun Nov 16 08:49:37 1994"), Some(THEN + 864_000));
        assert_eq!(read("Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799));
    }

    #[test]
    fn dates_are_read_in_any_case() {
        for text in ["sun, 06 nov 1994 08:49:37 gmt", "SUNDAY, 06-NOV-94 08:49:37 GMT", "sUN nOV  6 08:49:37 1994"] {
            assert_eq!(read(text), Some(THEN), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_http_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "now",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Xxx, 06 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "784111777",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_two_digit_year_more_than_fifty_years_ahead_is_in_the_past() {
        let year = |text: &str| year_of(read(text).unwrap());
        assert_eq!(year("Sunday, 06-Nov-72 08:49:37 GMT"), 2072);
        assert_eq!(year("Sunday, 06-Nov-73 08:49:37 GMT"), 2073);
        assert_eq!(year("Sunday, 30-Nov-73 08:49:37 GMT"), 1973);
        assert_eq!(year("Sunday, 06-Nov-74 08:49:37 GMT"), 1974);
        assert_eq!(year("Sunday, 06-Nov-99 08:49:37 GMT"), 1999);
    }

    #[test]
    fn a_written_date_is_an_imf_fixdate() {
        assert_eq!(format(THEN), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        for at in (0..4_000_000_000).step_by(12_345_678) {
            assert_eq!(read(&format(at)), Some(at));
        }
    }
}
