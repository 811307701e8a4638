//! Values as Go's standard library reads them: strconv.ParseBool and time.ParseDuration.

/// The nanoseconds of Go's units.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a boolean as strconv.ParseBool does.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Reads a duration as time.ParseDuration does. Returns its milliseconds, rounded up; less than zero: zero.
pub(super) fn parse_duration(text: &str) -> Option<u64> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(*scale)?)?.checked_add(part(fraction, *scale))?;
        // Go's durations are 64 bits of nanoseconds.
        if total > i128::from(i64::MAX) {
            return None;
        }
        rest = after;
    }
    let millis = u64::try_from((total + 999_999) / 1_000_000).ok()?;
    Some(if is_negative { 0 } else { millis })
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The nanoseconds of the digits after a point.
fn part(fraction: &str, scale: i128) -> i128 {
    let (sum, _) = fraction.bytes().fold((0, scale), |(sum, scale), digit| {
        let scale = scale / 10;
        (sum + i128::from(digit.wrapping_sub(b'0')) * scale, scale)
    });
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("300s", 300_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1000),
            ("+2s", 2000),
            ("100us", 1),
            ("1\u{b5}s", 1),
            ("1m0.001s", 60_001),
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("-5s", 0),
        ] {
            assert_eq!(parse_duration(text), Some(millis), "{text}");
        }
        for text in ["", "-", "+", "300", "5 s", " 5s", "s", ".s", "5d", "1h-5m", "five", "99999999999h", "1s\u{20ac}"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        for (text, value) in [("true", Some(true)), ("T", Some(true)), ("0", Some(false)), ("False", Some(false))] {
            assert_eq!(parse_bool(text), value, "{text}");
        }
        for text in ["yes", "on", "tRUE", "", " true"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }
}
