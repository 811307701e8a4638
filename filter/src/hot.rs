//! The hot cache: answers in this worker's own memory, bounded in bytes, for the keys that are asked for all the time.

use crate::{pairs::Block, purge::Named, site::Side, sketch::Sketch};
use lru::LruCache;
use meshcache_protocol::{
    Key, Request,
    cache_status::cache_status,
    freshness::{Selecting, Stored},
    wire::{Outcome, Verdict},
};
use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    rc::Rc,
};

/// More variants than this of one key are not kept: the oldest goes.
const VARIANTS: usize = 16;
/// What an entry costs beside its bytes: its place in the table and the order, allocations.
const ENTRY: usize = 256;
/// The same for a variant.
const VARIANT: usize = 256;
/// One answer takes at most this part of the whole.
const SHARE: usize = 4;

/// Answers by key. The one used least makes room, but only for one that is asked for more often.
pub struct Hot {
    entries: LruCache<Place, Entry, BuildHasherDefault<Placed>>,
    sketch: Sketch,
    bytes: usize,
    capacity: usize,
}

struct Entry {
    side: Side,
    key: Key,
    variants: Vec<Variant>,
    bytes: usize,
}

/// One answer.
pub struct Variant {
    /// The digest of the rules under which it was kept.
    pub rules: Rc<str>,
    /// What is known of it. It is never given past `until`.
    pub stored: Stored,
    /// For which requests it is.
    pub selecting: Selecting,
    /// Its fields.
    pub block: Block,
    /// Its body.
    pub body: Rc<Vec<u8>>,
    /// When it came.
    pub arrived: u64,
    /// When its time in this cache ends. Beyond it it only stands in for a service that fails, until
    /// [`Variant::last`].
    pub until: u64,
    /// Seconds of age and of freshness that the block's end tells.
    said: Option<(u64, i64)>,
}

/// Where an answer was found: good until the hot cache is changed.
#[derive(Clone, Copy, Debug)]
pub struct Spot(Place, usize);

impl Hot {
    /// A hot cache of so many bytes; 0: it keeps nothing.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: LruCache::unbounded_with_hasher(BuildHasherDefault::default()),
            sketch: Sketch::default(),
            bytes: 0,
            capacity,
        }
    }

    /// Another bound. What is too much goes.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.bytes > self.capacity && self.pop() {}
    }

    /// Bytes in all, with bookkeeping.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks for an answer to this request under these rules, and counts that its key was asked for.
    pub fn find(&mut self, side: Side, key: &Key, rules: &str, request: &Request<'_>, now: u64) -> Option<Spot> {
        if self.capacity == 0 {
            return None;
        }
        let place = Place::of(side, key);
        self.sketch.touch(place.0);
        let entry = self.entries.get(&place).filter(|entry| entry.is(side, key))?;
        let fits =
            |variant: &Variant| variant.until > now && &*variant.rules == rules && variant.selecting.matches(request);
        // Of those that fit the most recent (RFC 9111 section 4.1).
        entry.variants.iter().rposition(fits).map(|at| Spot(place, at))
    }

    /// Looks for an answer to this request whose time is over or not, and that may stand in for a service that fails.
    pub fn spare(&self, side: Side, key: &Key, rules: &str, request: &Request<'_>, now: u64) -> Option<&Variant> {
        let entry = self.entries.peek(&Place::of(side, key)).filter(|entry| entry.is(side, key))?;
        let fits = |variant: &&Variant| {
            variant.stored.if_error > 0
                && variant.last() > now
                && &*variant.rules == rules
                && variant.selecting.matches(request)
        };
        entry.variants.iter().find(fits)
    }

    /// The answer there.
    pub fn at(&mut self, spot: Spot) -> Option<&mut Variant> {
        self.entries.peek_mut(&spot.0)?.variants.get_mut(spot.1)
    }

    /// Keeps an answer if its key is asked for more often than those which would have to go. Whether it was kept.
    pub fn keep(&mut self, side: Side, key: &Key, variant: Variant, now: u64) -> bool {
        let place = Place::of(side, key);
        let more = variant.bytes();
        let whole = more.saturating_add(key.bytes().len()).saturating_add(ENTRY);
        if whole > self.capacity / SHARE || variant.until <= now {
            return false;
        }
        // What it replaces goes first; a key with an equal hash stays, and this one is not kept.
        let mut freed = 0usize;
        if let Some(entry) = self.entries.get_mut(&place) {
            if !entry.is(side, key) {
                return false;
            }
            let before = entry.bytes;
            entry
                .variants
                .retain(|old| old.last() > now && old.rules == variant.rules && old.selecting != variant.selecting);
            if entry.variants.len() >= VARIANTS {
                entry.variants.drain(..1);
            }
            entry.weigh();
            freed = before.saturating_sub(entry.bytes);
        }
        self.bytes = self.bytes.saturating_sub(freed);
        if !self.make_room(whole, place, now) {
            return false;
        }
        let entry =
            self.entries.get_or_insert_mut(place, || Entry { side, key: key.clone(), variants: Vec::new(), bytes: 0 });
        let before = entry.bytes;
        entry.variants.push(variant);
        entry.weigh();
        self.bytes = self.bytes.saturating_add(entry.bytes).saturating_sub(before);
        true
    }

    /// Takes out all keys of a hash, on both sides of the proxy.
    pub fn remove(&mut self, hash: meshcache_protocol::Hash) {
        for side in [Side::Inbound, Side::Outbound] {
            if let Some(entry) = self.entries.pop(&Place::of_hash(side, hash)) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
        }
    }

    /// Takes out what a purge names.
    pub fn purge(&mut self, named: &Named<'_>) {
        let gone: Vec<Place> =
            self.entries.iter().filter(|(_, entry)| named.is(&entry.key)).map(|(place, _)| *place).collect();
        for place in gone {
            if let Some(entry) = self.entries.pop(&place) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Frees what has expired at the end that was used least, a few entries at a time.
    pub fn expire(&mut self, now: u64) {
        for _ in 0..256 {
            if !self.entries.peek_lru().is_some_and(|(_, entry)| entry.is_useless(now)) {
                return;
            }
            self.pop();
        }
    }

    /// Makes room for so much more by dropping what is over or asked for less often. Whether there is room now.
    fn make_room(&mut self, more: usize, candidate: Place, now: u64) -> bool {
        let often = self.sketch.often(candidate.0);
        while self.bytes.saturating_add(more) > self.capacity {
            let goes = match self.entries.peek_lru() {
                Some((place, _)) if *place == candidate => false,
                Some((place, entry)) => entry.is_over(now) || self.sketch.often(place.0) < often,
                None => false,
            };
            if !goes || !self.pop() {
                return false;
            }
        }
        true
    }

    fn pop(&mut self) -> bool {
        match self.entries.pop_lru() {
            Some((_, entry)) => {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                true
            }
            None => false,
        }
    }
}

impl Entry {
    fn is(&self, side: Side, key: &Key) -> bool {
        self.side == side && self.key == *key
    }

    fn is_over(&self, now: u64) -> bool {
        self.variants.iter().all(|variant| variant.until <= now)
    }

    fn is_useless(&self, now: u64) -> bool {
        self.variants.iter().all(|variant| variant.last() <= now)
    }

    fn weigh(&mut self) {
        let variants: usize = self.variants.iter().map(Variant::bytes).sum();
        self.bytes = variants.saturating_add(self.key.bytes().len()).saturating_add(ENTRY);
    }
}

impl Variant {
    /// An answer that came now and may be given until then.
    pub fn new(
        rules: Rc<str>,
        stored: Stored,
        selecting: Selecting,
        block: Block,
        body: Rc<Vec<u8>>,
        arrived: u64,
        until: u64,
    ) -> Self {
        Self { rules, stored, selecting, block, body, arrived, until, said: None }
    }

    /// When it may not even stand in for a service that fails.
    pub fn last(&self) -> u64 {
        let fresh = self.stored.lifetime.saturating_sub(self.stored.initial_age);
        let window = if self.stored.if_error > 0 { fresh.saturating_add(self.stored.if_error) } else { 0 };
        self.until.max(self.arrived.saturating_add(window))
    }

    /// Brings the end of its block up to date: age and what the cache did. The same for a whole second, so it is
    /// written seldom.
    pub fn tell(&mut self, installation: &str, now: u64) -> &Block {
        let resident = now.saturating_sub(self.arrived);
        let (age, ttl) = (self.stored.age(resident) / 1000, self.stored.ttl(resident));
        let second = ttl.div_euclid(1000);
        if self.said != Some((age, second)) {
            self.block.end(age, &cache_status(installation, &self.verdict(now), "proxy", None));
            self.said = Some((age, second));
        }
        &self.block
    }

    /// What the cache says about giving it now.
    pub fn verdict(&self, now: u64) -> Verdict {
        let resident = now.saturating_sub(self.arrived);
        let mut verdict = Verdict::new(Outcome::Hit);
        (verdict.ttl, verdict.age) = (self.stored.ttl(resident), self.stored.age(resident));
        verdict.why = Some(self.stored.why);
        verdict
    }

    fn bytes(&self) -> usize {
        let parts = [self.block.size(), self.body.capacity(), self.selecting.bytes(), 128];
        parts.iter().fold(VARIANT, |sum, part| sum.saturating_add(*part))
    }
}

/// The place of a key: its hash, another one on each side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u128);

impl Place {
    fn of(side: Side, key: &Key) -> Self {
        Self::of_hash(side, key.hash())
    }

    fn of_hash(side: Side, hash: meshcache_protocol::Hash) -> Self {
        let other = if side == Side::Inbound { u128::MAX / 3 } else { 0 };
        Self(hash.0 ^ other)
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64((self.0 >> 64) as u64);
    }
}

/// A place is a hash already.
#[derive(Default)]
struct Placed(u64);

impl Hasher for Placed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[cfg(test)]
mod tests;
