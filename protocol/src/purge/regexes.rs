//! The regular expressions of a purge.

use regex_lite::{Error, Regex, RegexBuilder};
use std::borrow::Cow;

/// The most regular expressions of a purge.
pub const MAX_REGEXES: usize = 16;
/// The bytes that they take together when compiled, some 500 characters: the time for a key grows with them.
const MAX_COMPILED: usize = 16 * 1024;

/// Regular expressions that match whole paths with their query, in time linear in the path. All are compiled as one.
#[derive(Debug)]
pub struct Regexes(Regex);

impl Regexes {
    /// Compiles regular expressions.
    ///
    /// # Errors
    /// Why they cannot be used, in one line.
    pub fn new(texts: &[String]) -> Result<Self, String> {
        if texts.len() > MAX_REGEXES {
            return Err(format!("{} are too many for one purge: write at most {MAX_REGEXES}", texts.len()));
        }
        for text in texts {
            // Alone first: `a)|(b` would be valid in the parentheses of the whole.
            [text, &whole(text)]
                .into_iter()
                .try_for_each(|text| build(text).map(drop))
                .map_err(|error| format!("`{text}` is not a regex: {error}"))?;
        }
        let all: Vec<String> = texts.iter().map(|text| format!("(?:{text})")).collect();
        let too_large = |error| format!("together they are too large: write shorter ones, or fewer ({error})");
        build(&whole(&all.join("|"))).map(Self).map_err(too_large)
    }

    /// Whether one of them matches a path with its query, as in keys.
    pub fn matches(&self, path: &str, query: &str) -> bool {
        let both = if query.is_empty() { Cow::Borrowed(path) } else { Cow::Owned(format!("{path}{query}")) };
        self.0.is_match(&both)
    }
}

fn whole(text: &str) -> String {
    format!("^(?:{text})$")
}

fn build(text: &str) -> Result<Regex, Error> {
    RegexBuilder::new(text).size_limit(MAX_COMPILED).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Result<Regexes, String> {
        Regexes::new(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn one_that_matches_the_whole_path_and_query_is_enough() {
        let regexes = of(&["/a/.*", "^/b/[0-9]+$", "(?i)/c"]).unwrap();
        for (path, query) in [("/a/", ""), ("/a/x", "?y=/z"), ("/b/17", ""), ("/C", "")] {
            assert!(regexes.matches(path, query), "{path}{query}");
        }
        for (path, query) in [("/a", ""), ("/x/a/y", ""), ("/b/17x", ""), ("/b/17", "?x"), ("/A/x", "")] {
            assert!(!regexes.matches(path, query), "{path}{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_what_is_too_large_is_refused() {
        let refused = |texts: &[&str]| of(texts).unwrap_err();
        assert_eq!(refused(&["/a", "("]), "`(` is not a regex: found open group without closing ')'");
        assert!(refused(&["/a)|(?:/b"]).starts_with("`/a)|(?:/b` is not a regex"));
        assert!(refused(&["(?x)/a#"]).starts_with("`(?x)/a#` is not a regex"), "the comment has no end");
        assert!(refused(&["((a{100}){100}){100}"]).contains("size limit"));
        assert!(refused(&["(((((((((((((((((((((((((((((((((((((((((((((((((((((((("]).contains("not a regex"));
        assert!(refused(&[&*"/[a-z]".repeat(30); 16]).contains("write shorter ones, or fewer"));
        assert!(refused(&["/a"; 17]).contains("write at most 16"));
        assert!(of(&["/products/[0-9]+(\\?.*)?"; 16]).is_ok());
    }
}
