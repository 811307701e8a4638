//! Figures that are no whole numbers, as people read them.

use crate::text;

/// A rate: `1,204` or `0.3`; what is no number is `-`.
pub(crate) fn rate(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".to_owned(),
        _ if value.abs() < 99.95 => format!("{value:.1}"),
        _ if value < 0.0 => format!("-{}", text::number(-value.round() as u64)),
        _ => text::number(value.round() as u64),
    }
}

/// A share of 1: `97.2 %`. Only all of it is 100 %.
pub(crate) fn share(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".to_owned(),
        _ if value < 1.0 => format!("{:.1} %", (value * 1000.0).floor() / 10.0),
        _ => "100 %".to_owned(),
    }
}

/// `512 B`, `1.2 KiB`.
pub(crate) fn bytes(value: f64) -> String {
    if value.is_finite() { text::bytes(value.round() as u64) } else { "-".to_owned() }
}

/// Milliseconds: `0.31 ms`, `12.3 ms`, `1.5 s`.
pub(crate) fn millis(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".to_owned(),
        _ if value < 9.995 => format!("{:.2} ms", value.max(0.0)),
        _ if value < 99.95 => format!("{value:.1} ms"),
        _ if value < 999.5 => format!("{value:.0} ms"),
        _ if value < 60_000.0 => format!("{:.1} s", value / 1000.0),
        _ => text::seconds((value / 1000.0) as u64),
    }
}

/// `1 request`, `2 requests`.
pub(crate) fn of(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", text::number(value), if value == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_their_unit() {
        assert_eq!([rate(0.25), rate(99.94), rate(99.96), rate(1204.4)], ["0.2", "99.9", "100", "1,204"]);
        assert_eq!([rate(-3.0), rate(-300.0)], ["-3.0", "-300"]);
        assert_eq!(
            [millis(0.314), millis(9.999), millis(123.4), millis(1500.0)],
            ["0.31 ms", "10.0 ms", "123 ms", "1.5 s"]
        );
        assert_eq!([of(1, "row", "rows"), of(1200, "row", "rows")], ["1 row", "1,200 rows"]);
    }

    #[test]
    fn only_all_of_it_is_a_hundred_per_cent() {
        assert_eq!([share(0.9999), share(1.0), share(0.5), share(f64::NAN)], ["99.9 %", "100 %", "50.0 %", "-"]);
    }

    #[test]
    fn what_a_server_should_not_have_said_is_still_a_figure() {
        assert_eq!([rate(f64::NAN), bytes(-1.0), bytes(f64::INFINITY), millis(-1.0)], ["-", "0 B", "-", "0.00 ms"]);
        assert!(bytes(f64::MAX).len() < 40 && rate(f64::MAX).len() < 40 && millis(f64::MAX).len() < 40);
    }
}
