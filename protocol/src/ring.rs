//! The ring: the peer that owns each key, by rendezvous hashing (highest random weight, Thaler and Ravishankar 1996).

use crate::{hash::Hash, sort::sort_by};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A coordinator with its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The stable name (the pod's). It alone decides which keys the peer owns.
    pub name: String,
    /// `ip:port` of the data port.
    pub data: String,
    /// `ip:port` of the peer port.
    pub peer: String,
}

/// The peers that share the keys, and a version that differs between different views.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Peer>", into = "Vec<Peer>")]
pub struct Ring {
    peers: Vec<Peer>,
    seeds: Vec<u64>,
    version: u64,
}

impl From<Vec<Peer>> for Ring {
    fn from(peers: Vec<Peer>) -> Self {
        Self::new(peers)
    }
}

impl From<Ring> for Vec<Peer> {
    fn from(ring: Ring) -> Self {
        ring.peers
    }
}

impl Ring {
    /// Creates a ring of these peers, in any order. Of two with the same name the first stays.
    pub fn new(mut peers: Vec<Peer>) -> Self {
        if !peers.is_sorted_by(|a, b| a.name < b.name) {
            let mut sorted: Vec<(usize, Peer)> = peers.into_iter().enumerate().collect();
            sort_by(&mut sorted, |a, b| a.1.name.cmp(&b.1.name).then(a.0.cmp(&b.0)));
            peers = sorted.into_iter().map(|(_, peer)| peer).collect();
        }
        peers.dedup_by(|b, a| a.name == b.name);
        let seeds = peers.iter().map(|peer| xxh3_64(peer.name.as_bytes())).collect();
        let version = peers
            .iter()
            .flat_map(|p| [&p.name, &p.data, &p.peer])
            .fold(0, |v, part| xxh3_64_with_seed(part.as_bytes(), v));
        Self { peers, seeds, version }
    }

    /// Returns all peers, sorted by name.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Returns a digest of the members, equal where the views are equal. 0: no peers.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the peer of that name.
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        let at = self.peers.binary_search_by(|peer| peer.name.as_str().cmp(name)).ok()?;
        self.peers.get(at)
    }

    /// Returns the ring of all other peers.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        Self::new(self.peers.iter().filter(|peer| peer.name != name).cloned().collect())
    }

    /// Returns the key's owner. `None`: the ring is empty.
    pub fn owner(&self, key: Hash) -> Option<&Peer> {
        self.best(key, None).map(|(peer, _)| peer)
    }

    /// Returns the key's owner and the peer to ask when the owner fails.
    pub fn owner_and_next(&self, key: Hash) -> (Option<&Peer>, Option<&Peer>) {
        match self.best(key, None) {
            Some((owner, at)) => (Some(owner), self.best(key, Some(at)).map(|(peer, _)| peer)),
            None => (None, None),
        }
    }

    /// Returns all peers, the key's owner first, each next one to be asked when those before it fail.
    pub fn order(&self, key: Hash) -> Vec<&Peer> {
        let mut weighed: Vec<_> =
            self.seeds.iter().zip(&self.peers).map(|(seed, peer)| (weight(*seed, key), peer)).collect();
        sort_by(&mut weighed, |a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
        weighed.into_iter().map(|(_, peer)| peer).collect()
    }

    fn best(&self, key: Hash, but: Option<usize>) -> Option<(&Peer, usize)> {
        let mut best: Option<(u64, usize)> = None;
        for (at, seed) in self.seeds.iter().enumerate() {
            let weight = weight(*seed, key);
            // Peers are sorted by name: of equal weights the first name wins, as in `order`.
            if Some(at) != but && best.is_none_or(|(w, _)| weight > w) {
                best = Some((weight, at));
            }
        }
        best.and_then(|(_, at)| self.peers.get(at).map(|peer| (peer, at)))
    }
}

/// SplitMix64's finaliser over the two hashes: two multiplications, cheap in a Wasm VM too, and even for any keys.
fn weight(seed: u64, key: Hash) -> u64 {
    let mut x = seed ^ key.low();
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(names: impl IntoIterator<Item = usize>) -> Ring {
        Ring::new(
            names
                .into_iter()
                .map(|n| Peer {
                    name: format!("peer-{n}"),
                    data: format!("10.0.0.{n}:8080"),
                    peer: format!("10.0.0.{n}:8083"),
                })
                .collect(),
        )
    }

    fn keys() -> impl Iterator<Item = Hash> {
        (0..100_000).map(|n| Hash::of(format!("/key/{n}").as_bytes()))
    }

    #[test]
    fn sequential_keys_spread_evenly() {
        let ring = ring(0..20);
        let mut load = std::collections::HashMap::new();
        keys().for_each(|key| *load.entry(ring.owner(key).unwrap().name.clone()).or_insert(0u32) += 1);
        let largest = f64::from(*load.values().max().unwrap());
        assert_eq!(load.len(), 20);
        assert!(largest / 5000.0 <= 1.05, "largest over mean is {}", largest / 5000.0);
    }

    #[test]
    fn a_peer_that_leaves_moves_only_its_own_keys_to_their_next_peers() {
        let (before, after) = (ring(0..10), ring((0..10).filter(|n| *n != 3)));
        for key in keys().take(10_000) {
            let (owner, next) = before.owner_and_next(key);
            let expected = if owner.unwrap().name == "peer-3" { next } else { owner };
            assert_eq!(after.owner(key), expected);
        }
    }

    #[test]
    fn order_begins_with_owner_and_next() {
        let ring = ring(0..7);
        for key in keys().take(100) {
            let order = ring.order(key);
            assert_eq!(order.len(), 7);
            assert_eq!((order.first().copied(), order.get(1).copied()), ring.owner_and_next(key));
        }
    }

    #[test]
    fn the_version_tells_views_apart_and_not_orders() {
        assert_eq!(ring([1, 2, 3]).version(), ring([3, 1, 2]).version());
        assert_ne!(ring([1, 2]).version(), ring([1, 2, 3]).version());
        let mut moved = ring([1, 2]).peers().to_vec();
        moved[0].data = "10.0.0.9:8080".into();
        assert_ne!(ring([1, 2]).version(), Ring::new(moved).version());
        assert_eq!(ring([]).owner(Hash::of(b"k")), None);
    }
}
