//! The keys of one group in one shard, in one allocation, and their order of use: two lists through it.

use crate::store::{
    alloc_size::{room_for_more, size_class},
    entry::Entry,
};
use std::{iter::successors, sync::Arc};

/// The end of a list.
const NONE: u32 = u32::MAX;

/// The segments of an SLRU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Used once.
    Probation,
    /// Used more than once.
    Protected,
}

/// A key. 40 bytes.
pub(super) struct Node {
    /// Its variant. `None`: it has several, which stand elsewhere; or the node is free.
    pub(super) one: Option<Arc<Entry>>,
    /// The high half of the key's hash.
    pub(super) hash: u64,
    /// When the key was last used, by the store's clock.
    pub(super) touched: u64,
    /// The tick under which it is in the queue of deadlines.
    pub(super) tick: u32,
    /// `None`: it is free.
    segment: Option<Segment>,
    before: u32,
    after: u32,
}

/// All nodes.
pub(super) struct Arena {
    nodes: Vec<Node>,
    free: u32,
    lists: [List; 2],
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: NONE, lists: [List { first: NONE, last: NONE, len: 0 }; 2] }
    }
}

impl Node {
    pub(super) fn new(hash: u64, touched: u64) -> Self {
        Self { one: None, hash, touched, tick: u32::MAX, segment: None, before: NONE, after: NONE }
    }
}

impl Arena {
    /// Returns how many keys there are.
    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len).sum()
    }

    /// Returns how many keys are in a segment.
    pub(super) fn len_of(&self, segment: Segment) -> usize {
        self.list(segment).len
    }

    /// Returns how many places there are, those that are free included.
    pub(super) fn places(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Returns for how many keys there is room.
    pub(super) fn capacity(&self) -> usize {
        self.nodes.capacity()
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        size_class(self.nodes.capacity().saturating_mul(size_of::<Node>()))
    }

    /// Adds a key as the one used last. `None`: there are too many.
    pub(super) fn add(&mut self, node: Node, segment: Segment) -> Option<u32> {
        let at = match self.nodes.get_mut(self.free as usize) {
            Some(free) => {
                let at = self.free;
                self.free = free.after;
                *free = node;
                at
            }
            None => {
                let at = u32::try_from(self.nodes.len()).ok().filter(|at| *at < NONE)?;
                if self.nodes.len() == self.nodes.capacity() {
                    self.nodes.reserve_exact(room_for_more(self.nodes.len(), size_of::<Node>()));
                }
                self.nodes.push(node);
                at
            }
        };
        self.link_first(at, segment);
        Some(at)
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, at: u32) -> Option<Node> {
        self.unlink(at)?;
        let free = Node { after: self.free, ..Node::new(0, 0) };
        let node = std::mem::replace(self.nodes.get_mut(at as usize)?, free);
        self.free = at;
        Some(node)
    }

    pub(super) fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize).filter(|node| node.segment.is_some())
    }

    pub(super) fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize).filter(|node| node.segment.is_some())
    }

    /// Returns the segment of a key.
    pub(super) fn segment(&self, at: u32) -> Option<Segment> {
        self.node(at)?.segment
    }

    /// Makes a key the one used last in a segment.
    pub(super) fn make_first(&mut self, at: u32, segment: Segment) {
        if self.list(segment).first != at && self.unlink(at).is_some() {
            self.link_first(at, segment);
        }
    }

    /// Makes a key the next to go from its segment.
    pub(super) fn make_last(&mut self, at: u32) {
        let Some(segment) = self.unlink(at) else { return };
        let last = self.list(segment).last;
        self.link(at, segment, last, NONE);
    }

    /// Returns the least recently used key of a segment.
    pub(super) fn last(&self, segment: Segment) -> Option<u32> {
        Some(self.list(segment).last).filter(|at| *at != NONE)
    }

    /// Returns the keys of a segment, the one used last first.
    pub(super) fn iter(&self, segment: Segment) -> impl Iterator<Item = (u32, &Node)> {
        let at = |at: u32| self.node(at).map(|node| (at, node));
        successors(at(self.list(segment).first), move |(_, node)| at(node.after))
    }

    fn list(&self, segment: Segment) -> &List {
        let [probation, protected] = &self.lists;
        match segment {
            Segment::Probation => probation,
            Segment::Protected => protected,
        }
    }

    fn list_mut(&mut self, segment: Segment) -> &mut List {
        let [probation, protected] = &mut self.lists;
        match segment {
            Segment::Probation => probation,
            Segment::Protected => protected,
        }
    }

    fn link_first(&mut self, at: u32, segment: Segment) {
        let first = self.list(segment).first;
        self.link(at, segment, NONE, first);
    }

    fn link(&mut self, at: u32, segment: Segment, before: u32, after: u32) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            (node.segment, node.before, node.after) = (Some(segment), before, after);
        }
        self.join(segment, before, at);
        self.join(segment, at, after);
        self.list_mut(segment).len += 1;
    }

    fn unlink(&mut self, at: u32) -> Option<Segment> {
        let node = self.nodes.get_mut(at as usize)?;
        let (segment, before, after) = (node.segment.take()?, node.before, node.after);
        self.join(segment, before, after);
        let list = self.list_mut(segment);
        list.len = list.len.saturating_sub(1);
        Some(segment)
    }

    /// Makes two keys neighbours; one that is none is an end of the list.
    fn join(&mut self, segment: Segment, before: u32, after: u32) {
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.after = after,
            None => self.list_mut(segment).first = after,
        }
        match self.nodes.get_mut(after as usize) {
            Some(node) => node.before = before,
            None => self.list_mut(segment).last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Segment::{Probation, Protected};

    #[test]
    fn keys_stand_in_the_order_of_their_use() {
        let mut arena = Arena::default();
        let order = |arena: &Arena, segment| arena.iter(segment).map(|(_, node)| node.hash).collect::<Vec<_>>();
        let at: Vec<u32> = (0..5).map(|n| arena.add(Node::new(n, 0), Probation).unwrap()).collect();
        assert_eq!((order(&arena, Probation), arena.last(Probation)), (vec![4, 3, 2, 1, 0], Some(at[0])));
        arena.make_first(at[0], Probation);
        arena.make_first(at[2], Protected);
        arena.make_last(at[3]);
        assert_eq!((order(&arena, Probation), order(&arena, Protected)), (vec![0, 4, 1, 3], vec![2]));
        for gone in [at[0], at[3], at[1]] {
            assert!(arena.take(gone).is_some() && arena.take(gone).is_none() && arena.node(gone).is_none());
        }
        assert_eq!((order(&arena, Probation), arena.len(), arena.len_of(Protected)), (vec![4], 2, 1));
        assert_eq!(arena.add(Node::new(9, 0), Probation), Some(at[1]), "a place is used again");
        assert_eq!((order(&arena, Probation), arena.last(Probation)), (vec![9, 4], Some(at[4])));
        assert_eq!((size_of::<Node>(), arena.capacity() >= 5), (40, true));
    }
}
