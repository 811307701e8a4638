//! Signs and verifies the marks of purges: any client of the data port may claim a number, and a right mark proves that
//! a coordinator announced it.

use meshcache_protocol::mark::Mark;
use ring::hmac::{HMAC_SHA256, Key, sign};
use subtle::ConstantTimeEq;

/// Stands before the signed text: whatever else a peer token may sign one day is no mark.
const CONTEXT: &str = "meshcache purge ";

/// The peer tokens as signing keys. Without one there are no marks.
#[derive(Default)]
pub(crate) struct MarkSigner(Vec<Key>);

impl MarkSigner {
    /// The first of these tokens signs, and each verifies.
    pub(crate) fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| Key::new(HMAC_SHA256, token.as_bytes())).collect())
    }

    /// The mark of a source's number. `None`: there is no token.
    pub(crate) fn sign(&self, source: &str, n: u64) -> Option<Mark> {
        self.0.first().map(|key| mark(key, source, n))
    }

    /// Whether a mark is that of a source's number, by any of the tokens. Takes the same time for each answer.
    pub(crate) fn verify(&self, source: &str, n: u64, given: Mark) -> bool {
        self.0.iter().fold(false, |right, key| right | bool::from(mark(key, source, n).0.ct_eq(&given.0)))
    }
}

fn mark(key: &Key, source: &str, n: u64) -> Mark {
    let tag = sign(key, format!("{CONTEXT}{source}:{n}").as_bytes());
    // A tag of SHA-256 has 32 bytes.
    Mark(tag.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(tokens: &[&str]) -> MarkSigner {
        MarkSigner::new(&tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_mark_is_for_one_number_of_one_source_and_by_any_accepted_token() {
        let (old, both) = (signer(&["old"]), signer(&["new", "old"]));
        let mark = old.sign("a.1", 7).unwrap();
        assert!(old.verify("a.1", 7, mark) && both.verify("a.1", 7, mark), "every token is tried");
        for (source, n) in [("a.1", 6), ("a.1", 8), ("a.2", 7), ("a.", 17)] {
            assert!(!both.verify(source, n, mark), "{source}:{n}");
        }
        let new = both.sign("a.1", 7).unwrap();
        assert!(new != mark && !old.verify("a.1", 7, new), "signed by the first, and unknown where that is missing");
        assert!(!both.verify("a.1", 7, Mark(0)));
        let none = signer(&[]);
        assert!(none.sign("a.1", 7).is_none() && !none.verify("a.1", 7, mark));
    }

    #[test]
    fn a_mark_is_the_same_in_every_release() {
        // The first 64 bits of HMAC-SHA256 by another implementation.
        assert_eq!(signer(&["token"]).sign("cache-0.00c0ffee00c0ffee", 17).unwrap().to_string(), "b6dd9756f6365816");
    }
}
