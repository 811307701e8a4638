//! Why a request is not answered from the cache, or not as usual: one word for each cause, the same in Cache-Status, on
//! the wire, in metrics and in logs.
//!
//! docs/reasons.md, which is made of the list, says what each means and what to change.

mod list;
mod word;

pub use list::Reason;
pub use word::{AnyReason, Word};

/// Words of earlier versions, which peers of those versions still send.
const FORMER: [(&str, Reason); 1] = [("behind", Reason::PurgeLag)];

impl Reason {
    /// Returns the reason of this word, or of a word that earlier versions use for it.
    pub fn of(word: &str) -> Option<Self> {
        let earlier = || FORMER.iter().find(|(former, _)| *former == word).map(|(_, reason)| *reason);
        Self::ALL.into_iter().find(|reason| reason.label() == word).or_else(earlier)
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, other: &&str) -> bool {
        self.label() == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_it_means_and_what_to_change() {
        for reason in Reason::ALL {
            let (meaning, change) = (reason.meaning(), reason.change());
            assert!(meaning.ends_with('.') && change.ends_with(['.', '?']), "{reason:?}: {meaning:?}, {change:?}");
            assert!(!meaning.contains(" | ") && !change.contains(" | "), "{reason:?}: a bar ends a cell of the page");
        }
        let of_sections: Vec<Reason> = Reason::SECTIONS.iter().flat_map(|(_, reasons)| *reasons).copied().collect();
        assert_eq!(of_sections, Reason::ALL);
        assert_eq!((Reason::Expect.meaning(), Reason::Expect.change()), ("It has `Expect`.", "Leave the header out."));
    }

    #[test]
    fn each_word_is_one_reasons_and_fits_the_wire() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.label()), Some(reason));
            assert_eq!(Word::from(reason).as_str(), reason.label());
        }
    }
}
