//! Reasons as text: words from the wire, including those of other versions.

use super::Reason;
use std::{fmt, ops::Deref};

/// The longest word, bytes.
const MAX_WORD: usize = 32;

/// The word of a reason: one of [`Reason`]'s, one of RFC 9211's for `fwd`, or one of another version, which is passed
/// on unchanged. A token of bounded length, so that it fits a header. Empty: no reason.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Word {
    length: u8,
    bytes: [u8; MAX_WORD],
}

impl Word {
    /// No reason.
    pub const NONE: Self = Self { length: 0, bytes: [0; MAX_WORD] };

    /// Reads a word. Text that is not a token, or too long, is no reason.
    pub fn read(word: &str) -> Self {
        let mut read = Self::NONE;
        let fits = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if let (true, Ok(length), Some(bytes)) = (fits, u8::try_from(word.len()), read.bytes.get_mut(..word.len())) {
            bytes.copy_from_slice(word.as_bytes());
            read.length = length;
        }
        read
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Returns the reason of this word; `None` for an unknown one.
    pub fn reason(&self) -> Option<Reason> {
        Reason::of(self.as_str())
    }
}

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<Reason> for Word {
    fn from(reason: Reason) -> Self {
        Self::read(reason.label())
    }
}

impl From<&str> for Word {
    fn from(word: &str) -> Self {
        Self::read(word)
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason that a coordinator passes on: one that this version knows, or the word of a peer of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyReason {
    /// A reason that this version knows.
    Own(Reason),
    /// An unknown word. It is passed on unchanged, and is never a label of a metric.
    Foreign(Word),
}

impl AnyReason {
    /// Reads a peer's word. An empty one is `peer`.
    pub fn from_peer(word: Word) -> Self {
        match word.reason() {
            Some(reason) => Self::Own(reason),
            None if word.is_empty() => Self::Own(Reason::Peer),
            None => Self::Foreign(word),
        }
    }

    /// Returns its word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Own(reason) => reason.label(),
            Self::Foreign(word) => word,
        }
    }

    /// Returns the label for metrics: `peer` for an unknown word, so that peers cannot add labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Own(reason) => reason.label(),
            Self::Foreign(_) => Reason::Peer.label(),
        }
    }
}

impl From<Reason> for AnyReason {
    fn from(reason: Reason) -> Self {
        Self::Own(reason)
    }
}

impl From<AnyReason> for Word {
    fn from(reason: AnyReason) -> Self {
        match reason {
            AnyReason::Own(reason) => reason.into(),
            AnyReason::Foreign(word) => word,
        }
    }
}

impl PartialEq<Reason> for AnyReason {
    fn eq(&self, other: &Reason) -> bool {
        *self == Self::Own(*other)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::FORMER, *};

    #[test]
    fn a_word_of_another_version_is_passed_on_unchanged_if_it_is_a_short_token() {
        assert_eq!(Word::read("of-another-version"), "of-another-version");
        assert_eq!(Word::read(&"a".repeat(32)).len(), 32);
        for bad in [&"a".repeat(33)[..], "two words", "a\"b", "a;b", "\u{e9}", ""] {
            assert_eq!(Word::read(bad), Word::NONE, "{bad}");
        }
        let theirs = AnyReason::from_peer("of-another-version".into());
        assert_eq!((theirs.as_str(), theirs.label()), ("of-another-version", "peer"));
        assert_eq!(AnyReason::from_peer("private".into()), Reason::Private);
        assert_eq!(AnyReason::from_peer(Word::NONE), Reason::Peer);
    }

    #[test]
    fn a_word_of_an_earlier_version_is_read_as_todays() {
        let lag = AnyReason::from_peer("behind".into());
        assert_eq!((lag.as_str(), lag.label()), ("purge-lag", "purge-lag"));
        assert!(FORMER.iter().all(|(former, reason)| *former != reason.label()));
    }
}
