//! Purges in their order: who has heard of which, what they name, and the bounded log from which those behind catch up.
//!
//! Each start of a coordinator is a source that numbers its own purges from 1. So several coordinators may purge at
//! once without asking one another, no clock is compared, and a coordinator that starts anew never gives a number
//! twice. Purges commute (each only removes), so a position needs no order between sources.

pub mod mark;
mod matcher;

pub use matcher::Matcher;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

/// The most sources that a position holds: beyond it the one that has purged longest ago is forgotten.
pub const MAX_SOURCES: usize = 1024;

/// One purge. One with a kind or a field that its reader does not know counts there as one of everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, from = "PurgeJson")]
pub struct Purge {
    /// The start of a coordinator that ordered it.
    pub source: String,
    /// Its number there, from 1.
    pub n: u64,
    /// What goes.
    #[serde(rename = "what")]
    pub scope: Scope,
    /// Made stale instead of removed.
    pub soft: bool,
}

/// A purge as it is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PurgeJson {
    source: String,
    n: u64,
    what: ScopeJson,
    soft: bool,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// What a purge names, as far as it is understood.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeJson {
    Known(Scope),
    Unknown(IgnoredAny),
}

impl Default for ScopeJson {
    fn default() -> Self {
        Self::Known(Scope::default())
    }
}

impl From<PurgeJson> for Purge {
    fn from(json: PurgeJson) -> Self {
        let scope = match json.what {
            ScopeJson::Known(scope) if json.unknown.is_empty() => scope,
            _ => Scope { all: true, ..Scope::default() },
        };
        Self { source: json.source, n: json.n, scope, soft: json.soft }
    }
}

impl Purge {
    /// Its name in reports and logs. Unique.
    pub fn id(&self) -> String {
        format!("{}:{}", self.source, self.n)
    }

    fn size(&self) -> usize {
        let Scope { urls, group, paths, prefixes, tags, all: _ } = &self.scope;
        let words = [urls, paths, prefixes, tags].into_iter().flatten().chain(group);
        words.fold(self.source.len().saturating_add(256), |size, word| {
            size.saturating_add(word.len()).saturating_add(32)
        })
    }
}

/// What a purge names. All variants of an entry go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Absolute URLs, in whatever group they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The group that `paths`, `prefixes` and `tags` are in; alone: the whole group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Paths with their query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Beginnings of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Words of the group's tag header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// A source's name: a coordinator's name, as far as it fits into a header, and a number that no other start of it had.
pub fn source(name: &str, start: u64) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().take(64).map(fits).collect();
    format!("{name}.{start:016x}")
}

/// The purges that somebody has carried out: of each source all up to this number.
///
/// Cheap to clone: it goes with every answer that is stored. As text, in questions and on entries that travel:
/// `cache-0.00c0ffee00c0ffee:17,cache-1.0123456789abcdef:3`. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position(Arc<BTreeMap<String, u64>>);

impl Position {
    /// Reads a position. `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let one = |text: &str| {
            let (source, n) = text.split_once(':')?;
            let fits = !source.is_empty()
                && source.len() <= 128
                && source.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            fits.then_some((source.to_owned(), n.parse().ok().filter(|n| *n > 0)?))
        };
        let all: Option<BTreeMap<_, _>> = text.split(',').filter(|one| !one.is_empty()).map(one).collect();
        all.filter(|all| all.len() <= MAX_SOURCES).map(|all| Self(Arc::new(all)))
    }

    /// How many purges of this source are in it.
    pub fn of(&self, source: &str) -> u64 {
        self.0.get(source).copied().unwrap_or(0)
    }

    /// Whether whoever is here lacks nothing that one there has.
    pub fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || other.0.iter().all(|(source, n)| self.of(source) >= *n)
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(source, n)| self.advance(source, *n));
    }

    /// Whether nothing was ever purged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn advance(&mut self, source: &str, n: u64) {
        let all = Arc::make_mut(&mut self.0);
        match all.get_mut(source) {
            Some(known) => *known = n.max(*known),
            None => {
                all.insert(source.to_owned(), n);
            }
        }
    }

    /// Each source, and how far it has come.
    pub fn sources(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.0.iter()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(i, (source, n))| write!(f, "{}{source}:{n}", if i == 0 { "" } else { "," }))
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a purge position"))
    }
}

/// How much a log holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most purges.
    pub purges: usize,
    /// The most bytes that they take.
    pub bytes: usize,
}

/// What hearing of a purge comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is the next of its source, and has to be carried out.
    Appended,
    /// It was heard before: twice is once.
    Duplicate,
    /// Others of its source came before it and have not been heard: they have to be fetched first.
    Gap,
}

/// What somebody asked for that the log does not hold any more: only an empty cache is sure to have nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// The last purges, within bounds, and the position up to which all were heard.
#[derive(Clone, Debug)]
pub struct Log {
    held: VecDeque<Purge>,
    bytes: usize,
    known: Position,
    /// Of each source, the number of the last purge that is not held any more.
    floor: Position,
    /// Sources, the one that has purged longest ago first.
    order: VecDeque<String>,
    most: Bounds,
}

impl Log {
    /// An empty log.
    pub fn new(most: Bounds) -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            known: Position::default(),
            floor: Position::default(),
            order: VecDeque::new(),
            most,
        }
    }

    /// All that was heard.
    pub fn position(&self) -> &Position {
        &self.known
    }

    /// What of all that was heard a header tells: the sources that have purged last. Others know of the rest without
    /// being told.
    pub fn newest(&self, sources: usize) -> Position {
        Position(Arc::new(
            self.order.iter().rev().take(sources).map(|source| (source.clone(), self.known.of(source))).collect(),
        ))
    }

    /// Hears of a purge.
    pub fn append(&mut self, purge: Purge) -> Append {
        let known = self.known.of(&purge.source);
        if purge.n <= known {
            return Append::Duplicate;
        }
        if purge.n.checked_sub(1) != Some(known) {
            return Append::Gap;
        }
        self.reach(&purge.source, purge.n);
        self.bytes = self.bytes.saturating_add(purge.size());
        self.held.push_back(purge);
        while self.held.len() > self.most.purges || self.bytes > self.most.bytes {
            let Some(gone) = self.held.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(gone.size());
            self.floor.advance(&gone.source, gone.n);
        }
        Append::Appended
    }

    /// What one who is there has not heard, in an order in which it can be heard.
    pub fn since(&self, there: &Position) -> Result<impl Iterator<Item = &Purge> + Clone, Truncated> {
        if self.known.sources().any(|(source, _)| there.of(source) < self.floor.of(source)) {
            return Err(Truncated);
        }
        let lacks: BTreeMap<&str, (u64, u64)> = self
            .known
            .sources()
            .map(|(source, n)| (source.as_str(), (there.of(source), *n)))
            .filter(|(_, (there, n))| there < n)
            .collect();
        // All of them are held, and nearly always the last: who is behind is asked for often, and the log is long.
        let mut left = lacks.values().fold(0u64, |sum, (there, n)| sum.saturating_add(n.saturating_sub(*there)));
        let is_lacked =
            move |purge: &&Purge| lacks.get(purge.source.as_str()).is_some_and(|(there, _)| purge.n > *there);
        let mut from = self.held.len();
        for purge in self.held.iter().rev() {
            if left == 0 {
                break;
            }
            from = from.saturating_sub(1);
            left = left.saturating_sub(u64::from(is_lacked(&purge)));
        }
        Ok(self.held.range(from..).filter(is_lacked))
    }

    /// Takes all up to there as heard: the cache was emptied, so that nothing of it can matter.
    pub fn skip_to(&mut self, to: &Position) {
        for (source, n) in to.sources() {
            if self.known.of(source) < *n {
                self.reach(source, *n);
                self.floor.advance(source, *n);
            }
        }
    }

    /// From where the purges that it holds lead to its position.
    pub fn floor(&self) -> &Position {
        &self.floor
    }

    /// The purges that it holds, in the order in which they were heard.
    pub fn entries(&self) -> impl Iterator<Item = &Purge> {
        self.held.iter()
    }

    /// How many purges it holds.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn reach(&mut self, source: &str, n: u64) {
        self.known.advance(source, n);
        if self.order.back().is_none_or(|last| last != source) {
            self.order.retain(|other| other != source);
            self.order.push_back(source.to_owned());
        }
        while self.order.len() > MAX_SOURCES
            && let Some(oldest) = self.order.pop_front()
        {
            Arc::make_mut(&mut self.known.0).remove(&oldest);
            Arc::make_mut(&mut self.floor.0).remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_that_is_not_understood_is_one_of_everything() {
        let read = |json: &str| serde_json::from_str::<Purge>(json).unwrap();
        let known = read(r#"{"source": "a.1", "n": 7, "what": {"group": "g", "paths": ["/x"]}}"#);
        assert_eq!((known.n, known.scope.all, known.scope.paths.len()), (7, false, 1));
        for later in [
            r#"{"source": "a.1", "n": 7, "what": {"group": "g", "regexes": ["x"]}}"#,
            r#"{"source": "a.1", "n": 7, "what": {"group": "g"}, "except": ["/x"]}"#,
            r#"{"source": "a.1", "n": 7, "what": ["g"]}"#,
        ] {
            assert_eq!(
                read(later),
                Purge { source: "a.1".into(), n: 7, scope: Scope { all: true, ..Scope::default() }, soft: false },
                "{later}"
            );
        }
    }

    const MOST: Bounds = Bounds { purges: 3, bytes: 1 << 20 };

    fn purge(source: &str, n: u64) -> Purge {
        Purge { source: source.into(), n, ..Purge::default() }
    }

    fn at(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    fn since(log: &Log, there: &str) -> Result<String, Truncated> {
        log.since(&at(there)).map(|purges| purges.map(Purge::id).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for text in ["", "a.1:1", "a-b_c.0f:17,b.2:3"] {
            assert_eq!(at(text).to_string(), text);
        }
        for bad in ["a", "a:", ":1", "a:0", "a:-1", "a:x", "a b:1", "a:1;b:1", "a:99999999999999999999"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
        assert_eq!(source("cache 0,\u{e9}", 255), "cache_0__.00000000000000ff");
        assert!(Position::parse(&format!("{}:1", source(&"x".repeat(999), u64::MAX))).is_some());
    }

    #[test]
    fn positions_of_several_sources_are_held_against_each_other() {
        assert!(at("a:2,b:1").covers(&at("a:2")) && at("a:2").covers(&at("")));
        assert!(!at("a:2").covers(&at("a:1,b:1")) && !at("b:9").covers(&at("a:1")));
        let mut both = at("a:2,b:1");
        both.merge(&at("a:1,b:4,c:1"));
        assert_eq!(both, at("a:2,b:4,c:1"));
    }

    #[test]
    fn a_purge_is_heard_once_and_in_the_order_of_its_source() {
        let mut log = Log::new(MOST);
        assert_eq!(
            ["a", "b", "a"].map(|source| log.append(purge(source, 1))),
            [Append::Appended, Append::Appended, Append::Duplicate]
        );
        assert_eq!(
            [log.append(purge("a", 3)), log.append(purge("a", 2)), log.append(purge("a", 0))],
            [Append::Gap, Append::Appended, Append::Duplicate]
        );
        assert_eq!(log.position(), &at("a:2,b:1"));
        assert_eq!(log.newest(1), at("a:2"), "the last one");
    }

    #[test]
    fn who_is_behind_gets_what_it_lacks_and_who_is_too_far_behind_is_told_so() {
        let mut log = Log::new(MOST);
        for (source, n) in [("a", 1), ("b", 1), ("a", 2), ("c", 1)] {
            log.append(purge(source, n));
        }
        assert_eq!(log.len(), 3);
        assert_eq!(since(&log, "a:2,b:1,c:1"), Ok(String::new()));
        assert_eq!(since(&log, "a:2,b:1"), Ok("c:1".into()));
        assert_eq!(since(&log, "a:1"), Ok("b:1 a:2 c:1".into()));
        assert_eq!(since(&log, "a:7,b:1,x:5"), Ok("c:1".into()), "who knows more in one thing still lacks another");
        assert_eq!(since(&log, ""), Err(Truncated));
        let mut late = Log::new(MOST);
        late.skip_to(log.position());
        assert_eq!(
            (since(&log, &late.position().to_string()), since(&late, "a:1")),
            (Ok(String::new()), Err(Truncated))
        );
        assert_eq!(late.append(purge("a", 3)), Append::Appended);
    }

    #[test]
    fn the_log_is_bounded_in_bytes_and_sources() {
        let mut log = Log::new(Bounds { purges: 100, bytes: 2000 });
        for n in 1..=10 {
            log.append(Purge { scope: Scope { urls: vec!["u".repeat(500)], ..Scope::default() }, ..purge("a", n) });
        }
        assert_eq!(log.len(), 2);
        for i in 0..2 * MAX_SOURCES {
            log.append(purge(&format!("s{i}"), 1));
        }
        assert_eq!(log.position().0.len(), MAX_SOURCES);
        assert_eq!((log.position().of("s0"), log.position().of(&format!("s{}", 2 * MAX_SOURCES - 1))), (0, 1));
    }
}
