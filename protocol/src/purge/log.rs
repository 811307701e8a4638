//! The bounded log of the last purges, from which coordinators and proxies catch up.

use super::{
    Purge,
    position::{MAX_SOURCES, Position},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The size that a log does not exceed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most purges.
    pub purges: usize,
    /// The most bytes that they take in memory.
    pub bytes: usize,
}

/// The outcome of [`Log::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is the next purge of its source, and has to be carried out.
    Appended,
    /// It was known before. Nothing changes.
    Duplicate,
    /// Earlier purges of its source are missing and have to be fetched first. Nothing changes.
    Gap,
}

/// The log no longer holds all purges since the position that was asked for. Only an empty cache is sure to have
/// nothing of what they removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// The last purges, within bounds, and the position up to which all are known.
#[derive(Clone, Debug)]
pub struct Log {
    entries: VecDeque<Purge>,
    bytes: usize,
    position: Position,
    /// For each source, the number of the last purge that was dropped.
    floor: Position,
    /// Sources, the one that has not purged for the longest time first.
    order: VecDeque<String>,
    bounds: Bounds,
}

impl Log {
    /// Creates an empty log.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            position: Position::default(),
            floor: Position::default(),
            order: VecDeque::new(),
            bounds,
        }
    }

    /// The position up to which all purges are known.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The part of the position that fits a header: the given number of sources, those that purged last. The receivers
    /// know the rest already.
    pub fn newest(&self, sources: usize) -> Position {
        let mut newest = BTreeMap::new();
        // Inserted one by one: to collect a map is to sort, in much code.
        newest.extend(self.order.iter().rev().take(sources).map(|source| (source.clone(), self.position.of(source))));
        Position(Arc::new(newest))
    }

    /// Appends a purge, and drops the oldest where the log exceeds its bounds.
    pub fn append(&mut self, purge: Purge) -> Append {
        let known = self.position.of(&purge.source);
        if purge.n <= known {
            return Append::Duplicate;
        }
        if purge.n.checked_sub(1) != Some(known) {
            return Append::Gap;
        }
        self.advance(&purge.source, purge.n);
        self.bytes = self.bytes.saturating_add(purge.size());
        self.entries.push_back(purge);
        while self.entries.len() > self.bounds.purges || self.bytes > self.bounds.bytes {
            let Some(gone) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(gone.size());
            self.floor.advance(&gone.source, gone.n);
        }
        Append::Appended
    }

    /// Returns the purges that are not in `there`, in an order in which they can be appended.
    pub fn since(&self, there: &Position) -> Result<impl Iterator<Item = &Purge> + Clone, Truncated> {
        if self.position.sources().any(|(source, _)| there.of(source) < self.floor.of(source)) {
            return Err(Truncated);
        }
        let mut missing: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let all = self.position.sources().map(|(source, n)| (source.as_str(), (there.of(source), *n)));
        missing.extend(all.filter(|(_, (there, n))| there < n));
        // The log is long and this is called often; what is missing is nearly always at its end.
        let mut left = missing.values().fold(0u64, |sum, (there, n)| sum.saturating_add(n.saturating_sub(*there)));
        let is_missing =
            move |purge: &&Purge| missing.get(purge.source.as_str()).is_some_and(|(there, _)| purge.n > *there);
        let mut from = self.entries.len();
        for purge in self.entries.iter().rev() {
            if left == 0 {
                break;
            }
            from = from.saturating_sub(1);
            left = left.saturating_sub(u64::from(is_missing(&purge)));
        }
        Ok(self.entries.range(from..).filter(is_missing))
    }

    /// Advances to a position without its purges, after the cache was emptied.
    pub fn skip_to(&mut self, to: &Position) {
        for (source, n) in to.sources() {
            if self.position.of(source) < *n {
                self.advance(source, *n);
                self.floor.advance(source, *n);
            }
        }
    }

    /// The position from which the purges in the log lead to [`Log::position`].
    pub fn floor(&self) -> &Position {
        &self.floor
    }

    /// The purges in the log, in the order in which they were appended.
    pub fn entries(&self) -> impl Iterator<Item = &Purge> {
        self.entries.iter()
    }

    /// The number of purges in the log.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the log holds no purge.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn advance(&mut self, source: &str, n: u64) {
        self.position.advance(source, n);
        if self.order.back().is_none_or(|last| last != source) {
            self.order.retain(|other| other != source);
            self.order.push_back(source.to_owned());
        }
        while self.order.len() > MAX_SOURCES
            && let Some(oldest) = self.order.pop_front()
        {
            Arc::make_mut(&mut self.position.0).remove(&oldest);
            Arc::make_mut(&mut self.floor.0).remove(&oldest);
        }
    }
}
