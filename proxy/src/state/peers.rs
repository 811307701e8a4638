//! The peer to ask for a key: its owner, or the next one in the ring's order that answers.

use meshcache_protocol::{Breaker, Hash, Ring};

/// The most lines that wait for the log.
const MAX_NEWS: usize = 64;
/// The most peers that are remembered after a stream reset.
const MAX_RESETS: usize = 64;

/// The health of peers, as this worker sees it.
#[derive(Default)]
pub struct Peers {
    /// The peers that failed since they answered last.
    failed: Vec<(String, Breaker)>,
    /// The peers that reset one stream since they answered last.
    reset: Vec<String>,
    /// Lines for the log: a peer, and what became of it.
    news: Vec<(String, &'static str)>,
}

/// A peer to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenPeer {
    /// Its data address, `ip:port`.
    pub address: String,
    /// It is not the owner: it answers from its store and asks no other peer.
    pub hop: bool,
}

impl Peers {
    /// Chooses the peer to ask for a key now. Returns `None` if none is healthy. A failed peer is chosen as a trial,
    /// and the caller must ask it: it is not chosen again for a while.
    pub fn choose(&mut self, ring: &Ring, key: Hash, now: u64) -> Option<ChosenPeer> {
        if self.failed.is_empty() {
            return ring.owner(key).map(|owner| ChosenPeer { address: owner.data.clone(), hop: false });
        }
        let mut order = ring.order(key).into_iter().enumerate();
        let (at, peer) = order.find(|(_, peer)| self.try_admit(&peer.data, now))?;
        Some(ChosenPeer { address: peer.data.clone(), hop: at > 0 })
    }

    /// Chooses the peer to ask after this one failed.
    pub fn choose_after(&mut self, ring: &Ring, key: Hash, failed: &ChosenPeer, now: u64) -> Option<ChosenPeer> {
        let mut order = ring.order(key).into_iter().skip_while(|peer| peer.data != failed.address).skip(1);
        let next = order.find(|peer| self.try_admit(&peer.data, now))?;
        Some(ChosenPeer { address: next.data.clone(), hop: true })
    }

    /// Records that a peer did not answer.
    pub fn note_failure(&mut self, address: &str, now: u64) {
        self.reset.retain(|other| other != address);
        match self.failed.iter_mut().find(|(other, _)| other == address) {
            Some((_, breaker)) => {
                breaker.record_failure(now);
            }
            None => {
                let mut breaker = Breaker::default();
                breaker.record_failure(now);
                self.failed.push((address.to_owned(), breaker));
                self.add_news(address, "does not answer: its keys go to the next");
            }
        }
    }

    /// Records that a peer reset one stream. Returns whether it is the second time since it answered last: the first
    /// may be the fault of the request.
    pub fn note_reset(&mut self, address: &str) -> bool {
        let again = self.reset.iter().any(|other| other == address);
        if !again && self.reset.len() < MAX_RESETS {
            self.reset.push(address.to_owned());
        }
        again
    }

    /// Records that a peer answered.
    pub fn note_answer(&mut self, address: &str) {
        self.reset.retain(|other| other != address);
        if let Some(at) = self.failed.iter().position(|(other, _)| other == address) {
            self.failed.swap_remove(at);
            self.add_news(address, "answers again");
        }
    }

    /// Takes the lines for the log: of each peer the last one.
    pub fn take_news(&mut self) -> Vec<(String, &'static str)> {
        std::mem::take(&mut self.news)
    }

    fn add_news(&mut self, address: &str, what: &'static str) {
        self.news.retain(|(other, _)| other != address);
        if self.news.len() < MAX_NEWS {
            self.news.push((address.to_owned(), what));
        }
    }

    /// Returns whether all peers of the ring failed and none has answered since.
    pub fn have_all_failed(&self, ring: &Ring) -> bool {
        ring.peers().iter().all(|peer| self.failed.iter().any(|(failed, _)| *failed == peer.data))
    }

    /// Moves on to another ring. A peer that has just joined it starts without failures.
    pub fn change_ring(&mut self, old: &Ring, new: &Ring) {
        let is_in = |ring: &Ring, address: &String| ring.peers().iter().any(|peer| peer.data == *address);
        self.failed.retain(|(address, _)| is_in(old, address) && is_in(new, address));
        self.reset.retain(|address| is_in(new, address));
    }

    /// Forgets all failures, at the first contact after none.
    pub fn clear(&mut self) {
        for (address, _) in std::mem::take(&mut self.failed) {
            self.add_news(&address, "is asked again: a coordinator was heard");
        }
    }

    /// Returns whether a peer may be asked. For a failed one, this takes its trial.
    fn try_admit(&mut self, address: &str, now: u64) -> bool {
        self.failed.iter_mut().find(|(failed, _)| failed == address).is_none_or(|(_, breaker)| breaker.try_acquire(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::Peer;

    fn ring(names: &[&str]) -> Ring {
        Ring::new(
            names
                .iter()
                .map(|name| Peer { name: (*name).into(), data: (*name).into(), peer: (*name).into() })
                .collect(),
        )
    }

    #[test]
    fn a_peer_that_failed_rests_while_the_next_is_asked_and_then_is_tried_once() {
        let (ring, key) = (ring(&["a", "b", "c"]), Hash::of(b"k"));
        let order: Vec<_> = ring.order(key).into_iter().map(|peer| peer.data.clone()).collect();
        let choice = |n: usize| ChosenPeer { address: order[n].clone(), hop: n > 0 };
        let mut peers = Peers::default();
        assert_eq!(peers.choose(&ring, key, 0), Some(choice(0)));
        peers.note_failure(&order[0], 0);
        assert_eq!(peers.choose_after(&ring, key, &choice(0), 0), Some(choice(1)));
        assert_eq!(peers.choose(&ring, key, 999), Some(choice(1)));
        peers.note_failure(&order[1], 500);
        assert_eq!(peers.choose_after(&ring, key, &choice(1), 999), Some(choice(2)));
        assert_eq!(
            (peers.choose(&ring, key, 999), peers.choose_after(&ring, key, &choice(0), 999)),
            (Some(choice(2)), Some(choice(2)))
        );
        assert_eq!(peers.choose(&ring, key, 1000), Some(choice(0)), "a trial");
        assert_eq!(peers.choose(&ring, key, 1000), Some(choice(2)), "one at a time");
        assert!(!peers.have_all_failed(&ring));
        peers.note_failure(&order[2], 1000);
        assert!(peers.have_all_failed(&ring));
        assert_eq!(peers.choose(&ring, key, 1001), None);
        peers.note_answer(&order[1]);
        assert_eq!((peers.choose(&ring, key, 1001), peers.have_all_failed(&ring)), (Some(choice(1)), false));
        peers.note_answer(&order[0]);
        assert_eq!(peers.choose(&ring, key, 1001), Some(choice(0)));
    }

    #[test]
    fn a_reset_stream_counts_when_the_next_one_fails_as_well() {
        let mut peers = Peers::default();
        assert!(!peers.note_reset("a") && !peers.note_reset("b"));
        peers.note_answer("a");
        assert!(!peers.note_reset("a"), "it answered another one between");
        assert!(peers.note_reset("a") && peers.note_reset("b"));
        peers.note_failure("a", 0);
        assert!(!peers.note_reset("a"), "that one is over");
    }

    #[test]
    fn a_peer_that_joins_the_ring_again_has_not_failed() {
        let (all, fewer) = (ring(&["a", "b"]), ring(&["a"]));
        let mut peers = Peers::default();
        peers.note_failure("a", 0);
        peers.note_failure("b", 0);
        peers.change_ring(&all, &fewer);
        peers.change_ring(&fewer, &all);
        assert!(!peers.try_admit("a", 1) && peers.try_admit("b", 1));
    }

    #[test]
    fn the_last_news_of_each_peer_is_for_the_log() {
        let mut peers = Peers::default();
        assert!(peers.take_news().is_empty());
        (0..100).for_each(|now| peers.note_failure("a", now));
        assert_eq!(peers.take_news(), [("a".to_owned(), "does not answer: its keys go to the next")]);
        peers.note_failure("a", 200);
        assert!(peers.take_news().is_empty(), "no news");
        (0..100).for_each(|now| {
            peers.note_answer("a");
            peers.note_failure("b", now);
            peers.note_answer("b");
        });
        assert_eq!(peers.take_news(), [("a".to_owned(), "answers again"), ("b".to_owned(), "answers again")]);
        peers.note_failure("a", 300);
        peers.clear();
        assert_eq!(peers.take_news(), [("a".to_owned(), "is asked again: a coordinator was heard")]);
        (0..2 * MAX_NEWS).for_each(|n| peers.note_failure(&n.to_string(), 400));
        assert_eq!(peers.take_news().len(), MAX_NEWS);
    }
}
