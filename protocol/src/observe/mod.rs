//! `mode: observe`: compares what the cache would have answered with what the service did answer.
//!
//! The hash of a response that passes is kept for as long as the response would have been fresh. Where a different
//! response comes for a request that the first one would have answered, the key lacks something: a tenant, a user, a
//! canary. Only hashes are kept: nothing is buffered, and no client gets a stored response.
//!
//! Beside the response, what its request had besides the key is kept ([`parts`]), so that a comparison says in what the
//! two requests differed. [`word`] has how a proxy tells a coordinator of it.

mod parts;
mod passed;
pub mod word;

pub use parts::{COORDINATOR, HOST, ROUTE};
pub use passed::PassedResponse;

use crate::{
    freshness::{Reuse, Selecting, Stored, Vary, is_provoked, reuse, store},
    groups::Group,
    hash::Hash,
    key::Key,
    observe::{parts::Parts, passed::digest_of},
};
use std::{collections::BTreeMap, sync::Arc};
use xxhash_rust::xxh3::Xxh3;

/// The word of a proxy's counter of responses that differ from what the cache would have answered.
pub const MISMATCH: &str = "mismatch";
/// The longest time that a response is kept, milliseconds: those that are fresh for days make room for others.
const MAX_TIME: u64 = 600_000;
/// The most variants of one key that are kept.
const MAX_VARIANTS: usize = 8;
/// How often expired responses make room for others, milliseconds.
const SWEEP_INTERVAL: u64 = 1000;

/// The responses that passed lately. When it is full, those in it stay until they expire: a sample that is observed to
/// its end.
pub struct Observer {
    most: Limits,
    /// Of the hashes of what requests had.
    key: u64,
    seen: BTreeMap<Hash, Vec<Arc<Seen>>>,
    len: usize,
    bytes: usize,
    left_out: bool,
    /// Whether the last response did not fit: expired ones have to make room.
    is_crowded: bool,
    next_sweep: u64,
    /// Counts removals: what was in progress at one tells nothing about later responses.
    era: u64,
}

/// How much an [`Observer`] keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most responses, each some hundred bytes, the names of its request's fields, and the fields that its Vary
    /// names.
    pub responses: usize,
    /// The most bytes that they take.
    pub bytes: usize,
}

/// A response that would have been stored.
struct Seen {
    variant: Variant,
    stored: Stored,
    print: Print,
    parts: Parts,
    arrived: u64,
}

/// What a response was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    status: u16,
    location: u32,
    body: Hash,
}

/// Which of a key's responses it is. Content codings differ in their bytes with or without Vary.
#[derive(PartialEq)]
struct Variant {
    selecting: Selecting,
    coding: Hash,
}

/// Two responses for one key that were compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// In what they differ: `status 200, 404`, `location`, `body`. Nothing: the cache would have answered the same.
    pub differs: Vec<String>,
    /// The parts of the two requests that differ: `header x-tenant`, `cookie session`, `query user`, [`ROUTE`],
    /// [`HOST`], [`COORDINATOR`].
    pub unlike: Vec<String>,
    /// The URL, without the values of its query.
    pub url: String,
}

impl Comparison {
    /// Whether the cache would have answered something else.
    pub fn is_mismatch(&self) -> bool {
        !self.differs.is_empty()
    }
}

/// A response whose head has come, and of whose request nothing is known yet.
pub struct Begun {
    passing: PassingBody,
    key: u64,
}

/// A body that passes, hashed piece by piece.
pub struct PassingBody {
    slot: Hash,
    variant: Variant,
    /// What the cache would have answered.
    instead: Option<Arc<Seen>>,
    /// `None`: the response would not be stored.
    stored: Option<Stored>,
    left: u64,
    era: u64,
    status: u16,
    location: u32,
    parts: Parts,
    url: String,
    hasher: Box<Xxh3>,
}

impl Observer {
    /// Creates an empty observer.
    pub const fn new(most: Limits) -> Self {
        Self {
            most,
            key: 0,
            seen: BTreeMap::new(),
            len: 0,
            bytes: 0,
            left_out: false,
            is_crowded: false,
            next_sweep: 0,
            era: 0,
        }
    }

    /// Sets the key of hashes: a random number of this process.
    #[must_use]
    pub const fn keyed(mut self, key: u64) -> Self {
        self.key = key;
        self
    }

    /// Returns whether a response was left out for lack of bytes since the last call.
    pub fn take_left_out(&mut self) -> bool {
        std::mem::take(&mut self.left_out)
    }

    /// Returns where responses of a key are kept: its hash, and that of the group's rules.
    pub fn slot(group: &Group, key: &Key) -> Hash {
        Hash::of(&[group.digest().as_bytes(), key.bytes()].concat())
    }

    /// Begins with a response's head. `None`: there is nothing to compare, since it would not be stored and nothing
    /// would have been answered in its place, or since its status describes the service or the request and not the
    /// resource (5xx, 412, 429 and the like). `now`: milliseconds of a monotonic clock.
    pub fn begin(&self, passed: &PassedResponse<'_>, now: u64) -> Option<PassingBody> {
        self.begin_head(passed, now).map(|begun| begun.with_request(passed))
    }

    /// Begins as [`Observer::begin`] does, without what is told of the request: it takes longer, and no lock.
    pub fn begin_head(&self, passed: &PassedResponse<'_>, now: u64) -> Option<Begun> {
        let PassedResponse { group, key, request, verified, response, times, .. } = *passed;
        let is_of_resource = (200..500).contains(&response.status)
            && ![206, 304].contains(&response.status)
            && !is_provoked(response.status);
        if !request.is_get() || !is_of_resource {
            return None;
        }
        let slot = Self::slot(group, key);
        let coding = digest_of(self.key, &mut response.values("content-encoding"));
        let gives = |seen: &&Arc<Seen>| {
            let resident = now.saturating_sub(seen.arrived);
            let fits = !seen.is_over(now) && seen.variant.coding == coding && seen.variant.selecting.matches(request);
            fits && reuse(group, request, verified, Some(&seen.stored), resident) == Reuse::Fresh
        };
        let instead = self.seen.get(&slot).and_then(|all| all.iter().find(gives)).cloned();
        let stored = store(group, request, verified, response, times, 0)
            .ok()
            .filter(|stored| stored.is_fresh(0) && !stored.always_validate);
        if instead.is_none() && stored.is_none() {
            return None;
        }
        let variant = Variant { selecting: Selecting::of(&Vary::in_group(group, response), request), coding };
        let passing = PassingBody {
            slot,
            variant,
            instead,
            stored,
            left: group.config().limits.object.0,
            era: self.era,
            status: response.status,
            location: digest_of(self.key, &mut response.values("location")).0 as u32,
            parts: Parts::default(),
            url: String::new(),
            hasher: Box::new(Xxh3::new()),
        };
        Some(Begun { passing, key: self.key })
    }

    /// Ends with the whole body. `None`: there was nothing to compare it with.
    pub fn finish(&mut self, passing: PassingBody, now: u64) -> Option<Comparison> {
        if passing.era != self.era {
            return None;
        }
        let PassingBody { slot, variant, instead, stored, status, location, parts, url, hasher, .. } = passing;
        let print = Print { status, location, body: Hash(hasher.digest128()) };
        if let Some(instead) = instead {
            return Some(instead.compare(print, &parts, url));
        }
        let stored = stored?;
        self.sweep(now);
        let all = self.seen.entry(slot).or_default();
        let before = measure(all);
        if let Some(seen) = all.iter().find(|seen| seen.variant == variant && !seen.is_over(now)) {
            // Both were in progress together: one load would have answered both.
            return Some(seen.compare(print, &parts, url));
        }
        all.retain(|seen| !seen.is_over(now));
        let seen = Seen { variant, stored, print, parts, arrived: now };
        let bytes = self.bytes.saturating_sub(before.1).saturating_add(measure(all).1);
        let fits = bytes.saturating_add(seen.bytes()) <= self.most.bytes;
        let has_room = self.len.saturating_sub(before.0).saturating_add(all.len()) < self.most.responses
            && all.len() < MAX_VARIANTS;
        if fits && has_room {
            all.push(Arc::new(seen));
        }
        self.is_crowded = has_room && !fits;
        self.left_out |= self.is_crowded;
        let after = measure(all);
        self.len = self.len.saturating_sub(before.0).saturating_add(after.0);
        self.bytes = self.bytes.saturating_sub(before.1).saturating_add(after.1);
        if all.is_empty() {
            self.seen.remove(&slot);
        }
        None
    }

    /// Removes the responses of a slot, after a purge or an unsafe request that succeeded.
    pub fn forget(&mut self, slot: Hash) {
        self.era = self.era.wrapping_add(1);
        if let Some(gone) = self.seen.remove(&slot) {
            let (len, bytes) = measure(&gone);
            (self.len, self.bytes) = (self.len.saturating_sub(len), self.bytes.saturating_sub(bytes));
        }
    }

    /// Removes all responses.
    pub fn clear(&mut self) {
        self.era = self.era.wrapping_add(1);
        self.seen.clear();
        (self.len, self.bytes) = (0, 0);
    }

    fn sweep(&mut self, now: u64) {
        if (self.len < self.most.responses && !self.is_crowded) || now < self.next_sweep {
            return;
        }
        self.next_sweep = now.saturating_add(SWEEP_INTERVAL);
        self.seen.values_mut().for_each(|all| all.retain(|seen| !seen.is_over(now)));
        self.seen.retain(|_, all| !all.is_empty());
        (self.len, self.bytes) =
            self.seen.values().map(|all| measure(all)).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    }
}

/// Returns their number and their bytes.
fn measure(all: &[Arc<Seen>]) -> (usize, usize) {
    (all.len(), all.iter().map(|seen| seen.bytes()).sum())
}

/// The bytes of a response without what its request had, with its entry among the keys.
const OVERHEAD: usize = size_of::<Seen>() + 96;

impl Seen {
    fn bytes(&self) -> usize {
        OVERHEAD.saturating_add(self.variant.selecting.bytes()).saturating_add(self.parts.bytes())
    }

    /// Compares it with another response for its key.
    fn compare(&self, print: Print, parts: &Parts, url: String) -> Comparison {
        let mut differs = Vec::new();
        if self.print.status != print.status {
            differs.push(format!("status {}, {}", self.print.status, print.status));
        }
        if self.print.location != print.location {
            differs.push("location".to_owned());
        }
        if self.print.body != print.body {
            differs.push("body".to_owned());
        }
        Comparison { differs, unlike: self.parts.unlike(parts), url }
    }

    fn is_over(&self, now: u64) -> bool {
        let resident = now.saturating_sub(self.arrived);
        resident >= MAX_TIME || !self.stored.is_fresh(resident)
    }
}

impl Begun {
    /// Adds what is told of the request.
    pub fn with_request(self, passed: &PassedResponse<'_>) -> PassingBody {
        PassingBody { parts: Parts::of(passed, self.key), url: parts::url(passed.request), ..self.passing }
    }
}

impl PassingBody {
    /// Adds a piece of the body. `None`: the body is larger than what the group stores.
    pub fn piece(mut self, piece: &[u8]) -> Option<Self> {
        self.left = self.left.checked_sub(piece.len() as u64)?;
        self.hasher.update(piece);
        Some(self)
    }
}

#[cfg(test)]
mod tests;
