//! Numbers as fields have them.

/// Writes a number's decimal digits.
pub fn decimal<const N: usize>(mut n: u64, digits: &mut [u8; N]) -> &[u8] {
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.saturating_add((n % 10) as u8);
        n /= 10;
        at = at.saturating_sub(1);
        if n == 0 {
            break;
        }
    }
    digits.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_digits() {
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
        assert_eq!(decimal(404, &mut [0; 5]), b"404");
    }
}
