//! Secrets: bytes that no log line, page or debug output shows.

use std::fmt;
use subtle::ConstantTimeEq;

/// Bytes that are shown to nobody by accident: their debug format is `***`, and comparing them takes the same time
/// wherever they differ.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes, for the one place that sends them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

/// Returns a file's content without the newline at its end, which editors and `echo` write.
pub fn without_newline(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let secret = Secret::new(*b"hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert!(secret == Secret::new(*b"hunter2") && secret != Secret::new(*b"hunter3"));
        assert_eq!(secret.expose(), b"hunter2");
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_it() {
        for (content, value) in [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n"), ("\n", ""), (" a ", " a ")]
        {
            assert_eq!(without_newline(content.as_bytes()), value.as_bytes(), "{content:?}");
        }
    }
}
