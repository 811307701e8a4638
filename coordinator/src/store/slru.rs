//! A segmented LRU of one group's keys in one shard. A key is on probation until it is used again, so that a scan of
//! cold keys evicts only keys on probation.

use crate::store::{
    alloc_size,
    arena::{
        Arena, Node,
        Segment::{self, Probation, Protected},
    },
    entry::Entry,
    expiry_queue::{Expiry, ExpiryQueue, tick},
    purge_index::{IndexTerm, PurgeIndex, Terms, terms},
    slot::{Slot, Variants, bytes_of, deadline_of},
};
use hashbrown::HashTable;
use std::{collections::HashMap, sync::Arc};

/// One group's part of one shard.
#[derive(Default)]
pub(super) struct Slru {
    arena: Arena,
    /// The place of each key in the arena.
    places: HashTable<u32>,
    /// The variants of keys that have several.
    many: HashMap<u32, Vec<Arc<Entry>>>,
    expiry: ExpiryQueue,
    /// The bytes in the protected segment.
    pub(super) protected_bytes: u64,
    /// Reads by [`Shard::read_fresh`](super::Store::read_fresh) that found a value: counted under the lock, they cost
    /// nothing.
    pub(super) fresh_reads: u64,
    /// `None`: no purge has asked for it.
    index: Option<PurgeIndex>,
}

impl Slru {
    /// Returns the variants of a key, without counting this as a use.
    pub(super) fn peek(&self, hash: u64) -> Option<(&Node, &[Arc<Entry>])> {
        let at = self.find(hash)?;
        Some((self.arena.node(at)?, self.variants(at)))
    }

    /// Uses a key, and reads its variants. The second use protects it. While more than `room` bytes are protected, the
    /// least recently used key goes back on probation.
    pub(super) fn get<T>(
        &mut self,
        hash: u64,
        now: u64,
        room: u64,
        read: impl FnOnce(&[Arc<Entry>]) -> Option<T>,
    ) -> Option<T> {
        let at = self.find(hash)?;
        let was = self.arena.segment(at)?;
        self.arena.make_first(at, Protected);
        if was == Probation {
            self.protected_bytes += bytes_of(self.variants(at));
            while self.protected_bytes > room && self.arena.len_of(Protected) > 1 {
                let Some(last) = self.arena.last(Protected) else { break };
                self.protected_bytes = self.protected_bytes.saturating_sub(bytes_of(self.variants(last)));
                self.arena.make_first(last, Probation);
            }
        }
        let found = read(self.variants(at))?;
        if let Some(node) = self.arena.node_mut(at) {
            node.touched = now;
        }
        Some(found)
    }

    /// Changes a slot in place. Its bytes may change. One without variants afterwards is taken out.
    pub(super) fn change<T>(&mut self, hash: u64, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let at = self.find(hash)?;
        let before = self.terms(at);
        let mut slot = self.lift(at)?;
        let (bytes, result) = (slot.bytes(), change(&mut slot));
        if self.arena.segment(at) == Some(Protected) {
            self.protected_bytes = self.protected_bytes.saturating_sub(bytes) + slot.bytes();
        }
        if slot.variants.is_empty() {
            self.note_terms(at, &before, &Terms::new());
            self.free(at, hash);
        } else {
            self.lay(at, slot);
            let after = self.terms(at);
            self.note_terms(at, &before, &after);
        }
        Some(result)
    }

    /// Inserts a slot, on probation.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        self.insert_into(Probation, hash, slot);
    }

    /// Inserts a slot from another store. A `warm` one is protected, if there is room. It is evicted before all that
    /// were used later.
    pub(super) fn insert_used(&mut self, hash: u64, slot: Slot, warm: bool, room: u64) {
        let bytes = slot.bytes();
        let segment = if warm && self.protected_bytes + bytes <= room { Protected } else { Probation };
        if segment == Protected {
            self.protected_bytes += bytes;
        }
        let oldest = self.arena.last(segment).and_then(|last| self.arena.node(last));
        let goes_first = oldest.is_some_and(|oldest| slot.touched < oldest.touched);
        let at = self.insert_into(segment, hash, slot);
        if let Some(at) = at.filter(|_| goes_first) {
            self.arena.make_last(at);
        }
    }

    fn insert_into(&mut self, segment: Segment, hash: u64, slot: Slot) -> Option<u32> {
        let at = self.arena.add(Node::new(hash, slot.touched), segment)?;
        let arena = &self.arena;
        self.places.insert_unique(hash, at, |at| arena.node(*at).map_or(0, |node| node.hash));
        self.lay(at, slot);
        let after = self.terms(at);
        self.note_terms(at, &Terms::new(), &after);
        Some(at)
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, hash: u64) -> Option<Slot> {
        let at = self.find(hash)?;
        let before = self.terms(at);
        let slot = self.lift(at)?;
        if self.arena.segment(at) == Some(Protected) {
            self.protected_bytes = self.protected_bytes.saturating_sub(slot.bytes());
        }
        self.note_terms(at, &before, &Terms::new());
        self.free(at, hash);
        Some(slot)
    }

    /// Returns the next key to evict, with its rank: on probation before protected, then by its last use.
    pub(super) fn first_out(&self) -> Option<(u64, (bool, u64))> {
        let first = |segment| self.arena.last(segment).and_then(|at| self.arena.node(at));
        let rank = |node: &Node, warm| (node.hash, (warm, node.touched));
        first(Probation).map(|node| rank(node, false)).or_else(|| first(Protected).map(|node| rank(node, true)))
    }

    /// Returns all keys with their variants, and whether each was used more than once.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Node, &[Arc<Entry>], bool)> {
        [Probation, Protected].into_iter().flat_map(move |segment| {
            self.arena.iter(segment).map(move |(at, node)| (node, self.variants(at), segment == Protected))
        })
    }

    /// Returns whether a key was used more than once.
    pub(super) fn is_warm(&self, hash: u64) -> bool {
        self.find(hash).and_then(|at| self.arena.segment(at)) == Some(Protected)
    }

    /// Returns the hashes of all keys.
    pub(super) fn hashes(&self) -> impl Iterator<Item = u64> {
        (0..self.arena.places()).filter_map(|at| self.arena.node(at)).map(|node| node.hash)
    }

    /// Makes the next part of the index. Returns whether it is whole.
    pub(super) fn make_index(&mut self) -> bool {
        let mut index = self.index.take().unwrap_or_default();
        let is_whole = index.step(self.arena.places(), |at| self.variants(at));
        self.index = Some(index);
        is_whole
    }

    /// Returns the keys of a term that are in the index.
    pub(super) fn find_by(&self, term: IndexTerm) -> impl Iterator<Item = u64> {
        let found = self.index.iter().flat_map(move |index| index.find(term));
        found.filter_map(|at| self.arena.node(at)).map(|node| node.hash)
    }

    /// Returns the hash of the next key whose deadline is over. It is queued again when it is changed.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Option<u64>> {
        let due = self.expiry.pop(now)?;
        let node = self.arena.node_mut(due.at).filter(|node| node.tick == due.tick);
        Some(node.map(|node| {
            node.tick = u32::MAX;
            node.hash
        }))
    }

    /// Returns the bytes of its tables and its index.
    pub(super) fn overhead(&self) -> u64 {
        alloc_size::size_class(self.places.allocation_size())
            + self.arena.bytes()
            + self.expiry.bytes()
            + self.index.as_ref().map_or(0, PurgeIndex::bytes)
    }

    /// Drops obsolete deadlines, and shrinks tables that have become far too large: they never shrink by themselves.
    pub(super) fn compact(&mut self) {
        if self.arena.capacity() > 1024 && self.arena.len() < self.arena.capacity() / 8 {
            self.shrink();
        }
        let arena = &self.arena;
        self.expiry.compact(arena.len(), |due| arena.node(due.at).is_some_and(|node| node.tick == due.tick));
    }

    fn shrink(&mut self) {
        // The index goes as well: the next purge makes it again.
        let mut old = std::mem::take(self);
        for segment in [Probation, Protected] {
            while let Some((at, hash)) = old.arena.last(segment).and_then(|at| Some((at, old.arena.node(at)?.hash))) {
                let Some(slot) = old.lift(at) else { break };
                old.arena.take(at);
                self.insert_into(segment, hash, slot);
            }
        }
        (self.protected_bytes, self.fresh_reads) = (old.protected_bytes, old.fresh_reads);
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.places.find(hash, |at| self.arena.node(*at).is_some_and(|node| node.hash == hash)).copied()
    }

    fn variants(&self, at: u32) -> &[Arc<Entry>] {
        match self.arena.node(at) {
            Some(Node { one: Some(entry), .. }) => std::slice::from_ref(entry),
            Some(_) => self.many.get(&at).map_or(&[], Vec::as_slice),
            None => &[],
        }
    }

    /// Takes the variants of a key out of its node.
    fn lift(&mut self, at: u32) -> Option<Slot> {
        let node = self.arena.node_mut(at)?;
        let variants = match node.one.take() {
            Some(one) => Variants::from_buf([one]),
            None => Variants::from_vec(self.many.remove(&at).unwrap_or_default()),
        };
        Some(Slot { variants, touched: node.touched })
    }

    /// Puts the variants of a key into its node, and awaits their end.
    fn lay(&mut self, at: u32, mut slot: Slot) {
        let due = tick(deadline_of(&slot.variants));
        let Some(node) = self.arena.node_mut(at) else { return };
        node.touched = slot.touched;
        if due < node.tick {
            node.tick = due;
            self.expiry.push(Expiry { tick: due, at });
        }
        if slot.variants.len() == 1 {
            node.one = slot.variants.pop();
        } else {
            let mut many = slot.variants.into_vec();
            many.shrink_to_fit();
            self.many.insert(at, many);
        }
    }

    fn free(&mut self, at: u32, hash: u64) {
        if let Ok(place) = self.places.find_entry(hash, |of| *of == at) {
            place.remove();
        }
        self.arena.take(at);
    }

    /// Returns the terms of a key that is in the index.
    fn terms(&self, at: u32) -> Terms {
        let is_noted = self.index.as_ref().is_some_and(|index| index.has(at));
        if is_noted { terms(self.variants(at)) } else { Terms::new() }
    }

    fn note_terms(&mut self, at: u32, before: &Terms, after: &Terms) {
        if let Some(index) = &mut self.index {
            index.change(at, before, after);
        }
    }
}
