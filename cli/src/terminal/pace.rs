//! How often a command asks, as it stands on the command line.

use std::time::Duration;

/// The shortest time between two questions: each asks all coordinators.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(3600);

/// Reads `2s`, `500ms` or `1m`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("write a time of 500ms to 1h, such as `2s`, `500ms` or `1m`, not `{text}`");
    let digits = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)).ok_or_else(wrong)?;
    Some(Duration::from_millis(millis)).filter(|every| (SHORTEST..=LONGEST).contains(every)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_neither_too_short_nor_too_long() {
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "2", "s", "0s", "-1s", "499ms", "2h", "1d", "99999999999999999999s", "2 s", "é"] {
            assert!(parse(wrong).unwrap_err().contains("`500ms`"), "{wrong}");
        }
    }
}
