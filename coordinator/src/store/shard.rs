//! A part of the store under one lock: the keys of every group, and when they expire.

use crate::store::{
    arena::Node,
    entry::Entry,
    purge_action::PurgeAction,
    purge_index::IndexTerm,
    recency::{Rank, Recency},
    slot::{MAX_PARTS, MAX_VARIANTS, Slot, Variants, bytes_of},
    slru::Slru,
    stale_heads::StaleHeads,
    table::{CacheType, TableId, Tables},
    usage::Purged,
};
use meshcache_protocol::Key;
use smallvec::smallvec;
use std::sync::Arc;

/// One shard.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) slrus: Vec<Slru>,
    /// The bytes of tables when [`Shard::overhead_change`] was last called.
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
    /// Compares variants with their measure before.
    fn of(before: (i64, i64), after: &[Arc<Entry>], gone: Variants) -> Self {
        let after = measure(after);
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
        let find = |variants: &[Arc<Entry>]| {
            has_key(variants, key.bytes())
                .then(|| variants.iter().find(|entry| entry.deadline() > now && fits(entry)).cloned())
        };
        self.slrus.get_mut(table.index())?.get(key.hash().high(), now, room, find).flatten()
    }

    /// Returns the variants of a key and how it was used, without counting this as a use.
    pub(super) fn peek(&self, table: TableId, hash: u64) -> Option<(&[Arc<Entry>], Recency)> {
        let slrus = self.slrus.get(table.index())?;
        let recency = |node: &Node| Recency { warm: slrus.is_warm(hash), touched: node.touched };
        slrus.peek(hash).map(|(node, variants)| (variants, recency(node)))
    }

    /// Returns the rank and an entry of every key that is no hot copy, in no order.
    pub(super) fn ranked(&self) -> impl Iterator<Item = (Rank, Arc<Entry>)> {
        let main = |(_, table): &(&Slru, TableId)| table.cache_type() == CacheType::Main;
        self.slrus.iter().zip(TableId::all()).filter(main).flat_map(|(slru, table)| {
            slru.iter().filter_map(move |(node, variants, warm)| {
                Some((Rank { warm, touched: node.touched, table, place: node.hash }, variants.first()?.clone()))
            })
        })
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
        let hash = key.hash().high();
        let mut gone = Vec::new();
        let Some(slrus) = self.slrus.get_mut(at) else { return SlotChange::default() };
        let mut before = (0, 0);
        // Another key with the same hash: the newer one replaces it.
        if slrus.peek(hash).is_some_and(|(_, variants)| !has_key(variants, key.bytes()))
            && let Some(slot) = slrus.remove(hash)
        {
            before = measure(&slot.variants);
            gone.extend(slot.variants);
        }
        let mut entry = Some(entry);
        let after = slrus.change(hash, |slot| {
            before = measure(&slot.variants);
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
            measure(&slot.variants)
        });
        let after = after.unwrap_or_else(|| {
            let variants: Variants = entry.take().map_or_else(Default::default, |entry| smallvec![entry]);
            let after = measure(&variants);
            let slot = Slot { variants, touched: used.map_or(now, |(used, _)| used.touched) };
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
    pub(super) fn evict(&mut self, tables: Tables, may_go: impl FnOnce(&Rank) -> bool) -> Option<(TableId, Slot)> {
        let candidates = self.slrus.iter().zip(TableId::all()).filter(|(_, table)| tables.has(*table));
        let Rank { table, place, .. } = candidates
            .filter_map(|(slrus, table)| {
                let (place, (warm, touched)) = slrus.first_out()?;
                Some(Rank { warm, touched, table, place })
            })
            .min()
            .filter(may_go)?;
        let slot = self.slrus.get_mut(table.index())?.remove(place)?;
        Some((table, slot))
    }

    /// Takes out expired variants of at most `most` keys, to bound the time under the lock. Keys with other variants
    /// are queued again.
    pub(super) fn expire(&mut self, now: u64, most: usize) -> (usize, Vec<(TableId, SlotChange)>) {
        let (mut seen, mut changes) = (0, Vec::new());
        for (slrus, table) in self.slrus.iter_mut().zip(TableId::all()) {
            while seen < most
                && let Some(due) = slrus.pop_due(now)
            {
                seen += 1;
                let change = due.and_then(|hash| {
                    slrus.change(hash, |slot| {
                        let before = measure(&slot.variants);
                        let (gone, kept): (Variants, Variants) =
                            slot.variants.drain(..).partition(|entry| entry.deadline() <= now);
                        slot.variants = kept;
                        SlotChange::of(before, &slot.variants, gone)
                    })
                });
                changes.extend(change.map(|change| (table, change)));
            }
        }
        if seen > 0 {
            self.compact();
        }
        (seen, changes)
    }

    /// Returns the keys of these tables where a purge has to look: with one of these terms, or all. `None`: a part of the
    /// index was made, and is not the last.
    pub(super) fn candidates(&mut self, tables: Tables, terms: Option<&[IndexTerm]>) -> Option<Vec<(TableId, u64)>> {
        let mut found = Vec::new();
        for (slrus, table) in self.slrus.iter_mut().zip(TableId::all()).filter(|(_, table)| tables.has(*table)) {
            match terms {
                None => found.extend(slrus.hashes().map(|at| (table, at))),
                Some(_) if !slrus.make_index() => return None,
                Some(terms) => terms.iter().for_each(|term| found.extend(slrus.find_by(*term).map(|at| (table, at)))),
            }
        }
        Some(found)
    }

    /// Applies `action` to those of these keys that `is` selects.
    pub(super) fn purge(
        &mut self,
        candidates: &[(TableId, u64)],
        action: PurgeAction,
        heads: &mut StaleHeads,
        is: impl Fn(&Key, &[Arc<Entry>]) -> bool,
    ) -> (Purged, Vec<(TableId, SlotChange)>) {
        let (mut purged, mut changes) = (Purged::default(), Vec::new());
        for (table, place) in candidates.iter().copied() {
            let Some(slrus) = self.slrus.get_mut(table.index()) else { continue };
            let is = |variants: &[Arc<Entry>]| variants.first().is_some_and(|entry| is(&entry.key(), variants));
            let Some((_, variants)) = slrus.peek(place).filter(|(_, variants)| is(variants)) else { continue };
            let (bytes, items) = measure(variants);
            // Whether there is a hot copy depends on who was asked: only what it is a copy of counts.
            if table.cache_type() == CacheType::Main {
                purged = Purged { entries: purged.entries + items as u64, bytes: purged.bytes + bytes as u64 };
            }
            let changed = match action {
                PurgeAction::Count => None,
                PurgeAction::Remove => slrus.remove(place).map(|slot| SlotChange {
                    bytes: -bytes,
                    items: -items,
                    _gone: slot.variants.into_vec(),
                }),
                PurgeAction::MakeStale(now) => make_stale(slrus, place, now, heads),
            };
            changes.extend(changed.map(|changed| (table, changed)));
        }
        if !changes.is_empty() {
            self.compact();
        }
        (purged, changes)
    }

    /// Takes out one key.
    pub(super) fn remove(&mut self, table: TableId, place: u64) -> Option<Slot> {
        self.slrus.get_mut(table.index())?.remove(place)
    }

    /// Takes out the variants of a key that `is_named` selects.
    pub(super) fn remove_variants(
        &mut self,
        table: TableId,
        key: &Key,
        is_named: impl Fn(&Entry) -> bool,
    ) -> Option<SlotChange> {
        let (place, slrus) = (key.hash().high(), self.slrus.get_mut(table.index())?);
        slrus.peek(place).filter(|(_, variants)| has_key(variants, key.bytes()))?;
        slrus.change(place, |slot| {
            let before = measure(&slot.variants);
            let (gone, kept): (Variants, Variants) = slot.variants.drain(..).partition(|entry| is_named(entry));
            slot.variants = kept;
            SlotChange::of(before, &slot.variants, gone)
        })
    }

    /// Returns by how many bytes tables have changed since the last call.
    pub(super) fn take_overhead_change(&mut self) -> i64 {
        let now = self.slrus.iter().map(Slru::overhead).sum::<u64>();
        let change = now as i64 - self.reported_overhead as i64;
        self.reported_overhead = now;
        change
    }

    /// Puts another key's entry in the place of a key, as if both had one hash.
    #[cfg(test)]
    pub(super) fn forge(&mut self, table: TableId, key: &Key, other: Arc<Entry>) {
        self.slrus[table.index()].change(key.hash().high(), |slot| slot.variants = smallvec![other]);
    }

    fn compact(&mut self) {
        self.slrus.iter_mut().for_each(Slru::compact);
    }
}

/// Makes all variants of a key stale, and removes those that are useless then.
fn make_stale(slrus: &mut Slru, place: u64, now: u64, heads: &mut StaleHeads) -> Option<SlotChange> {
    slrus.change(place, |slot| {
        let before = measure(&slot.variants);
        let gone: Variants = std::mem::take(&mut slot.variants);
        slot.variants = gone.iter().filter_map(|entry| entry.stale_from(now, heads)).map(Arc::new).collect();
        SlotChange::of(before, &slot.variants, gone)
    })
}

/// Returns whether the variants of a slot are those of a key.
pub(super) fn has_key(variants: &[Arc<Entry>], key: &[u8]) -> bool {
    variants.first().is_some_and(|entry| entry.has_key(key))
}

fn measure(variants: &[Arc<Entry>]) -> (i64, i64) {
    (bytes_of(variants) as i64, variants.len() as i64)
}
