//! Whether the lists of `--peers` agree, and which of their peers announce nothing. The list stays as it is: the log
//! and a metric show its problems.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

use crate::{
    cluster::announcements::{Announcement, MembershipEvent, VALIDITY},
    telemetry::metrics::UNHEARD,
};
use std::collections::{BTreeMap, BTreeSet};

/// The most peers whose lists are remembered, and the most problems at once.
const MAX_PEERS: usize = 4096;

/// A problem with a peer of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListProblem {
    /// It is in the own list, and announces nothing.
    Unheard,
    /// It announces itself, or is in another's list, and is not in the own one.
    NotListedHere,
    /// Its list lacks some names of the own one.
    NotListedThere,
}

impl ListProblem {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unheard => UNHEARD,
            Self::NotListedHere => "not-listed-here",
            Self::NotListedThere => "not-listed-there",
        }
    }
}

/// A problem that has begun or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListChange {
    /// The peer.
    pub peer: String,
    /// The problem.
    pub problem: ListProblem,
    /// The names that are missing there, of [`ListProblem::NotListedThere`]. `None`: it has ended.
    pub begins: Option<String>,
}

/// The own list, and those that peers announce.
#[derive(Debug)]
pub struct PeerLists {
    me: String,
    own: BTreeSet<String>,
    since: u64,
    announced: BTreeMap<String, AnnouncedList>,
    problems: BTreeMap<(String, ListProblem), String>,
}

/// The last announcement of a peer.
#[derive(Debug)]
struct AnnouncedList {
    at: u64,
    /// Empty: the peer is of an older version, or ends.
    list: BTreeSet<String>,
    /// The peer has announced its end.
    ended: bool,
}

impl PeerLists {
    /// The own list. `me`: the name of this peer, which is in it.
    pub fn new(me: &str, own: impl IntoIterator<Item = String>, now: u64) -> Self {
        Self {
            me: me.to_owned(),
            own: own.into_iter().collect(),
            since: now,
            announced: BTreeMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// The names of the own list.
    pub fn own(&self) -> Vec<String> {
        self.own.iter().cloned().collect()
    }

    /// Records an announcement of a peer.
    pub fn record(&mut self, announcement: &Announcement, now: u64) {
        let (name, event) = (&announcement.peer.name, announcement.event);
        if self.announced.len() >= MAX_PEERS && !self.announced.contains_key(name) {
            return;
        }
        let list = if event == MembershipEvent::Join {
            announcement.peer_list.iter().cloned().collect()
        } else {
            BTreeSet::new()
        };
        self.announced.insert(name.clone(), AnnouncedList { at: now, list, ended: event == MembershipEvent::End });
    }

    /// Takes the problems that have begun or ended since the last call.
    pub fn take_changes(&mut self, now: u64) -> Vec<ListChange> {
        self.announced.retain(|_, announced| announced.at.saturating_add(VALIDITY) > now);
        let present = self.present_problems(now);
        let ended = self.problems.keys().filter(|key| !present.contains_key(*key)).map(|(peer, problem)| ListChange {
            peer: peer.clone(),
            problem: *problem,
            begins: None,
        });
        let begun =
            present.iter().filter(|(key, _)| !self.problems.contains_key(*key)).map(|((peer, problem), missing)| {
                ListChange { peer: peer.clone(), problem: *problem, begins: Some(missing.clone()) }
            });
        let changes = ended.chain(begun).collect();
        self.problems = present;
        changes
    }

    fn present_problems(&self, now: u64) -> BTreeMap<(String, ListProblem), String> {
        let is_late = self.since.saturating_add(VALIDITY) <= now;
        let others = self.own.iter().filter(|name| **name != self.me);
        let unheard = others
            .filter(|name| is_late && !self.announced.contains_key(*name))
            .map(|name| ((name.clone(), ListProblem::Unheard), String::new()));
        let here = self
            .announced
            .iter()
            .filter(|(_, announced)| !announced.ended)
            .flat_map(|(name, announced)| announced.list.iter().chain([name]));
        let here = here
            .filter(|name| !self.own.contains(*name))
            .map(|name| ((name.clone(), ListProblem::NotListedHere), String::new()));
        let there = self.announced.iter().filter(|(_, announced)| !announced.list.is_empty()).filter_map(
            |(name, announced)| {
                let missing: Vec<&str> = self.own.difference(&announced.list).map(String::as_str).collect();
                (!missing.is_empty()).then(|| ((name.clone(), ListProblem::NotListedThere), missing.join(",")))
            },
        );
        unheard.chain(there).chain(here).take(MAX_PEERS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::Peer;

    fn lists(me: &str, own: &str) -> PeerLists {
        PeerLists::new(me, own.split(',').map(str::to_owned), 0)
    }

    fn announce(lists: &mut PeerLists, name: &str, list: &str, event: MembershipEvent, now: u64) {
        let peer = Peer { name: name.into(), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() };
        let peer_list = list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        lists.record(&Announcement { peer, event, covered: false, peer_list }, now);
    }

    fn changes(lists: &mut PeerLists, now: u64) -> Vec<String> {
        let text = |change: ListChange| match change.begins {
            Some(missing) => format!("{} {} {missing}", change.peer, change.problem.label()).trim().to_owned(),
            None => format!("{} {} ended", change.peer, change.problem.label()),
        };
        lists.take_changes(now).into_iter().map(text).collect()
    }

    #[test]
    fn lists_that_disagree_are_reported_once_on_both_sides() {
        let (mut a, mut d) = (lists("a", "a,b,c,d"), lists("d", "a,d"));
        for now in [0, 3000, 6000] {
            ["b", "c"].into_iter().for_each(|peer| announce(&mut a, peer, "a,b,c,d", MembershipEvent::Join, now));
            announce(&mut a, "d", "a,d", MembershipEvent::Join, now);
            ["a", "b", "c"].into_iter().for_each(|peer| announce(&mut d, peer, "a,b,c,d", MembershipEvent::Join, now));
            let (of_a, of_d) = (changes(&mut a, now), changes(&mut d, now));
            if now == 0 {
                assert_eq!(of_a, ["d not-listed-there b,c"]);
                assert_eq!(of_d, ["b not-listed-here", "c not-listed-here"]);
            } else {
                assert_eq!((of_a.len(), of_d.len()), (0, 0), "once");
            }
        }
        announce(&mut a, "d", "a,b,c,d", MembershipEvent::Join, 9000);
        assert_eq!(changes(&mut a, 9000), ["d not-listed-there ended"]);
    }

    #[test]
    fn a_peer_of_the_list_that_announces_nothing_is_a_problem_until_it_does() {
        let mut a = lists("a", "a,b");
        assert_eq!(changes(&mut a, VALIDITY - 1), [""; 0], "it may just be starting");
        assert_eq!(changes(&mut a, VALIDITY), ["b unheard"]);
        assert_eq!(changes(&mut a, 2 * VALIDITY), [""; 0], "once");
        announce(&mut a, "b", "a,b", MembershipEvent::Join, 30_000);
        assert_eq!(changes(&mut a, 30_000), ["b unheard ended"]);
        assert_eq!(changes(&mut a, 30_000 + VALIDITY), ["b unheard"], "it was killed");
    }

    #[test]
    fn a_peer_that_ends_and_one_that_no_list_names_any_more_are_forgotten() {
        let mut a = lists("a", "a");
        announce(&mut a, "x", "", MembershipEvent::Join, 0);
        assert_eq!(changes(&mut a, 0), ["x not-listed-here"], "a peer of an older version, without a list");
        announce(&mut a, "x", "a,x", MembershipEvent::End, 1);
        assert_eq!(changes(&mut a, 1), ["x not-listed-here ended"]);
        announce(&mut a, "y", "a,y,z", MembershipEvent::Join, 2);
        assert_eq!(changes(&mut a, 2), ["y not-listed-here", "z not-listed-here"]);
        assert_eq!(changes(&mut a, 2 + VALIDITY), ["y not-listed-here ended", "z not-listed-here ended"]);
    }
}
