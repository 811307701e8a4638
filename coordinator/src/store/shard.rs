//! A part of the store under one lock: the keys of every group, and when they expire.

use crate::store::{
    entry::Entry,
    expiry_queue::{Expiry, ExpiryQueue},
    purge_action::PurgeAction,
    purge_index::IndexTerm,
    recency::{RankedKey, Recency},
    slot::{MAX_PARTS, MAX_VARIANTS, Slot, Variants},
    slru::Slru,
    table::{CacheType, TableId, Tables},
    usage::Purged,
};
use meshcache_protocol::{Hash, Key};
use smallvec::smallvec;
use std::sync::Arc;

/// One shard.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) slrus: Vec<Slru>,
    expiry: ExpiryQueue,
    /// The bytes of tables and queue when [`Shard::overhead_change`] was last called.
    reported_overhead: u64,
}

/// The effect of a change of a slot: by how many bytes and variants, and the entries that are dropped outside of the
/// lock.
#[derive(Default)]
pub(super) struct SlotChange {
    pub(super) bytes: i64,
    pub(super) items: i64,
    /// Only held, to free memory after the lock.
    pub(super) _gone: Vec<Arc<Entry>>,
}

impl SlotChange {
    /// Compares a slot with its measure before. A slot without variants is about to be removed.
    fn of(before: (i64, i64), slot: &Slot, gone: Variants) -> Self {
        let after = if slot.variants.is_empty() { (0, 0) } else { measure(slot) };
        Self { bytes: after.0 - before.0, items: after.1 - before.1, _gone: gone.into_vec() }
    }
}

impl Shard {
    /// Returns the newest useful variant of a key that fits, and counts this as a use of the key.
    pub(super) fn get(
        &mut self,
        table: TableId,
        key: &Key,
        now: u64,
        room: u64,
        fits: impl Fn(&Entry) -> bool,
    ) -> Option<Arc<Entry>> {
        self.slrus.get_mut(table.index())?.get(key.hash(), room, |slot| {
            if slot.key != *key {
                return None;
            }
            slot.touched = now;
            slot.variants.iter().find(|entry| entry.deadline() > now && fits(entry)).cloned()
        })
    }

    /// Returns the slot of a key and whether it was used more than once, without counting this as a use.
    pub(super) fn peek(&self, table: TableId, hash: Hash) -> Option<(&Slot, bool)> {
        let slrus = self.slrus.get(table.index())?;
        slrus.peek(hash).map(|slot| (slot, slrus.is_warm(hash)))
    }

    /// Returns every key that is no hot copy, in no order.
    pub(super) fn ranked_keys(&self) -> impl Iterator<Item = RankedKey> {
        let of = |(slrus, table): (&'_ Slru, TableId)| {
            let ranked = move |(hash, slot, warm): (&Hash, &Slot, bool)| RankedKey {
                warm,
                touched: slot.touched,
                table,
                hash: *hash,
            };
            slrus.iter_warm().map(ranked).collect::<Vec<_>>()
        };
        let main = |(_, table): &(&Slru, TableId)| table.cache_type() == CacheType::Main;
        self.slrus.iter().zip(TableId::all()).filter(main).flat_map(of)
    }

    /// Stores a variant, in place of one for the same requests. `used`: how its key was used in another store, and the
    /// bytes that may be protected.
    pub(super) fn put(
        &mut self,
        table: TableId,
        key: &Key,
        entry: Arc<Entry>,
        now: u64,
        used: Option<(Recency, u64)>,
    ) -> SlotChange {
        let at = table.index();
        if self.slrus.len() <= at {
            self.slrus.resize_with(at + 1, Slru::default);
        }
        let hash = key.hash();
        let mut gone = Vec::new();
        let Some(slrus) = self.slrus.get_mut(at) else { return SlotChange::default() };
        let mut before = (0, 0);
        // Another key with the same hash: the newer one replaces it.
        if slrus.peek(hash).is_some_and(|slot| slot.key != *key)
            && let Some(slot) = slrus.remove(hash)
        {
            before = measure(&slot);
            gone.extend(slot.variants);
        }
        let expiry = &mut self.expiry;
        let mut entry = Some(entry);
        let after = slrus.change(hash, |slot| {
            before = measure(slot);
            slot.touched = used.map_or(now, |(used, _)| used.touched.max(slot.touched));
            if let Some(entry) = entry.take() {
                let mut parts = 0;
                let mut crowds_out = |old: &Entry| {
                    parts += usize::from(old.is_part());
                    entry.is_part() && old.is_part() && parts >= MAX_PARTS
                };
                let (old, kept): (Variants, Variants) = slot
                    .variants
                    .drain(..)
                    .partition(|old| entry.replaces(old) || old.deadline() <= now || crowds_out(old));
                gone.extend(old);
                slot.variants = kept;
                slot.variants.insert(0, entry);
                gone.extend(slot.variants.drain(MAX_VARIANTS.min(slot.variants.len())..));
            }
            let due = Expiry::new(slot.deadline(), table, hash);
            if due.tick < slot.tick {
                slot.tick = due.tick;
                expiry.push(due);
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
            let due = Expiry::new(slot.deadline(), table, hash);
            slot.tick = due.tick;
            expiry.push(due);
            let after = measure(&slot);
            match used {
                Some((used, room)) => slrus.insert_used(hash, slot, used.warm, room),
                None => slrus.insert(hash, slot),
            }
            after
        });
        self.compact();
        SlotChange { bytes: after.0 - before.0, items: after.1 - before.1, _gone: gone }
    }

    /// Takes out the next key to evict from these tables: on probation before protected, then the least recently used.
    /// Nothing if that one may not go.
    pub(super) fn evict(&mut self, tables: Tables, may_go: impl FnOnce(&RankedKey) -> bool) -> Option<(TableId, Slot)> {
        let candidates = self.slrus.iter().zip(TableId::all()).filter(|(_, table)| tables.has(*table));
        let RankedKey { table, hash, .. } = candidates
            .filter_map(|(slrus, table)| {
                let (hash, (warm, touched)) = slrus.first_out()?;
                Some(RankedKey { warm, touched, table, hash })
            })
            .min()
            .filter(may_go)?;
        let slot = self.slrus.get_mut(table.index())?.remove(hash)?;
        Some((table, slot))
    }

    /// Takes out expired variants of at most `most` keys, to bound the time under the lock. Keys with other variants
    /// are queued again.
    pub(super) fn expire(&mut self, now: u64, most: usize) -> (usize, Vec<(TableId, SlotChange)>) {
        let (mut seen, mut changes) = (0, Vec::new());
        while seen < most
            && let Some(due) = self.expiry.pop(now)
        {
            seen += 1;
            let Some(slrus) = self.slrus.get_mut(due.table.index()).filter(|slrus| slrus.has(&due)) else {
                continue;
            };
            let hash = due.hash();
            let change = slrus.change(hash, |slot| {
                let before = measure(slot);
                let (gone, kept): (Variants, Variants) =
                    slot.variants.drain(..).partition(|entry| entry.deadline() <= now);
                slot.variants = kept;
                let again = Expiry::new(slot.deadline(), due.table, hash);
                slot.tick = again.tick;
                (SlotChange::of(before, slot, gone), again)
            });
            let Some((change, again)) = change else { continue };
            if again.tick == 0 {
                slrus.remove(hash);
            } else {
                self.expiry.push(again);
            }
            changes.push((due.table, change));
        }
        if seen > 0 {
            self.compact();
        }
        (seen, changes)
    }

    /// Returns the keys of these tables where a purge has to look: with one of these terms, or all.
    pub(super) fn candidates(&self, tables: Tables, terms: Option<&[IndexTerm]>) -> Vec<(TableId, Hash)> {
        let mut found = Vec::new();
        for (slrus, table) in self.slrus.iter().zip(TableId::all()).filter(|(_, table)| tables.has(*table)) {
            match terms {
                None => found.extend(slrus.iter().map(|(hash, _)| (table, *hash))),
                Some(terms) => found.extend(terms.iter().flat_map(|term| slrus.find(*term)).map(|hash| (table, hash))),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Applies `action` to those of these keys that `is` selects.
    pub(super) fn purge(
        &mut self,
        candidates: &[(TableId, Hash)],
        action: PurgeAction,
        is: impl Fn(&Key, &[Arc<Entry>]) -> bool,
    ) -> (Purged, Vec<(TableId, SlotChange)>) {
        let (mut purged, mut changes) = (Purged::default(), Vec::new());
        let expiry = &mut self.expiry;
        for (table, hash) in candidates.iter().copied() {
            if let Some(slrus) = self.slrus.get_mut(table.index()) {
                let meant = slrus.peek(hash).filter(|slot| is(&slot.key, &slot.variants));
                let Some((bytes, items)) = meant.map(measure) else { continue };
                // Whether there is a hot copy depends on who was asked: only what it is a copy of counts.
                if table.cache_type() == CacheType::Main {
                    purged = Purged { entries: purged.entries + items as u64, bytes: purged.bytes + bytes as u64 };
                }
                let changed = match action {
                    PurgeAction::Count => None,
                    PurgeAction::Remove => slrus.remove(hash).map(|slot| SlotChange {
                        bytes: -bytes,
                        items: -items,
                        _gone: slot.variants.into_vec(),
                    }),
                    PurgeAction::MakeStale(now) => make_stale(slrus, expiry, table, hash, now),
                };
                changes.extend(changed.map(|changed| (table, changed)));
            }
        }
        if !changes.is_empty() {
            self.compact();
        }
        (purged, changes)
    }

    /// Takes out one key.
    pub(super) fn remove(&mut self, table: TableId, key: Hash) -> Option<Slot> {
        self.slrus.get_mut(table.index())?.remove(key)
    }

    /// Takes out the variants of a key that `is_named` selects.
    pub(super) fn remove_variants(
        &mut self,
        table: TableId,
        key: &Key,
        is_named: impl Fn(&Entry) -> bool,
    ) -> Option<SlotChange> {
        let (hash, slrus) = (key.hash(), self.slrus.get_mut(table.index())?);
        if slrus.peek(hash)?.key != *key {
            return None;
        }
        let (changed, is_empty) = slrus.change(hash, |slot| {
            let before = measure(slot);
            let (gone, kept): (Variants, Variants) = slot.variants.drain(..).partition(|entry| is_named(entry));
            slot.variants = kept;
            (SlotChange::of(before, slot, gone), slot.variants.is_empty())
        })?;
        if is_empty {
            slrus.remove(hash);
        }
        Some(changed)
    }

    /// Returns by how many bytes tables and queue have changed since the last call.
    pub(super) fn take_overhead_change(&mut self) -> i64 {
        let now = self.expiry.bytes() + self.slrus.iter().map(Slru::overhead).sum::<u64>();
        let change = now as i64 - self.reported_overhead as i64;
        self.reported_overhead = now;
        change
    }

    #[cfg(test)]
    pub(super) fn forge(&mut self, table: TableId, key: &Key, other: Key) {
        self.slrus[table.index()].change(key.hash(), |slot| slot.key = other);
    }

    fn compact(&mut self) {
        self.slrus.iter_mut().for_each(Slru::shrink);
        let live = self.slrus.iter().map(Slru::len).sum();
        let slrus = &self.slrus;
        self.expiry.compact(live, |due| slrus.get(due.table.index()).is_some_and(|of| of.has(due)));
    }
}

/// Makes all variants of a key stale, and removes those that are useless then.
fn make_stale(slrus: &mut Slru, expiry: &mut ExpiryQueue, table: TableId, hash: Hash, now: u64) -> Option<SlotChange> {
    let (changed, is_empty) = slrus.change(hash, |slot| {
        let before = measure(slot);
        let gone: Variants = std::mem::take(&mut slot.variants);
        slot.variants = gone.iter().filter_map(|entry| entry.stale_from(now)).map(Arc::new).collect();
        let due = Expiry::new(slot.deadline(), table, hash);
        if !slot.variants.is_empty() && due.tick < slot.tick {
            slot.tick = due.tick;
            expiry.push(due);
        }
        (SlotChange::of(before, slot, gone), slot.variants.is_empty())
    })?;
    if is_empty {
        slrus.remove(hash);
    }
    Some(changed)
}

fn measure(slot: &Slot) -> (i64, i64) {
    (slot.bytes() as i64, slot.variants.len() as i64)
}
