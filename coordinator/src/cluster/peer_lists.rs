//! Whether the lists of `--peers` agree, and who of the own one is not heard. The list stays what it is: people are
//! told.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

use crate::cluster::announcements::{COUNTS, Does, Word};
use crate::telemetry::metrics::UNHEARD;
use std::collections::{BTreeMap, BTreeSet};

/// The most peers whose words are remembered here, and the most problems that are told at once.
const MOST: usize = 4096;

/// What is wrong with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// It is in the own list, and says nothing.
    Unheard,
    /// It is there, or in another's list, and not in the own one.
    NotListedHere,
    /// Its list lacks some of the own one.
    NotListedThere,
}

impl Problem {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unheard => UNHEARD,
            Self::NotListedHere => "not-listed-here",
            Self::NotListedThere => "not-listed-there",
        }
    }
}

/// A problem that has begun, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// With which peer.
    pub peer: String,
    /// What it is.
    pub problem: Problem,
    /// Of [`Problem::NotListedThere`]: who is missing there. `None`: it is over.
    pub begins: Option<String>,
}

/// The own list, and what others say of theirs.
#[derive(Debug)]
pub struct Lists {
    me: String,
    own: BTreeSet<String>,
    since: u64,
    heard: BTreeMap<String, Heard>,
    known: BTreeMap<(String, Problem), String>,
}

/// What a peer has said last.
#[derive(Debug)]
struct Heard {
    at: u64,
    /// Empty: an older peer, which does not say it, or one that ends.
    list: BTreeSet<String>,
    /// It has said that it answers no more.
    ended: bool,
}

impl Lists {
    /// The list of this peer. It is one of them.
    pub fn new(me: &str, own: impl IntoIterator<Item = String>, now: u64) -> Self {
        Self {
            me: me.to_owned(),
            own: own.into_iter().collect(),
            since: now,
            heard: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    /// The names, as the others are told.
    pub fn own(&self) -> Vec<String> {
        self.own.iter().cloned().collect()
    }

    /// Another coordinator has said something.
    pub fn hear(&mut self, word: &Word, now: u64) {
        let name = &word.peer.name;
        if self.heard.len() >= MOST && !self.heard.contains_key(name) {
            return;
        }
        let list = if word.does == Does::Join { word.list.iter().cloned().collect() } else { BTreeSet::new() };
        self.heard.insert(name.clone(), Heard { at: now, list, ended: word.does == Does::End });
    }

    /// What has begun and what is over since it was last asked.
    pub fn settle(&mut self, now: u64) -> Vec<Change> {
        self.heard.retain(|_, heard| heard.at.saturating_add(COUNTS) > now);
        let is = self.problems(now);
        let over = self.known.keys().filter(|key| !is.contains_key(*key)).map(|(peer, problem)| Change {
            peer: peer.clone(),
            problem: *problem,
            begins: None,
        });
        let begun = is.iter().filter(|(key, _)| !self.known.contains_key(*key)).map(|((peer, problem), missing)| {
            Change { peer: peer.clone(), problem: *problem, begins: Some(missing.clone()) }
        });
        let changes = over.chain(begun).collect();
        self.known = is;
        changes
    }

    fn problems(&self, now: u64) -> BTreeMap<(String, Problem), String> {
        let is_late = self.since.saturating_add(COUNTS) <= now;
        let others = self.own.iter().filter(|name| **name != self.me);
        let unheard = others
            .filter(|name| is_late && !self.heard.contains_key(*name))
            .map(|name| ((name.clone(), Problem::Unheard), String::new()));
        let here = self
            .heard
            .iter()
            .filter(|(_, heard)| !heard.ended)
            .flat_map(|(name, heard)| heard.list.iter().chain([name]));
        let here = here
            .filter(|name| !self.own.contains(*name))
            .map(|name| ((name.clone(), Problem::NotListedHere), String::new()));
        let there = self.heard.iter().filter(|(_, heard)| !heard.list.is_empty()).filter_map(|(name, heard)| {
            let missing: Vec<&str> = self.own.difference(&heard.list).map(String::as_str).collect();
            (!missing.is_empty()).then(|| ((name.clone(), Problem::NotListedThere), missing.join(",")))
        });
        unheard.chain(there).chain(here).take(MOST).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::Peer;

    fn lists(me: &str, own: &str) -> Lists {
        Lists::new(me, own.split(',').map(str::to_owned), 0)
    }

    fn says(lists: &mut Lists, name: &str, list: &str, does: Does, now: u64) {
        let peer = Peer { name: name.into(), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() };
        let list = list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        lists.hear(&Word { peer, does, stood_in: false, list }, now);
    }

    fn told(lists: &mut Lists, now: u64) -> Vec<String> {
        let text = |change: Change| match change.begins {
            Some(missing) => format!("{} {} {missing}", change.peer, change.problem.label()).trim().to_owned(),
            None => format!("{} {} over", change.peer, change.problem.label()),
        };
        lists.settle(now).into_iter().map(text).collect()
    }

    #[test]
    fn lists_that_disagree_are_told_once_on_both_sides() {
        let (mut a, mut d) = (lists("a", "a,b,c,d"), lists("d", "a,d"));
        for now in [0, 3000, 6000] {
            ["b", "c"].into_iter().for_each(|peer| says(&mut a, peer, "a,b,c,d", Does::Join, now));
            says(&mut a, "d", "a,d", Does::Join, now);
            ["a", "b", "c"].into_iter().for_each(|peer| says(&mut d, peer, "a,b,c,d", Does::Join, now));
            let (of_a, of_d) = (told(&mut a, now), told(&mut d, now));
            if now == 0 {
                assert_eq!(of_a, ["d not-listed-there b,c"]);
                assert_eq!(of_d, ["b not-listed-here", "c not-listed-here"]);
            } else {
                assert_eq!((of_a.len(), of_d.len()), (0, 0), "once");
            }
        }
        says(&mut a, "d", "a,b,c,d", Does::Join, 9000);
        assert_eq!(told(&mut a, 9000), ["d not-listed-there over"]);
    }

    #[test]
    fn a_peer_of_the_list_that_is_not_heard_is_told_until_it_is() {
        let mut a = lists("a", "a,b");
        assert_eq!(told(&mut a, COUNTS - 1), [""; 0], "it may just be starting");
        assert_eq!(told(&mut a, COUNTS), ["b unheard"]);
        assert_eq!(told(&mut a, 2 * COUNTS), [""; 0], "once");
        says(&mut a, "b", "a,b", Does::Join, 30_000);
        assert_eq!(told(&mut a, 30_000), ["b unheard over"]);
        assert_eq!(told(&mut a, 30_000 + COUNTS), ["b unheard"], "it was killed");
    }

    #[test]
    fn who_ends_and_whom_nobody_names_any_more_is_forgotten() {
        let mut a = lists("a", "a");
        says(&mut a, "x", "", Does::Join, 0);
        assert_eq!(told(&mut a, 0), ["x not-listed-here"], "one that is older and does not tell its list");
        says(&mut a, "x", "a,x", Does::End, 1);
        assert_eq!(told(&mut a, 1), ["x not-listed-here over"]);
        says(&mut a, "y", "a,y,z", Does::Join, 2);
        assert_eq!(told(&mut a, 2), ["y not-listed-here", "z not-listed-here"]);
        assert_eq!(told(&mut a, 2 + COUNTS), ["y not-listed-here over", "z not-listed-here over"]);
    }
}
