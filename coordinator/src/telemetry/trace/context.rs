//! The ids of a span, as W3C Trace Context and B3 write them.

use std::fmt;

/// A span's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// Never 0.
    pub(crate) trace: u128,
    /// Never 0.
    pub(crate) span: u64,
    /// Whether it is recorded.
    pub(crate) is_sampled: bool,
}

impl TraceContext {
    /// Makes a context; none where an id is 0.
    pub(crate) fn new(trace: u128, span: u64, is_sampled: bool) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, is_sampled })
    }

    /// Reads a `traceparent` (W3C Trace Context, section 3.2). Later versions may have more behind what is known.
    pub(crate) fn of_traceparent(value: &[u8]) -> Option<Self> {
        let (fixed, rest) = value.split_at_checked(55)?;
        let [version, trace, span, flags] = parts(fixed)?;
        let (version, flags) = (hex(version)?, hex(flags)?);
        if version == 0xff || (version == 0 && !rest.is_empty()) || !matches!(rest.first(), None | Some(b'-')) {
            return None;
        }
        Self::new(hex(trace)?, u64::try_from(hex(span)?).ok()?, flags & 1 == 1)
    }
}

/// The `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// Splits `vv-ttt-sss-ff` into its parts, whose lengths are fixed.
fn parts(fixed: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = fixed.split(|byte| *byte == b'-');
    let found = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && found.map(<[u8]>::len) == [2, 32, 16, 2]).then_some(found)
}

/// Reads digits of base 16, all in lower case.
pub(super) fn hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0, |sum: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let read = TraceContext::of_traceparent(PARENT.as_bytes()).unwrap();
        assert!(read.is_sampled);
        assert_eq!(read.to_string(), PARENT);
        let later = format!("cc-{}-what-comes", PARENT.get(3..).unwrap());
        assert_eq!(TraceContext::of_traceparent(later.as_bytes()), Some(read), "a later version");
    }

    #[test]
    fn a_traceparent_that_the_standard_calls_invalid_is_none() {
        for bad in [
            "",
            "00-1-2-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7-01-",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ] {
            assert_eq!(TraceContext::of_traceparent(bad.as_bytes()), None, "{bad}");
        }
    }
}
