//! Weights of preferences (RFC 9110 section 12.4.2).

/// Reads a weight of `0` to `1` with up to three digits (RFC 9110 section 12.4.2), in thousandths.
pub(crate) fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, rest) = text.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut value = u16::from(whole.checked_sub(b'0').filter(|n| *n <= 1)?);
    for at in 0..3 {
        let digit = digits.get(at).map_or(Some(0), |b| b.is_ascii_digit().then(|| b.saturating_sub(b'0')))?;
        value = value.saturating_mul(10).saturating_add(u16::from(digit));
    }
    (value <= 1000).then_some(value)
}
