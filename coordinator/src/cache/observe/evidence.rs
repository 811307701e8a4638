//! What a group that observes has seen: counts, the parts of requests that went with differences, the last differences.

use meshcache_protocol::observe::{Comparison, word::Word};
use std::collections::{BTreeMap, VecDeque};

/// The most parts that are counted. One that differs seldom makes room.
const MAX_PARTS: usize = 64;
/// The most differences that are kept.
const MAX_DIFFERENCES: usize = 20;
/// The most parts of one difference that are kept.
const MAX_UNLIKE: usize = 32;
/// The most bytes of all differences: the oldest make room.
const MAX_BYTES: usize = 16 << 10;

/// The evidence of one group, under one set of rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// When the first two responses were compared.
    pub(crate) began: Option<u64>,
    /// Responses that were compared with another.
    pub(crate) compared: u64,
    /// How many of these proxies told of.
    pub(crate) told: u64,
    /// How many of `compared` the cache would have answered with something else.
    pub(crate) mismatches: u64,
    /// Parts of requests, by name, in which two compared requests differed.
    pub(crate) parts: BTreeMap<String, Differed>,
    /// The last differences of different URLs, the newest first.
    pub(crate) last: VecDeque<Difference>,
}

/// How often a part differed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differed {
    /// While the responses did.
    pub(crate) in_mismatches: u64,
    /// While the responses were the same.
    pub(crate) in_matches: u64,
}

/// Two responses that differed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// When.
    pub(crate) at: u64,
    /// The URL, without the values of its query.
    pub(crate) url: String,
    /// In what they differed.
    pub(crate) differs: Vec<String>,
    /// The parts of their requests that differed.
    pub(crate) unlike: Vec<String>,
    /// Whether a proxy told of it.
    pub(crate) told: bool,
}

impl Evidence {
    /// Records a comparison that was made here.
    pub(crate) fn record(&mut self, comparison: Comparison, now: u64) {
        let is_mismatch = comparison.is_mismatch();
        self.count(u64::from(is_mismatch), 1, now);
        for name in &comparison.unlike {
            let differed = self.part(name);
            let count = if is_mismatch { &mut differed.in_mismatches } else { &mut differed.in_matches };
            *count = count.saturating_add(1);
        }
        if is_mismatch {
            let Comparison { differs, unlike, url } = comparison;
            self.push(Difference { at: now, url, differs, unlike, told: false });
        }
    }

    /// Records what a proxy told, so many times as it may.
    pub(crate) fn record_told(&mut self, word: Word<'_>, times: u64, now: u64) {
        let add = |count: &mut u64| *count = count.saturating_add(times);
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        match word {
            Word::Compared => {
                add(&mut self.told);
                self.count(0, times, now);
            }
            Word::Mismatch => add(&mut self.mismatches),
            Word::InMatch(name) => add(&mut self.part(name).in_matches),
            Word::InMismatch(name) => add(&mut self.part(name).in_mismatches),
            Word::Difference { differs, unlike, url } => {
                let (url, differs, unlike) = (url.to_owned(), owned(differs), owned(unlike));
                self.push(Difference { at: now, url, differs, unlike, told: true });
            }
        }
    }

    fn count(&mut self, mismatches: u64, compared: u64, now: u64) {
        self.began.get_or_insert(now);
        self.compared = self.compared.saturating_add(compared);
        self.mismatches = self.mismatches.saturating_add(mismatches);
    }

    /// Returns the counts of a part. Whoever begins late lacks what was before, and so explains less.
    fn part(&mut self, name: &str) -> &mut Differed {
        if self.parts.len() >= MAX_PARTS && !self.parts.contains_key(name) {
            let rarest = self.parts.iter().min_by_key(|(_, of)| of.in_mismatches.saturating_add(of.in_matches));
            if let Some(rarest) = rarest.map(|(name, _)| name.clone()) {
                self.parts.remove(&rarest);
            }
        }
        self.parts.entry(name.to_owned()).or_default()
    }

    /// Keeps a difference. Of those that were alike one is kept: the newest, with what differed each time, or, where
    /// nothing did, the fewer parts.
    fn push(&mut self, mut difference: Difference) {
        difference.unlike.truncate(MAX_UNLIKE);
        let is_like = |one: &Difference| one.url == difference.url && one.differs == difference.differs;
        if let Some(before) = self.last.iter().position(is_like).and_then(|at| self.last.remove(at)) {
            let (now, then) = (&mut difference.unlike, before.unlike);
            if now.iter().any(|name| then.contains(name)) {
                now.retain(|name| then.contains(name));
            } else if then.len() < now.len() {
                *now = then;
            }
        }
        self.last.push_front(difference);
        self.last.truncate(MAX_DIFFERENCES);
        while self.last.iter().map(Difference::bytes).sum::<usize>() > MAX_BYTES {
            self.last.pop_back();
        }
    }
}

impl Difference {
    fn bytes(&self) -> usize {
        let names = self.differs.iter().chain(&self.unlike).chain([&self.url]);
        names.map(|name| size_of::<String>() + name.capacity()).sum::<usize>() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(url: &str, differs: &[&str], unlike: &[&str]) -> Comparison {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Comparison { differs: owned(differs), unlike: owned(unlike), url: url.to_owned() }
    }

    #[test]
    fn what_is_kept_is_bounded_whatever_is_compared_and_told() {
        let mut evidence = Evidence::default();
        for n in 0..1000_u64 {
            let (url, name) = (format!("http://h/{n}{}", "x".repeat(200)), format!("header x-{n}"));
            let odd = vec![name.as_str(); 48];
            evidence.record(comparison(&url, &["body"], &["header x-tenant", &name]), n);
            evidence.record_told(Word::Difference { differs: vec!["body"], unlike: odd, url: &url }, u64::MAX, n);
            evidence.record_told(Word::InMatch(&name), u64::MAX, n);
        }
        assert_eq!((evidence.parts.len(), evidence.began), (MAX_PARTS, Some(0)));
        assert!(evidence.last.len() <= MAX_DIFFERENCES, "{}", evidence.last.len());
        assert!(evidence.last.iter().map(Difference::bytes).sum::<usize>() <= MAX_BYTES);
        assert_eq!((evidence.compared, evidence.mismatches), (1000, 1000));
    }

    #[test]
    fn what_goes_with_each_difference_stays_among_names_that_come_once() {
        let mut evidence = Evidence::default();
        for n in 0..1000_u64 {
            evidence.record(comparison("http://h/", &["body"], &["header x-tenant", &format!("cookie c{n}")]), n);
        }
        assert_eq!(evidence.parts["header x-tenant"], Differed { in_mismatches: 1000, in_matches: 0 });
        assert_eq!(evidence.last.len(), 1, "one URL is one difference, the newest");
        assert_eq!(evidence.last[0].at, 999);
    }
}
