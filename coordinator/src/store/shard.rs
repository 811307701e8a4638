//! A part of the store under one lock: the segments of every group, and when which key is due.

use crate::store::{
    entry::Entry,
    expiry_queue::{Deadlines, Due},
    purge::Fate,
    purge_index::Mark,
    slot::{PARTS, Slot, VARIANTS, Variants},
    slru::Segments,
    usage::Purged,
};
use meshcache_protocol::{Hash, Key};
use smallvec::smallvec;
use std::sync::Arc;

/// One shard.
#[derive(Default)]
pub(super) struct Shard {
    segments: Vec<Segments>,
    deadlines: Deadlines,
    /// What tables and deadlines took when it was last told.
    told: u64,
}

/// What a change did to a slot: its bytes and variants before and after, and what is no longer needed, to be dropped
/// outside of the lock.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) bytes: i64,
    pub(super) items: i64,
    /// Only held, so that memory is given back after the lock.
    pub(super) _gone: Vec<Arc<Entry>>,
}

impl Changed {
    /// What became of a slot that measured so before; an empty one is about to go.
    fn of(before: (i64, i64), slot: &Slot, gone: Variants) -> Self {
        let after = if slot.variants.is_empty() { (0, 0) } else { measure(slot) };
        Self { bytes: after.0 - before.0, items: after.1 - before.1, _gone: gone.into_vec() }
    }
}

/// How a key was used in the store that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// It was asked for more than once.
    pub(crate) warm: bool,
    /// When it was last asked for, by this store's clock.
    pub(crate) touched: u64,
}

/// Where a key is. The order is that of use, the least used first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    warm: bool,
    touched: u64,
    pub(super) share: u32,
    /// The key's hash.
    pub(crate) hash: Hash,
}

impl Shard {
    /// The newest variant of a key that fits, if it is still of use.
    pub(super) fn ask(
        &mut self,
        share: u32,
        key: &Key,
        now: u64,
        room: u64,
        fits: impl Fn(&Entry) -> bool,
    ) -> Option<Arc<Entry>> {
        let slot = self.segments.get_mut(share as usize)?.ask(key.hash(), room)?;
        if slot.key != *key {
            return None;
        }
        slot.touched = now;
        slot.variants.iter().find(|entry| entry.deadline() > now && fits(entry)).cloned()
    }

    /// The slot of a key, without asking for it, and whether it was asked for more than once.
    pub(super) fn peek(&self, share: u32, hash: Hash) -> Option<(&Slot, bool)> {
        let segments = self.segments.get(share as usize)?;
        segments.peek(hash).map(|slot| (slot, segments.is_warm(hash)))
    }

    /// Every key's place, in no order.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let of = |(segments, share): (&'_ Segments, u32)| {
            let place = move |(hash, slot, warm): (&Hash, &Slot, bool)| Place {
                warm,
                touched: slot.touched,
                share,
                hash: *hash,
            };
            segments.iter_warm().map(place).collect::<Vec<_>>()
        };
        self.segments.iter().zip(0u32..).flat_map(of)
    }

    /// Stores a variant. What was stored for the same requests goes. `used`: it comes from another store, where its key
    /// was asked for then.
    pub(super) fn put(
        &mut self,
        share: u32,
        key: &Key,
        entry: Arc<Entry>,
        now: u64,
        used: Option<(Used, u64)>,
    ) -> Changed {
        let at = share as usize;
        if self.segments.len() <= at {
            self.segments.resize_with(at + 1, Segments::default);
        }
        let hash = key.hash();
        let mut gone = Vec::new();
        let Some(segments) = self.segments.get_mut(at) else { return Changed::default() };
        let mut before = (0, 0);
        // Another key under the same hash: the newer one wins the place.
        if segments.peek(hash).is_some_and(|slot| slot.key != *key)
            && let Some(slot) = segments.remove(hash)
        {
            before = measure(&slot);
            gone.extend(slot.variants);
        }
        let deadlines = &mut self.deadlines;
        let mut entry = Some(entry);
        let after = segments.change(hash, |slot| {
            before = measure(slot);
            slot.touched = used.map_or(now, |(used, _)| used.touched.max(slot.touched));
            if let Some(entry) = entry.take() {
                let mut parts = 0;
                let mut crowds_out = |old: &Entry| {
                    parts += usize::from(old.is_part());
                    entry.is_part() && old.is_part() && parts >= PARTS
                };
                let (old, kept): (Variants, Variants) = slot
                    .variants
                    .drain(..)
                    .partition(|old| entry.replaces(old) || old.deadline() <= now || crowds_out(old));
                gone.extend(old);
                slot.variants = kept;
                slot.variants.insert(0, entry);
                gone.extend(slot.variants.drain(VARIANTS.min(slot.variants.len())..));
            }
            let due = Due::new(slot.deadline(), share, hash);
            if due.tick < slot.tick {
                slot.tick = due.tick;
                deadlines.push(due);
            }
            measure(slot)
        });
        let after = after.unwrap_or_else(|| {
            let mut slot = Slot {
                key: key.clone(),
                variants: entry.take().map_or_else(Default::default, |entry| smallvec![entry]),
                touched: used.map_or(now, |(used, _)| used.touched),
                tick: 0,
            };
            let due = Due::new(slot.deadline(), share, hash);
            slot.tick = due.tick;
            deadlines.push(due);
            let after = measure(&slot);
            match used {
                Some((used, room)) => segments.insert_used(hash, slot, used.warm, room),
                None => segments.insert(hash, slot),
            }
            after
        });
        self.compact();
        Changed { bytes: after.0 - before.0, items: after.1 - before.1, _gone: gone }
    }

    /// Takes out the key that has to go first: of one share, or of all; what is on probation before what is not, then
    /// what was asked for longest ago. For what comes `used` from elsewhere only what was used less goes.
    pub(super) fn evict(&mut self, share: Option<u32>, used: Option<Used>) -> Option<(u32, Slot)> {
        let candidates = self.segments.iter().zip(0u32..).filter(|(_, id)| share.is_none_or(|only| only == *id));
        let (order, id, hash) = candidates
            .filter_map(|(segments, id)| segments.first_out().map(|(hash, order)| (order, id, hash)))
            .min_by_key(|(order, ..)| *order)?;
        if used.is_some_and(|used| order >= (used.warm, used.touched)) {
            return None;
        }
        let slot = self.segments.get_mut(id as usize)?.remove(hash)?;
        Some((id, slot))
    }

    /// Takes out what is due, at most so many keys: the lock is held only for so long. What lives on is due later.
    pub(super) fn expire(&mut self, now: u64, most: usize) -> (usize, Vec<(u32, Changed)>) {
        let (mut seen, mut changes) = (0, Vec::new());
        while seen < most
            && let Some(due) = self.deadlines.pop(now)
        {
            seen += 1;
            let Some(segments) = self.segments.get_mut(due.share as usize).filter(|segments| segments.has(&due)) else {
                continue;
            };
            let hash = due.hash();
            let change = segments.change(hash, |slot| {
                let before = measure(slot);
                let (gone, kept): (Variants, Variants) =
                    slot.variants.drain(..).partition(|entry| entry.deadline() <= now);
                slot.variants = kept;
                let again = Due::new(slot.deadline(), due.share, hash);
                slot.tick = again.tick;
                (Changed::of(before, slot, gone), again)
            });
            let Some((change, again)) = change else { continue };
            if again.tick == 0 {
                segments.remove(hash);
            } else {
                self.deadlines.push(again);
            }
            changes.push((due.share, change));
        }
        if seen > 0 {
            self.compact();
        }
        (seen, changes)
    }

    /// Where a purge has to look: of one share, or of all; under marks, or at all there are.
    pub(super) fn candidates(&self, share: Option<u32>, marks: Option<&[Mark]>) -> Vec<(u32, Hash)> {
        let mut found = Vec::new();
        for (segments, id) in self.segments.iter().zip(0u32..).filter(|(_, id)| share.is_none_or(|only| only == *id)) {
            match marks {
                None => found.extend(segments.iter().map(|(hash, _)| (id, *hash))),
                Some(marks) => {
                    found.extend(marks.iter().flat_map(|mark| segments.marked(*mark)).map(|hash| (id, hash)))
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Does with every one of these keys that is named as the purge wants it.
    pub(super) fn purge(
        &mut self,
        among: &[(u32, Hash)],
        fate: Fate,
        is: impl Fn(&Key, &[Arc<Entry>]) -> bool,
    ) -> (Purged, Vec<(u32, Changed)>) {
        let (mut purged, mut changes) = (Purged::default(), Vec::new());
        let deadlines = &mut self.deadlines;
        for (id, hash) in among.iter().copied() {
            if let Some(segments) = self.segments.get_mut(id as usize) {
                let meant = segments.peek(hash).filter(|slot| is(&slot.key, &slot.variants));
                let Some((bytes, items)) = meant.map(measure) else { continue };
                purged = Purged { entries: purged.entries + items as u64, bytes: purged.bytes + bytes as u64 };
                let changed = match fate {
                    Fate::Counted => None,
                    Fate::Gone => segments.remove(hash).map(|slot| Changed {
                        bytes: -bytes,
                        items: -items,
                        _gone: slot.variants.into_vec(),
                    }),
                    Fate::Stale(now) => make_stale(segments, deadlines, id, hash, now),
                };
                changes.extend(changed.map(|changed| (id, changed)));
            }
        }
        if !changes.is_empty() {
            self.compact();
        }
        (purged, changes)
    }

    /// Takes out one key.
    pub(super) fn remove(&mut self, share: u32, key: Hash) -> Option<Slot> {
        self.segments.get_mut(share as usize)?.remove(key)
    }

    /// Takes out those variants of a key that are named.
    pub(super) fn remove_variants(
        &mut self,
        share: u32,
        key: &Key,
        is_named: impl Fn(&Entry) -> bool,
    ) -> Option<Changed> {
        let (hash, segments) = (key.hash(), self.segments.get_mut(share as usize)?);
        if segments.peek(hash)?.key != *key {
            return None;
        }
        let (changed, is_empty) = segments.change(hash, |slot| {
            let before = measure(slot);
            let (gone, kept): (Variants, Variants) = slot.variants.drain(..).partition(|entry| is_named(entry));
            slot.variants = kept;
            (Changed::of(before, slot, gone), slot.variants.is_empty())
        })?;
        if is_empty {
            segments.remove(hash);
        }
        Some(changed)
    }

    /// By how much tables and deadlines have changed since it was last asked.
    pub(super) fn overhead_change(&mut self) -> i64 {
        let now = self.deadlines.bytes() + self.segments.iter().map(Segments::tables).sum::<u64>();
        let change = now as i64 - self.told as i64;
        self.told = now;
        change
    }

    #[cfg(test)]
    pub(super) fn forge(&mut self, share: u32, key: &Key, other: Key) {
        self.segments[share as usize].change(key.hash(), |slot| slot.key = other);
    }

    fn compact(&mut self) {
        self.segments.iter_mut().for_each(Segments::shrink);
        let live = self.segments.iter().map(Segments::len).sum();
        let segments = &self.segments;
        self.deadlines.compact(live, |due| segments.get(due.share as usize).is_some_and(|of| of.has(due)));
    }
}

/// Makes all variants of a key stale; those that are of no use so go.
fn make_stale(segments: &mut Segments, deadlines: &mut Deadlines, share: u32, hash: Hash, now: u64) -> Option<Changed> {
    let (changed, is_empty) = segments.change(hash, |slot| {
        let before = measure(slot);
        let gone: Variants = std::mem::take(&mut slot.variants);
        slot.variants = gone.iter().filter_map(|entry| entry.stale_from(now)).map(Arc::new).collect();
        let due = Due::new(slot.deadline(), share, hash);
        if !slot.variants.is_empty() && due.tick < slot.tick {
            slot.tick = due.tick;
            deadlines.push(due);
        }
        (Changed::of(before, slot, gone), slot.variants.is_empty())
    })?;
    if is_empty {
        segments.remove(hash);
    }
    Some(changed)
}

fn measure(slot: &Slot) -> (i64, i64) {
    (slot.bytes() as i64, slot.variants.len() as i64)
}
