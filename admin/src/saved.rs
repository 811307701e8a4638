//! What was saved, in one sentence.

use crate::Saved;
use std::{fmt, iter::Sum, ops::Add};

impl Add for Saved {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            saved: self.saved.saturating_add(other.saved),
            herds: self.herds.saturating_add(other.herds),
            herd_loads: self.herd_loads.saturating_add(other.herd_loads),
        }
    }
}

impl Sum for Saved {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// The one true number: `saved 98.8 % of 6,543 requests (212 herds saved 19,400 loads)`.
impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, saved, herds, herd_loads } = *self;
        if requests == 0 {
            f.write_str("no requests yet")?;
        } else {
            match u64::try_from(saved) {
                Ok(saved @ 1..) => {
                    // Rounded down: 100 % is for all of them.
                    let tenths = u128::from(saved.min(requests)) * 1000 / u128::from(requests);
                    write!(f, "saved {}.{} % of {} requests", tenths / 10, tenths % 10, Grouped(requests))?;
                }
                _ => write!(f, "saved nothing of {} requests", Grouped(requests))?,
            }
        }
        if herds > 0 {
            let (of_herds, of_loads) =
                (if herds == 1 { "herd" } else { "herds" }, if herd_loads == 1 { "load" } else { "loads" });
            write!(f, " ({} {of_herds} saved {} {of_loads})", Grouped(herds), Grouped(herd_loads))?;
        }
        Ok(())
    }
}

/// A number with a comma before each three digits: `19,400`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (n, digit) in digits.chars().enumerate() {
            let left = digits.len().saturating_sub(n);
            let comma = if n > 0 && left % 3 == 0 { "," } else { "" };
            write!(f, "{comma}{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(requests: u64, saved: i64, herds: u64, herd_loads: u64) -> String {
        Saved { requests, saved, herds, herd_loads }.to_string()
    }

    #[test]
    fn one_sentence_says_what_was_saved() {
        assert_eq!(saved(6543, 6465, 212, 19_400), "saved 98.8 % of 6,543 requests (212 herds saved 19,400 loads)");
        assert_eq!(saved(50, 49, 1, 1), "saved 98.0 % of 50 requests (1 herd saved 1 load)");
        assert_eq!(saved(1_000_000, 999_999, 0, 0), "saved 99.9 % of 1,000,000 requests", "one was not");
        assert_eq!(saved(7, 7, 0, 0), "saved 100.0 % of 7 requests");
    }

    #[test]
    fn nothing_is_never_a_negative_share() {
        assert_eq!(saved(0, 0, 0, 0), "no requests yet");
        assert_eq!(saved(12, 0, 0, 0), "saved nothing of 12 requests");
        assert_eq!(saved(12, -3, 1, 1), "saved nothing of 12 requests (1 herd saved 1 load)");
        assert_eq!(saved(5, 9, 0, 0), "saved 100.0 % of 5 requests", "whatever a coordinator of another version says");
    }

    #[test]
    fn all_that_coordinators_saved_is_their_sum() {
        let one = Saved { requests: 10, saved: 12, herds: 1, herd_loads: 4 };
        let sum: Saved = [one, Saved { saved: -4, ..one }].into_iter().sum();
        assert_eq!(sum, Saved { requests: 20, saved: 8, herds: 2, herd_loads: 8 });
    }
}
