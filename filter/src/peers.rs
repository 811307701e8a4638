//! Which peer to ask for a key: its owner, or the next one when the owner failed a moment ago.

use meshcache_protocol::{Hash, Ring};

/// How long a peer that did not answer is not asked, milliseconds.
const REST: u64 = 1000;

/// The peers that failed since they answered last, and when.
#[derive(Default)]
pub struct Peers {
    failed: Vec<(String, u64)>,
}

/// A peer to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its data address, `ip:port`.
    pub address: String,
    /// It is not the owner: it answers from what it has and asks no other.
    pub hop: bool,
}

impl Peers {
    /// The peer to ask for a key. `None`: there is none that did not fail a moment ago.
    pub fn choose(&self, ring: &Ring, key: Hash, now: u64) -> Option<Choice> {
        let (owner, next) = ring.owner_and_next(key);
        let owner = owner.map(|peer| Choice { address: peer.data.clone(), hop: false });
        let next = next.map(|peer| Choice { address: peer.data.clone(), hop: true });
        [owner, next].into_iter().flatten().find(|choice| self.answers(&choice.address, now))
    }

    /// The peer to ask after the owner did not answer.
    pub fn after(&self, ring: &Ring, key: Hash, failed: &Choice, now: u64) -> Option<Choice> {
        if failed.hop {
            return None;
        }
        let (_, next) = ring.owner_and_next(key);
        let next = next.map(|peer| Choice { address: peer.data.clone(), hop: true })?;
        (next.address != failed.address && self.answers(&next.address, now)).then_some(next)
    }

    /// A peer did not answer.
    pub fn failed(&mut self, address: &str, now: u64) {
        self.failed.retain(|(other, _)| other != address);
        self.failed.push((address.to_owned(), now));
    }

    /// A peer answered.
    pub fn answered(&mut self, address: &str) {
        if !self.failed.is_empty() {
            self.failed.retain(|(other, _)| other != address);
        }
    }

    /// Whether none of the ring has answered since it failed.
    pub fn have_all_failed(&self, ring: &Ring) -> bool {
        ring.peers().iter().all(|peer| self.failed.iter().any(|(failed, _)| *failed == peer.data))
    }

    /// Forgets failures: other peers, or the first sign of life after none.
    pub fn clear(&mut self) {
        self.failed.clear();
    }

    fn answers(&self, address: &str, now: u64) -> bool {
        !self.failed.iter().any(|(failed, at)| failed == address && now < at.saturating_add(REST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::Peer;

    #[test]
    fn a_peer_that_failed_rests_for_a_second_while_the_next_is_asked() {
        let ring = Ring::new(["a", "b", "c"].map(|name| Peer { name: name.into(), data: name.into(), peer: name.into() }).to_vec());
        let key = Hash::of(b"k");
        let order: Vec<_> = ring.order(key).into_iter().map(|peer| peer.data.clone()).collect();
        let mut peers = Peers::default();
        let owner = peers.choose(&ring, key, 0).unwrap();
        assert_eq!(owner, Choice { address: order[0].clone(), hop: false });
        peers.failed(&owner.address, 0);
        let next = Choice { address: order[1].clone(), hop: true };
        assert_eq!(peers.after(&ring, key, &owner, 0), Some(next.clone()));
        assert_eq!(peers.choose(&ring, key, 999), Some(next.clone()));
        peers.failed(&next.address, 0);
        assert_eq!((peers.choose(&ring, key, 999), peers.after(&ring, key, &next, 999)), (None, None));
        assert_eq!(peers.choose(&ring, key, 1000), Some(owner.clone()));
        assert!(!peers.have_all_failed(&ring));
        peers.failed(&order[2], 5000);
        assert!(peers.have_all_failed(&ring));
        peers.answered(&next.address);
        assert!(!peers.have_all_failed(&ring));
        assert_eq!(peers.after(&ring, key, &owner, 1), Some(next));
    }
}
