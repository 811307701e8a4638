//! A part of the store under one lock: the segments of every group, and when which key is due.

use super::{
    deadlines::{Deadlines, Due},
    entry::Entry,
    segments::{Segments, Slot, VARIANTS, Variants},
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

/// What a change did to a slot: its bytes and variants before and after, and what is no longer needed, to be dropped outside of the lock.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) bytes: i64,
    pub(super) items: i64,
    /// Only held, so that memory is given back after the lock.
    pub(super) _gone: Vec<Arc<Entry>>,
}

impl Shard {
    /// The newest variant of a key that fits, if it is still of use.
    pub(super) fn ask(&mut self, share: u32, key: &Key, now: u64, room: u64, fits: impl Fn(&Entry) -> bool) -> Option<Arc<Entry>> {
        let slot = self.segments.get_mut(share as usize)?.ask(key.hash(), room)?;
        if slot.key != *key {
            return None;
        }
        slot.touched = now;
        slot.variants.iter().find(|entry| entry.deadline() > now && fits(entry)).cloned()
    }

    /// Stores a variant. What was stored for the same requests goes.
    pub(super) fn put(&mut self, share: u32, key: &Key, entry: Arc<Entry>, now: u64) -> Changed {
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
            slot.touched = now;
            if let Some(entry) = entry.take() {
                let (old, kept): (Variants, Variants) = slot.variants.drain(..).partition(|old| old.selecting == entry.selecting || old.deadline() <= now);
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
            let mut slot = Slot { key: key.clone(), variants: entry.take().map_or_else(Default::default, |entry| smallvec![entry]), touched: now, tick: 0 };
            let due = Due::new(slot.deadline(), share, hash);
            slot.tick = due.tick;
            deadlines.push(due);
            let after = measure(&slot);
            segments.insert(hash, slot);
            after
        });
        self.compact();
        Changed { bytes: after.0 - before.0, items: after.1 - before.1, _gone: gone }
    }

    /// Takes out the key that has to go first: of one share, or of all; what is on probation before what is not, then what was asked for longest ago.
    pub(super) fn evict(&mut self, share: Option<u32>) -> Option<(u32, Slot)> {
        let candidates = self.segments.iter().zip(0u32..).filter(|(_, id)| share.is_none_or(|only| only == *id));
        let (_, id, hash) =
            candidates.filter_map(|(segments, id)| segments.first_out().map(|(hash, order)| (order, id, hash))).min_by_key(|(order, ..)| *order)?;
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
            let Some(segments) = self.segments.get_mut(due.share as usize).filter(|segments| segments.has(&due)) else { continue };
            let hash = due.hash();
            let change = segments.change(hash, |slot| {
                let before = measure(slot);
                let (gone, kept): (Variants, Variants) = slot.variants.drain(..).partition(|entry| entry.deadline() <= now);
                slot.variants = kept;
                let again = Due::new(slot.deadline(), due.share, hash);
                slot.tick = again.tick;
                let after = if slot.variants.is_empty() { (0, 0) } else { measure(slot) };
                (Changed { bytes: after.0 - before.0, items: after.1 - before.1, _gone: gone.into_vec() }, again)
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

    /// Takes out every key that is named.
    pub(super) fn remove_if(&mut self, named: impl Fn(&Key, &[Arc<Entry>]) -> bool) -> Vec<(u32, Slot)> {
        let mut removed = Vec::new();
        for (segments, id) in self.segments.iter_mut().zip(0u32..) {
            let hashes: Vec<Hash> = segments.iter().filter(|(_, slot)| named(&slot.key, &slot.variants)).map(|(hash, _)| *hash).collect();
            removed.extend(hashes.into_iter().filter_map(|hash| segments.remove(hash)).map(|slot| (id, slot)));
        }
        self.compact();
        removed
    }

    /// What is named: its variants and bytes.
    pub(super) fn measure_if(&self, named: impl Fn(&Key, &[Arc<Entry>]) -> bool) -> (u64, u64) {
        let slots = self.segments.iter().flat_map(Segments::iter).map(|(_, slot)| slot).filter(|slot| named(&slot.key, &slot.variants));
        slots.fold((0, 0), |(items, bytes), slot| (items + slot.variants.len() as u64, bytes + slot.bytes()))
    }

    /// Takes out one key.
    pub(super) fn remove(&mut self, share: u32, key: &Key) -> Option<Slot> {
        let segments = self.segments.get_mut(share as usize)?;
        if segments.peek(key.hash())?.key != *key {
            return None;
        }
        segments.remove(key.hash())
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

fn measure(slot: &Slot) -> (i64, i64) {
    (slot.bytes() as i64, slot.variants.len() as i64)
}
