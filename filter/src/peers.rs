//! Which peer to ask for a key: its owner, or the next one in the ring's order that answers.

use meshcache_protocol::{Breaker, Hash, Ring};

/// The most lines that wait for the log.
const LINES: usize = 64;

/// The most peers that are remembered as having broken off a stream.
const MOST_BROKEN: usize = 64;

/// The peers that failed since they answered last.
#[derive(Default)]
pub struct Peers {
    failed: Vec<(String, Breaker)>,
    /// Those who broke off one stream since they answered last.
    broken: Vec<String>,
    /// What is to be said in the log of which of them.
    news: Vec<(String, &'static str)>,
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
    /// The peer to ask for a key now. `None`: there is none that answers. One that failed is asked only as a trial: so
    /// ask it, or nobody does for a while.
    pub fn choose(&mut self, ring: &Ring, key: Hash, now: u64) -> Option<Choice> {
        if self.failed.is_empty() {
            return ring.owner(key).map(|owner| Choice { address: owner.data.clone(), hop: false });
        }
        let mut order = ring.order(key).into_iter().enumerate();
        let (at, peer) = order.find(|(_, peer)| self.admits(&peer.data, now))?;
        Some(Choice { address: peer.data.clone(), hop: at > 0 })
    }

    /// The peer to ask when this one does not answer.
    pub fn after(&mut self, ring: &Ring, key: Hash, failed: &Choice, now: u64) -> Option<Choice> {
        let mut order = ring.order(key).into_iter().skip_while(|peer| peer.data != failed.address).skip(1);
        let next = order.find(|peer| self.admits(&peer.data, now))?;
        Some(Choice { address: next.data.clone(), hop: true })
    }

    /// A peer did not answer.
    pub fn failed(&mut self, address: &str, now: u64) {
        self.broken.retain(|other| other != address);
        match self.failed.iter_mut().find(|(other, _)| other == address) {
            Some((_, breaker)) => {
                breaker.record_failure(now);
            }
            None => {
                let mut breaker = Breaker::default();
                breaker.record_failure(now);
                self.failed.push((address.to_owned(), breaker));
                self.note(address, "does not answer: its keys go to the next");
            }
        }
    }

    /// A peer broke off one stream. Whether it is the second time since it answered last: the first may be the fault of
    /// what was asked.
    pub fn broke_off(&mut self, address: &str) -> bool {
        let again = self.broken.iter().any(|other| other == address);
        if !again && self.broken.len() < MOST_BROKEN {
            self.broken.push(address.to_owned());
        }
        again
    }

    /// A peer answered.
    pub fn answered(&mut self, address: &str) {
        self.broken.retain(|other| other != address);
        if let Some(at) = self.failed.iter().position(|(other, _)| other == address) {
            self.failed.swap_remove(at);
            self.note(address, "answers again");
        }
    }

    /// What has become of peers since this was asked last: of each the last word.
    pub fn take_news(&mut self) -> Vec<(String, &'static str)> {
        std::mem::take(&mut self.news)
    }

    fn note(&mut self, address: &str, what: &'static str) {
        self.news.retain(|(other, _)| other != address);
        if self.news.len() < LINES {
            self.news.push((address.to_owned(), what));
        }
    }

    /// Whether none of the ring has answered since it failed.
    pub fn have_all_failed(&self, ring: &Ring) -> bool {
        ring.peers().iter().all(|peer| self.failed.iter().any(|(failed, _)| *failed == peer.data))
    }

    /// Another ring: who has just come to it has not failed.
    pub fn move_on(&mut self, old: &Ring, new: &Ring) {
        let is_in = |ring: &Ring, address: &String| ring.peers().iter().any(|peer| peer.data == *address);
        self.failed.retain(|(address, _)| is_in(old, address) && is_in(new, address));
        self.broken.retain(|address| is_in(new, address));
    }

    /// Forgets failures: the first sign of life after none.
    pub fn clear(&mut self) {
        for (address, _) in std::mem::take(&mut self.failed) {
            self.note(&address, "is asked again: a coordinator was heard");
        }
    }

    fn admits(&mut self, address: &str, now: u64) -> bool {
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
        let choice = |n: usize| Choice { address: order[n].clone(), hop: n > 0 };
        let mut peers = Peers::default();
        assert_eq!(peers.choose(&ring, key, 0), Some(choice(0)));
        peers.failed(&order[0], 0);
        assert_eq!(peers.after(&ring, key, &choice(0), 0), Some(choice(1)));
        assert_eq!(peers.choose(&ring, key, 999), Some(choice(1)));
        peers.failed(&order[1], 500);
        assert_eq!(peers.after(&ring, key, &choice(1), 999), Some(choice(2)));
        assert_eq!(
            (peers.choose(&ring, key, 999), peers.after(&ring, key, &choice(0), 999)),
            (Some(choice(2)), Some(choice(2)))
        );
        assert_eq!(peers.choose(&ring, key, 1000), Some(choice(0)), "a trial");
        assert_eq!(peers.choose(&ring, key, 1000), Some(choice(2)), "one at a time");
        assert!(!peers.have_all_failed(&ring));
        peers.failed(&order[2], 1000);
        assert!(peers.have_all_failed(&ring));
        assert_eq!(peers.choose(&ring, key, 1001), None);
        peers.answered(&order[1]);
        assert_eq!((peers.choose(&ring, key, 1001), peers.have_all_failed(&ring)), (Some(choice(1)), false));
        peers.answered(&order[0]);
        assert_eq!(peers.choose(&ring, key, 1001), Some(choice(0)));
    }

    #[test]
    fn a_stream_that_is_broken_off_counts_when_the_next_one_fails_as_well() {
        let mut peers = Peers::default();
        assert!(!peers.broke_off("a") && !peers.broke_off("b"));
        peers.answered("a");
        assert!(!peers.broke_off("a"), "it answered another one between");
        assert!(peers.broke_off("a") && peers.broke_off("b"));
        peers.failed("a", 0);
        assert!(!peers.broke_off("a"), "that one is over");
    }

    #[test]
    fn who_comes_to_the_ring_again_has_not_failed() {
        let (all, fewer) = (ring(&["a", "b"]), ring(&["a"]));
        let mut peers = Peers::default();
        peers.failed("a", 0);
        peers.failed("b", 0);
        peers.move_on(&all, &fewer);
        peers.move_on(&fewer, &all);
        assert!(!peers.admits("a", 1) && peers.admits("b", 1));
    }

    #[test]
    fn the_last_word_of_each_is_for_the_log() {
        let mut peers = Peers::default();
        assert!(peers.take_news().is_empty());
        (0..100).for_each(|now| peers.failed("a", now));
        assert_eq!(peers.take_news(), [("a".to_owned(), "does not answer: its keys go to the next")]);
        peers.failed("a", 200);
        assert!(peers.take_news().is_empty(), "no news");
        (0..100).for_each(|now| {
            peers.answered("a");
            peers.failed("b", now);
            peers.answered("b");
        });
        assert_eq!(peers.take_news(), [("a".to_owned(), "answers again"), ("b".to_owned(), "answers again")]);
        peers.failed("a", 300);
        peers.clear();
        assert_eq!(peers.take_news(), [("a".to_owned(), "is asked again: a coordinator was heard")]);
        (0..2 * LINES).for_each(|n| peers.failed(&n.to_string(), 400));
        assert_eq!(peers.take_news().len(), LINES);
    }
}
