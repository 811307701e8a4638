//! What coordinators say of themselves: who comes and who leaves says so to its peers, before discovery has seen it.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

use meshcache_protocol::Peer;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// How long a word counts, milliseconds. It is said again every [`AGAIN`] for as long as it is true.
pub const COUNTS: u64 = 10_000;
/// How often a word is said, milliseconds.
pub const AGAIN: u64 = 3000;
/// So many words are remembered: more peers than any ring has.
const MOST: usize = 4096;
/// The longest word, bytes.
pub(crate) const LONGEST: usize = 4096;
/// The longest name of a peer.
const LONGEST_NAME: usize = 253;

/// What a coordinator says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Who says it.
    pub peer: Peer,
    /// What it does.
    pub does: Does,
    /// The sender has answered for keys of the one it tells: who was gone has to ask what it missed.
    #[serde(default)]
    pub stood_in: bool,
    /// The names in its `--peers`. Empty: not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<String>,
}

/// What becomes of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// It serves from now on.
    Join,
    /// It owns no key any more, and still answers.
    Leave,
    /// It answers no more.
    End,
}

impl Word {
    /// What is wrong with it, in a word.
    pub fn problem(&self) -> Option<&'static str> {
        let Peer { name, data, peer } = &self.peer;
        let is_bad = |name: &String| {
            name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        if is_bad(name) || self.list.iter().any(is_bad) {
            return Some("bad-name");
        }
        [data, peer].into_iter().any(|at| at.parse::<SocketAddr>().is_err()).then_some("bad-address")
    }
}

/// The words that count now.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<String, (Peer, Does, u64)>);

impl Told {
    /// Takes a word, unless discovery has seen the change. Whether that may make another ring: most words only say
    /// again what is known.
    pub fn hear(&mut self, peer: Peer, does: Does, discovered: &[Peer], now: u64) -> bool {
        if !is_news(&peer.name, does, discovered) {
            return self.0.remove(&peer.name).is_some();
        }
        let (until, is_full) = (now.saturating_add(COUNTS), self.0.len() >= MOST);
        match self.0.get_mut(&peer.name) {
            Some((known, did, counts)) if *known == peer && *did == does => {
                *counts = until;
                false
            }
            None if is_full => false,
            _ => {
                self.0.insert(peer.name.clone(), (peer, does, until));
                true
            }
        }
    }

    /// Discovery has its say: where it has seen the change, it decides from now on. What nobody has said again is
    /// forgotten. Whether anything was.
    pub fn settle(&mut self, discovered: &[Peer], now: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|name, (_, does, until)| *until > now && is_news(name, *does, discovered));
        before != self.0.len()
    }

    /// What a peer is known to have said last: that it leaves, unless discovery has seen that.
    pub fn leave(&self, name: &str) -> Option<Word> {
        let (peer, does, _) = self.0.get(name).filter(|(_, does, _)| *does != Does::Join)?;
        Some(Word { peer: peer.clone(), does: *does, stood_in: false, list: Vec::new() })
    }

    /// The ring: what discovery has, less who leaves, and who comes. Where discovery knows a peer, its address is
    /// discovery's.
    pub fn ring(&self, discovered: &[Peer]) -> Vec<Peer> {
        let leaves = |peer: &Peer| self.0.get(&peer.name).is_some_and(|(_, does, _)| *does != Does::Join);
        let comes = self
            .0
            .values()
            .filter(|(peer, does, _)| *does == Does::Join && discovered.iter().all(|known| known.name != peer.name));
        discovered.iter().filter(|peer| !leaves(peer)).chain(comes.map(|(peer, ..)| peer)).cloned().collect()
    }
}

/// Whether discovery has not seen it.
fn is_news(name: &str, does: Does, discovered: &[Peer]) -> bool {
    discovered.iter().any(|peer| peer.name == name) != (does == Does::Join)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer { name: name.into(), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() }
    }

    fn names(told: &Told, discovered: &[Peer]) -> String {
        let mut names: Vec<String> = told.ring(discovered).into_iter().map(|peer| peer.name).collect();
        names.sort();
        names.join(",")
    }

    #[test]
    fn who_leaves_is_gone_at_once_and_for_as_long_as_it_says_so() {
        let (mut told, all) = (Told::default(), [peer("a"), peer("b")]);
        told.hear(peer("a"), Does::Leave, &all, 0);
        told.settle(&all, 0);
        assert_eq!(names(&told, &all), "b");
        assert!(!told.hear(peer("a"), Does::Leave, &all, 3000), "nothing new");
        told.settle(&all, 12_999);
        assert_eq!(names(&told, &all), "b");
        told.settle(&all, 13_000);
        assert_eq!(names(&told, &all), "a,b", "nobody has said it again");
        told.hear(peer("a"), Does::Leave, &all, 20_000);
        assert!(told.hear(peer("a"), Does::Join, &all, 20_001));
        told.settle(&all, 20_001);
        assert_eq!(names(&told, &all), "a,b", "it is back");
    }

    #[test]
    fn who_comes_is_there_at_once_and_discovery_decides_when_it_has_seen_it() {
        let (mut told, before, after) = (Told::default(), [peer("a")], [peer("a"), peer("new")]);
        assert!(told.hear(peer("new"), Does::Join, &before, 0));
        assert!(!told.settle(&before, 0));
        assert_eq!(names(&told, &before), "a,new");
        assert!(told.settle(&after, 1) && !told.hear(peer("new"), Does::Join, &after, 1));
        assert_eq!(names(&told, &after), "a,new");
        told.settle(&before, 2);
        assert_eq!(names(&told, &before), "a", "discovery saw it come and go");
        told.hear(peer("new"), Does::Join, &before, 0);
        told.settle(&before, COUNTS);
        assert_eq!(names(&told, &before), "a");
    }

    #[test]
    fn discovery_that_saw_a_leave_may_bring_the_peer_back() {
        let (mut told, all) = (Told::default(), [peer("a"), peer("b")]);
        told.hear(peer("a"), Does::End, &all, 0);
        told.settle(&all[1..], 1);
        told.settle(&all, 2);
        assert_eq!(names(&told, &all), "a,b");
    }

    #[test]
    fn words_are_checked_and_bounded() {
        let word = |name: &str, data: &str| Word {
            peer: Peer { name: name.into(), data: data.into(), peer: "[::1]:1".into() },
            does: Does::Join,
            stood_in: false,
            list: Vec::new(),
        };
        assert_eq!(word("a", "1.2.3.4:5").problem(), None);
        for (name, data, problem) in [
            ("", "1.2.3.4:5", "bad-name"),
            ("a b", "1.2.3.4:5", "bad-name"),
            ("a", "host:5", "bad-address"),
            ("a", "", "bad-address"),
        ] {
            assert_eq!(word(name, data).problem(), Some(problem));
        }
        let mut told = Told::default();
        assert_eq!((0..MOST + 10).filter(|n| told.hear(peer(&n.to_string()), Does::Join, &[], 0)).count(), MOST);
        assert_eq!(told.ring(&[]).len(), MOST);
    }
}
