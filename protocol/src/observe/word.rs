//! How a proxy tells a coordinator what it has compared: as words beside the outcomes that it counts for a group
//! (`FeedRequest::requests`). A coordinator that does not know them takes them for no outcome, since no outcome has a
//! space. Anybody may say such words: they are read as names and numbers, and nothing else.

use crate::{groups::Group, observe::Comparison};

/// What all such words begin with. The digest of the group's rules follows: what was compared under others is passed
/// over.
const PREFIX: &str = "observed ";
/// The most words that a proxy has on their way to a coordinator.
pub const MAX_WORDS: usize = 128;
/// The longest word that is read, bytes: the names of a difference, and its URL.
const MAX_LENGTH: usize = 1024;
/// The most bytes of a difference's names that are told.
const MAX_NAMES: usize = 480;

/// One such word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// Responses were compared with another one for the same key.
    Compared,
    /// Of which the cache would have answered with something else.
    Mismatch,
    /// A part of the two requests differed while the responses were the same.
    InMatch(&'a str),
    /// A part of the two requests differed, and so did the responses.
    InMismatch(&'a str),
    /// One difference.
    Difference {
        /// In what the responses differed.
        differs: Vec<&'a str>,
        /// The parts of the requests that differed.
        unlike: Vec<&'a str>,
        /// The URL, without the values of its query.
        url: &'a str,
    },
}

/// Returns whether a word among a proxy's outcomes is one of these.
pub fn is_observed(word: &str) -> bool {
    word.starts_with(PREFIX)
}

/// Returns whether it is a difference.
pub fn is_difference(word: &str) -> bool {
    is_observed(word) && word.contains(" difference\t")
}

/// Returns the words of a comparison, each to be counted once.
pub fn words(group: &Group, compared: &Comparison, with_difference: bool) -> Vec<String> {
    let start = |what: &str| [PREFIX, group.digest(), " ", what].concat();
    let mut words = vec![start("compared")];
    let mut in_what = "in-match\t";
    if compared.is_mismatch() {
        words.push(start("mismatch"));
        in_what = "in-mismatch\t";
    }
    words.extend(compared.unlike.iter().map(|name| start(&[in_what, name].concat())));
    if with_difference && compared.is_mismatch() {
        let mut names = String::new();
        for name in compared.unlike.iter().take_while(|name| name.len() < MAX_NAMES) {
            if names.len().saturating_add(name.len()) < MAX_NAMES {
                names.push_str(if names.is_empty() { "" } else { ";" });
                names.push_str(name);
            }
        }
        words.push(start(&["difference", &compared.differs.join(";"), &names, &compared.url].join("\t")));
    }
    words
}

/// Reads a word about a group. `None`: it is none, it is about other rules, or it is not plain.
pub fn read<'a>(group: &Group, word: &'a str) -> Option<Word<'a>> {
    let what = word.strip_prefix(PREFIX)?.strip_prefix(group.digest())?.strip_prefix(' ')?;
    if word.len() > MAX_LENGTH || !word.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') {
        return None;
    }
    let mut pieces = what.split('\t');
    let list = |piece: Option<&'a str>| piece.unwrap_or_default().split(';').filter(|name| !name.is_empty()).collect();
    let word = match pieces.next()? {
        "compared" => Word::Compared,
        "mismatch" => Word::Mismatch,
        "in-match" => Word::InMatch(pieces.next().filter(|name| is_part(name))?),
        "in-mismatch" => Word::InMismatch(pieces.next().filter(|name| is_part(name))?),
        "difference" => {
            let (differs, mut unlike): (Vec<&str>, Vec<&str>) = (list(pieces.next()), list(pieces.next()));
            unlike.retain(|name| is_part(name));
            let is_known = |what: &&str| matches!(*what, "body" | "location") || is_status(what);
            let differs: Vec<&str> = differs.into_iter().filter(is_known).take(3).collect();
            let url = pieces.next().filter(|url| !differs.is_empty() && !url.contains(' '))?;
            // A value of a query is told by nobody.
            let query = url.split_once('?').map_or("", |(_, query)| query);
            if query.contains('=') {
                return None;
            }
            Word::Difference { differs, unlike, url }
        }
        _ => return None,
    };
    pieces.next().is_none().then_some(word)
}

fn is_part(name: &str) -> bool {
    let (kind, rest) = name.split_once(' ').unwrap_or((name, ""));
    match kind {
        super::ROUTE | super::HOST | super::COORDINATOR => rest.is_empty(),
        "header" | "cookie" | "query" => super::parts::is_name(rest.as_bytes()),
        _ => false,
    }
}

fn is_status(what: &str) -> bool {
    let is_number = |status: &str| status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit());
    what.strip_prefix("status ").and_then(|two| two.split_once(", ")).is_some_and(|(a, b)| is_number(a) && is_number(b))
}
