//! Durations, sizes and shares as people write them: `10s`, `1h30m`, `8MiB`, `5%`.

use super::InvalidValue;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A duration in whole milliseconds. Written `250ms`, `10s`, `1h30m`, `7d`; `0` alone is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "String")]
pub struct Span(u64);

impl Span {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Creates a duration of milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Creates a duration of seconds, saturating.
    pub const fn secs(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Returns the milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns it as the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl std::str::FromStr for Span {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = || InvalidValue::new(text, "a duration (examples: 250ms, 10s, 1h30m, 7d)");
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let (mut rest, mut total, mut last) = (text, 0u64, u64::MAX);
        while !rest.is_empty() {
            let (number, after) = split_number(rest).ok_or_else(wrong)?;
            let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, more) = after.split_at(end);
            let scale = SPANS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms).ok_or_else(wrong)?;
            if scale >= last {
                return Err(wrong());
            }
            total = number.checked_mul(scale).and_then(|ms| total.checked_add(ms)).ok_or_else(wrong)?;
            (rest, last) = (more, scale);
        }
        if last == u64::MAX { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in SPANS {
            let n = left / scale;
            if n > 0 {
                write!(f, "{n}{unit}")?;
                left %= scale;
            }
        }
        Ok(())
    }
}

/// A number of bytes. Written `8MiB` or `8Mi`, `512KiB`, `1GiB` (powers of 1024), `100MB` or `100M` (powers of 1000),
/// or plain bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "String")]
pub struct Size(pub u64);

/// Sizes are written in the first three.
const SIZES: [(&str, u64); 19] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TiB", 1 << 40),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
    ("B", 1),
    ("", 1),
];

impl std::str::FromStr for Size {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = || InvalidValue::new(text, "a size (examples: 512KiB, 8MiB, 1Gi, 100MB, 1048576)");
        let (number, unit) = split_number(text).ok_or_else(wrong)?;
        let scale = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, n)| *n).ok_or_else(wrong)?;
        number.checked_mul(scale).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, scale) in SIZES.iter().take(3) {
            if self.0 >= *scale && self.0.is_multiple_of(*scale) {
                return write!(f, "{}{unit}", self.0 / scale);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A share of a whole, 0 to 100. Written `25%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "String")]
pub struct Percent(pub u8);

impl Percent {
    /// Returns that share of `whole`, rounded down.
    pub const fn of(self, whole: u64) -> u64 {
        (whole / 100).saturating_mul(self.0 as u64).saturating_add((whole % 100) * self.0 as u64 / 100)
    }
}

impl std::str::FromStr for Percent {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = || InvalidValue::new(text, "a share (0% to 100%)");
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        match split_number(number) {
            Some((n @ 0..=100, "")) => Ok(Self(n as u8)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    digits.parse().ok().map(|n| (n, rest))
}

/// A YAML or JSON scalar: `0` and `1048576` may be written without quotes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text such as 10s, 8MiB or 5%")]
enum Scalar {
    Number(u64),
    Text(String),
}

macro_rules! scalar {
    ($($unit:ty),*) => {$(
        impl TryFrom<Scalar> for $unit {
            type Error = InvalidValue;
            fn try_from(scalar: Scalar) -> Result<Self, InvalidValue> {
                match scalar {
                    Scalar::Number(n) => n.to_string().parse(),
                    Scalar::Text(text) => text.parse(),
                }
            }
        }
        impl From<$unit> for String {
            fn from(unit: $unit) -> Self {
                unit.to_string()
            }
        }
    )*};
}
scalar!(Span, Size, Percent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1m1ms", 60_001),
        ] {
            assert_eq!(text.parse::<Span>(), Ok(Span::millis(ms)), "{text}");
        }
        for text in
            ["", "10", "s", "10 s", "-1s", "1.5h", "1m1h", "1s1s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(Span::millis(5_400_250).to_string(), "1h30m250ms");
    }

    #[test]
    fn sizes_and_shares_are_read_as_people_write_them() {
        assert_eq!("8MiB".parse(), Ok(Size(8 << 20)));
        assert_eq!("8Mi".parse(), Ok(Size(8 << 20)));
        assert_eq!("1048576".parse(), Ok(Size(1 << 20)));
        for (text, bytes) in [
            ("100MB", 100_000_000),
            ("100M", 100_000_000),
            ("1kB", 1000),
            ("1KB", 1000),
            ("2GB", 2_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        // Earlier filters know no such units: the feed has none.
        assert_eq!(
            (Size(100_000_000).to_string(), Size(8_000_000).to_string()),
            ("100000000".into(), "8000000".into())
        );
        assert_eq!(Size(1 << 20).to_string(), "1MiB");
        assert_eq!(Size(1500).to_string(), "1500");
        assert_eq!("5%".parse(), Ok(Percent(5)));
        assert_eq!(Percent(25).of(200), 50);
        for text in ["8mB", "8mb", "MB", "MiB", "-1", "8 MiB", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["101%", "5", "%", "-1%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
