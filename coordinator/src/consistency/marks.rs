//! Makes and checks the marks of purges: who reaches the data port may say any number, and only one with a right mark
//! was told by a coordinator.

use meshcache_protocol::mark::Mark;
use ring::hmac::{HMAC_SHA256, Key, sign};
use subtle::ConstantTimeEq;

/// Before what is signed: nothing else that a peer token may sign one day is a mark.
const WHAT: &str = "meshcache purge ";

/// The peer tokens, ready to sign. Without one there are no marks.
#[derive(Default)]
pub(crate) struct Marker(Vec<Key>);

impl Marker {
    /// The first of these tokens makes marks, and those of all are right.
    pub(crate) fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| Key::new(HMAC_SHA256, token.as_bytes())).collect())
    }

    /// The mark of a source's number.
    pub(crate) fn mark(&self, source: &str, n: u64) -> Option<Mark> {
        self.0.first().map(|key| by(key, source, n))
    }

    /// Whether a mark is the one of this number, by any of the tokens.
    pub(crate) fn is_right(&self, source: &str, n: u64, mark: Mark) -> bool {
        self.0.iter().fold(false, |right, key| right | bool::from(by(key, source, n).0.ct_eq(&mark.0)))
    }
}

fn by(key: &Key, source: &str, n: u64) -> Mark {
    let tag = sign(key, format!("{WHAT}{source}:{n}").as_bytes());
    // A tag of SHA-256 has 32 bytes.
    Mark(tag.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(tokens: &[&str]) -> Marker {
        Marker::new(&tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_mark_is_for_one_number_of_one_source_and_by_any_accepted_token() {
        let (old, both) = (marker(&["old"]), marker(&["new", "old"]));
        let mark = old.mark("a.1", 7).unwrap();
        assert!(old.is_right("a.1", 7, mark) && both.is_right("a.1", 7, mark), "every token is tried");
        for (source, n) in [("a.1", 6), ("a.1", 8), ("a.2", 7), ("a.", 17)] {
            assert!(!both.is_right(source, n, mark), "{source}:{n}");
        }
        let new = both.mark("a.1", 7).unwrap();
        assert!(new != mark && !old.is_right("a.1", 7, new), "by the first, and of a token that is not there");
        assert!(!both.is_right("a.1", 7, Mark(0)));
        let none = marker(&[]);
        assert!(none.mark("a.1", 7).is_none() && !none.is_right("a.1", 7, mark));
    }

    #[test]
    fn a_mark_is_the_same_in_every_release() {
        // The first 64 bits of HMAC-SHA256 by another implementation.
        assert_eq!(marker(&["token"]).mark("cache-0.00c0ffee00c0ffee", 17).unwrap().to_string(), "b6dd9756f6365816");
    }
}
