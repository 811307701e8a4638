//! The rings before the present one: a key's previous owners may still have its entries.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

use meshcache_protocol::{Hash, Peer, Ring};
use std::collections::{BTreeMap, VecDeque};

/// The most rings that are remembered.
const MAX_RINGS: usize = 8;
/// The time for which a ring is remembered, milliseconds. A key that was not loaded again since is rarely used.
const RETENTION: u64 = 3_600_000;

/// The rings before the present one and when each ended, the newest first.
#[derive(Debug, Default)]
pub(crate) struct PreviousRings(VecDeque<(Ring, u64)>);

impl PreviousRings {
    /// Adds a ring that has ended. An equal one is remembered once.
    pub(crate) fn push(&mut self, ring: Ring, now: u64) {
        self.0.retain(|(old, _)| old.version() != ring.version());
        if !ring.peers().is_empty() {
            self.0.push_front((ring, now));
        }
        self.0.truncate(MAX_RINGS);
    }

    /// Removes a peer that has ended: its entries were handed over, or are lost.
    pub(crate) fn remove(&mut self, name: &str) {
        for (ring, _) in self.0.iter_mut().filter(|(ring, _)| ring.peer(name).is_some()) {
            *ring = ring.without(name);
        }
    }

    /// The previous owners of a key other than `me`, the latest first. `since`: when the stored entries arrived here; a
    /// peer that owned the key only before that has nothing newer.
    pub(crate) fn owners(&self, key: Hash, me: &str, since: Option<u64>, now: u64) -> Vec<String> {
        let rings =
            self.0.iter().filter(|(_, at)| at.saturating_add(RETENTION) > now && since.is_none_or(|since| since < *at));
        let mut names: Vec<String> = Vec::new();
        for owner in rings.filter_map(|(ring, _)| ring.owner(key)).filter(|owner| owner.name != me) {
            if !names.contains(&owner.name) {
                names.push(owner.name.clone());
            }
        }
        names
    }

    /// The peer of that name where it was last.
    pub(crate) fn peer(&self, name: &str) -> Option<&Peer> {
        self.0.iter().find_map(|(ring, _)| ring.peer(name))
    }

    /// All their peers, each where it was last.
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
        let (mut previous, key) = (PreviousRings::default(), key(["a", "b", "c"]));
        previous.push(ring(&["c"]), 1);
        previous.push(ring(&["b", "c"]), 2);
        previous.push(ring(&["a", "b", "c"]), 3);
        assert_eq!(previous.owners(key, "a", None, 10), ["b", "c"]);
        assert_eq!(previous.owners(key, "a", Some(1), 10), ["b"]);
        assert!(previous.owners(key, "a", Some(2), 10).is_empty(), "the stored entry is newer");
        assert!(previous.owners(key, "a", None, RETENTION + 3).is_empty());
        previous.remove("b");
        assert_eq!(previous.owners(key, "a", None, 10), ["c"]);
        assert_eq!(previous.peers().len(), 2);
    }

    #[test]
    fn rings_are_bounded_and_each_is_remembered_once() {
        let mut previous = PreviousRings::default();
        for n in 0..20 {
            previous.push(ring(&["a", &format!("p{}", n % 10)]), n);
        }
        assert_eq!(previous.0.len(), MAX_RINGS);
        previous.push(ring(&[]), 30);
        assert_eq!(previous.0.len(), MAX_RINGS);
    }
}
