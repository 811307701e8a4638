//! How a proxy tells a coordinator what it has compared: as words beside the outcomes that it counts for a group
//! (`FeedRequest::requests`). A coordinator that does not know them takes them for no outcome, since no outcome has a
//! space. Anybody may say such words: they are read as names and numbers, and nothing else.

use crate::{groups::Group, observe::Comparison};

/// What all such words begin with. The digest of the group's rules follows: what was compared under others is passed
/// over.
const PREFIX: &str = "observed ";
/// The most parts and differences that a proxy has on their way to a coordinator, all groups.
pub const MAX_WORDS: usize = 128;
/// The longest word that is read, bytes: the names of a difference, and its URL.
const MAX_LENGTH: usize = 1024;
/// The most bytes of a difference up to its URL.
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

/// Returns whether it is a part of requests or a difference, which may be left out, and not one of a group's two counts.
pub fn may_be_left_out(word: &str) -> bool {
    is_observed(word) && word.contains('\t')
}

/// Returns the word of the same part in the other case: while the responses differed, or were the same.
pub fn twin(word: &str) -> Option<String> {
    let (start, name) = word.split_once('\t').filter(|_| is_observed(word))?;
    let (start, what) = start.rsplit_once(' ')?;
    let other = match what {
        "in-match" => "in-mismatch",
        "in-mismatch" => "in-match",
        _ => return None,
    };
    Some([start, " ", other, "\t", name].concat())
}

/// Returns the word for how many responses of a group were compared, under the rules that it has.
pub fn compared(group: &Group) -> String {
    [PREFIX, group.digest(), " compared"].concat()
}

/// Returns whether it is a difference.
pub fn is_difference(word: &str) -> bool {
    is_observed(word) && word.contains(" difference\t")
}

/// Returns the words of a comparison, each to be counted once.
pub fn words(group: &Group, compared: &Comparison, with_difference: bool) -> Vec<String> {
    let start = |what: &str| [PREFIX, group.digest(), " ", what].concat();
    let mut words = vec![self::compared(group)];
    let mut in_what = "in-match\t";
    if compared.is_mismatch() {
        words.push(start("mismatch"));
        in_what = "in-mismatch\t";
    }
    words.extend(compared.unlike.iter().map(|name| start(&[in_what, name].concat())));
    if with_difference && compared.is_mismatch() {
        let mut word = start("difference\t");
        word.push_str(&compared.differs.join(";"));
        let mut gap = '\t';
        for name in &compared.unlike {
            if word.len().saturating_add(name.len()) < MAX_NAMES {
                word.push(std::mem::replace(&mut gap, ';'));
                word.push_str(name);
            }
        }
        word.push_str(if gap == '\t' { "\t\t" } else { "\t" });
        word.push_str(&compared.url);
        words.push(word);
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
