//! The rings before this one: who owned a key before may still have its answer.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

use meshcache_protocol::{Hash, Peer, Ring};
use std::collections::{BTreeMap, VecDeque};

/// How many rings are remembered.
const MOST: usize = 8;
/// For how long. Whoever had a key then has loaded it since, or nobody asks for it much.
const STAYS: u64 = 3_600_000;

/// The rings that were, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Former(VecDeque<(Ring, u64)>);

impl Former {
    /// A ring is over.
    pub(crate) fn note(&mut self, ring: Ring, now: u64) {
        self.0.retain(|(old, _)| old.version() != ring.version());
        if !ring.peers().is_empty() {
            self.0.push_front((ring, now));
        }
        self.0.truncate(MOST);
    }

    /// A peer answers no more: what it had is with the others, or lost.
    pub(crate) fn forget(&mut self, name: &str) {
        for (ring, _) in self.0.iter_mut().filter(|(ring, _)| ring.peer(name).is_some()) {
            *ring = ring.without(name);
        }
    }

    /// Whom to ask for a key that is ours now, the latest owner first. `since`: when what we have of it arrived here;
    /// who owned it only before that has nothing newer.
    pub(crate) fn owners(&self, key: Hash, me: &str, since: Option<u64>, now: u64) -> Vec<String> {
        let rings =
            self.0.iter().filter(|(_, at)| at.saturating_add(STAYS) > now && since.is_none_or(|since| since < *at));
        let mut names: Vec<String> = Vec::new();
        for owner in rings.filter_map(|(ring, _)| ring.owner(key)).filter(|owner| owner.name != me) {
            if !names.contains(&owner.name) {
                names.push(owner.name.clone());
            }
        }
        names
    }

    /// The one of that name, where it was last.
    pub(crate) fn peer(&self, name: &str) -> Option<&Peer> {
        self.0.iter().find_map(|(ring, _)| ring.peer(name))
    }

    /// All who were in them, each where it was last.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let mut peers: BTreeMap<&str, &Peer> = BTreeMap::new();
        for peer in self.0.iter().flat_map(|(ring, _)| ring.peers()) {
            peers.entry(&peer.name).or_insert(peer);
        }
        peers.into_values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(names: &[&str]) -> Ring {
        Ring::new(
            names.iter().map(|name| Peer { name: (*name).into(), data: String::new(), peer: String::new() }).collect(),
        )
    }

    /// A key whose order in the ring of all three is this.
    fn key(order: [&str; 3]) -> Hash {
        let all = ring(&["a", "b", "c"]);
        let mut keys = (0..).map(|n: u32| Hash::of(&n.to_le_bytes()));
        keys.find(|key| all.order(*key).iter().map(|peer| peer.name.as_str()).eq(order)).unwrap()
    }

    #[test]
    fn the_latest_other_owner_is_asked_first() {
        let (mut former, key) = (Former::default(), key(["a", "b", "c"]));
        former.note(ring(&["c"]), 1);
        former.note(ring(&["b", "c"]), 2);
        former.note(ring(&["a", "b", "c"]), 3);
        assert_eq!(former.owners(key, "a", None, 10), ["b", "c"]);
        assert_eq!(former.owners(key, "a", Some(1), 10), ["b"]);
        assert!(former.owners(key, "a", Some(2), 10).is_empty(), "what is here is newer");
        assert!(former.owners(key, "a", None, STAYS + 3).is_empty());
        former.forget("b");
        assert_eq!(former.owners(key, "a", None, 10), ["c"]);
        assert_eq!(former.peers().len(), 2);
    }

    #[test]
    fn rings_are_bounded_and_each_is_there_once() {
        let mut former = Former::default();
        for n in 0..20 {
            former.note(ring(&["a", &format!("p{}", n % 10)]), n);
        }
        assert_eq!(former.0.len(), MOST);
        former.note(ring(&[]), 30);
        assert_eq!(former.0.len(), MOST);
    }
}
