//! What coordinators announce of themselves: that they join or leave, before discovery has seen it.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps.

use meshcache_protocol::Peer;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// The validity of an announcement, milliseconds. It is repeated every [`INTERVAL`] for as long as it is true.
pub const VALIDITY: u64 = 10_000;
/// The time between two announcements, milliseconds.
pub const INTERVAL: u64 = 3000;
/// The most announcements that are remembered: more peers than any ring has.
const MAX_ANNOUNCEMENTS: usize = 4096;
/// The longest announcement, bytes.
pub(crate) const MAX_BYTES: usize = 4096;
/// The longest name of a peer.
const MAX_NAME: usize = 253;

/// The announcement of a coordinator to one peer. Its JSON names are part of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The sender.
    pub peer: Peer,
    /// The event.
    #[serde(rename = "does")]
    pub event: MembershipEvent,
    /// The sender has answered for keys of the receiver, which has to ask for what it missed.
    #[serde(rename = "stood_in", default)]
    pub covered: bool,
    /// The names in the sender's `--peers`. Empty: not announced.
    #[serde(rename = "list", default, skip_serializing_if = "Vec::is_empty")]
    pub peer_list: Vec<String>,
}

/// A change of a coordinator's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MembershipEvent {
    /// It serves from now on.
    Join,
    /// It owns no keys any more, and still answers.
    Leave,
    /// It answers no more.
    End,
}

impl Announcement {
    /// The label of what is wrong with it, if anything is.
    pub fn problem(&self) -> Option<&'static str> {
        if self.peer_list.iter().any(|name| is_bad_name(name)) {
            return Some("bad-name");
        }
        peer_problem(&self.peer)
    }
}

/// The label of what is wrong with a peer's name or addresses, if anything is.
pub(crate) fn peer_problem(Peer { name, data, peer }: &Peer) -> Option<&'static str> {
    if is_bad_name(name) {
        return Some("bad-name");
    }
    [data, peer].into_iter().any(|at| at.parse::<SocketAddr>().is_err()).then_some("bad-address")
}

/// Whether a text cannot be a peer's name.
pub(crate) fn is_bad_name(name: &str) -> bool {
    name.is_empty() || name.len() > MAX_NAME || name.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The announcements that are valid and that discovery has not seen: of each peer the last, and until when.
#[derive(Debug, Default)]
pub struct Announcements(BTreeMap<String, (Peer, MembershipEvent, u64)>);

impl Announcements {
    /// Records an announcement, unless discovery has seen the change. Returns whether the ring may change: most
    /// announcements repeat earlier ones.
    pub fn record(&mut self, peer: Peer, event: MembershipEvent, discovered: &[Peer], now: u64) -> bool {
        if !is_news(&peer.name, event, discovered) {
            return self.0.remove(&peer.name).is_some();
        }
        let (until, is_full) = (now.saturating_add(VALIDITY), self.0.len() >= MAX_ANNOUNCEMENTS);
        match self.0.get_mut(&peer.name) {
            Some((known, last, valid_until)) if *known == peer && *last == event => {
                *valid_until = until;
                false
            }
            None if is_full => false,
            _ => {
                self.0.insert(peer.name.clone(), (peer, event, until));
                true
            }
        }
    }

    /// Removes announcements that have expired, and those that discovery has seen: it decides from now on. Returns
    /// whether any was removed.
    pub fn expire(&mut self, discovered: &[Peer], now: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|name, (_, event, until)| *until > now && is_news(name, *event, discovered));
        before != self.0.len()
    }

    /// The announcement by which a peer leaves, unless discovery has seen that.
    pub fn departure(&self, name: &str) -> Option<Announcement> {
        let (peer, event, _) = self.0.get(name).filter(|(_, event, _)| *event != MembershipEvent::Join)?;
        Some(Announcement { peer: peer.clone(), event: *event, covered: false, peer_list: Vec::new() })
    }

    /// The peers of the ring: those that discovery has found, without those that leave, and those that join. The
    /// addresses of discovery take precedence.
    pub fn members(&self, discovered: &[Peer]) -> Vec<Peer> {
        let leaves = |peer: &Peer| self.0.get(&peer.name).is_some_and(|(_, event, _)| *event != MembershipEvent::Join);
        let joining = self.0.values().filter(|(peer, event, _)| {
            *event == MembershipEvent::Join && discovered.iter().all(|known| known.name != peer.name)
        });
        discovered.iter().filter(|peer| !leaves(peer)).chain(joining.map(|(peer, ..)| peer)).cloned().collect()
    }
}

/// Whether discovery has not seen an event.
fn is_news(name: &str, event: MembershipEvent, discovered: &[Peer]) -> bool {
    discovered.iter().any(|peer| peer.name == name) != (event == MembershipEvent::Join)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer { name: name.into(), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() }
    }

    fn names(announcements: &Announcements, discovered: &[Peer]) -> String {
        let mut names: Vec<String> = announcements.members(discovered).into_iter().map(|peer| peer.name).collect();
        names.sort();
        names.join(",")
    }

    #[test]
    fn a_peer_that_leaves_is_gone_at_once_and_for_as_long_as_it_announces_it() {
        let (mut announcements, all) = (Announcements::default(), [peer("a"), peer("b")]);
        announcements.record(peer("a"), MembershipEvent::Leave, &all, 0);
        announcements.expire(&all, 0);
        assert_eq!(names(&announcements, &all), "b");
        assert!(!announcements.record(peer("a"), MembershipEvent::Leave, &all, 3000), "nothing new");
        announcements.expire(&all, 12_999);
        assert_eq!(names(&announcements, &all), "b");
        announcements.expire(&all, 13_000);
        assert_eq!(names(&announcements, &all), "a,b", "it was not repeated");
        announcements.record(peer("a"), MembershipEvent::Leave, &all, 20_000);
        assert!(announcements.record(peer("a"), MembershipEvent::Join, &all, 20_001));
        announcements.expire(&all, 20_001);
        assert_eq!(names(&announcements, &all), "a,b", "it is back");
    }

    #[test]
    fn a_peer_that_joins_is_a_member_at_once_and_discovery_decides_when_it_has_seen_it() {
        let (mut announcements, before, after) = (Announcements::default(), [peer("a")], [peer("a"), peer("new")]);
        assert!(announcements.record(peer("new"), MembershipEvent::Join, &before, 0));
        assert!(!announcements.expire(&before, 0));
        assert_eq!(names(&announcements, &before), "a,new");
        assert!(
            announcements.expire(&after, 1) && !announcements.record(peer("new"), MembershipEvent::Join, &after, 1)
        );
        assert_eq!(names(&announcements, &after), "a,new");
        announcements.expire(&before, 2);
        assert_eq!(names(&announcements, &before), "a", "discovery saw it come and go");
        announcements.record(peer("new"), MembershipEvent::Join, &before, 0);
        announcements.expire(&before, VALIDITY);
        assert_eq!(names(&announcements, &before), "a");
    }

    #[test]
    fn discovery_that_saw_a_leave_may_bring_the_peer_back() {
        let (mut announcements, all) = (Announcements::default(), [peer("a"), peer("b")]);
        announcements.record(peer("a"), MembershipEvent::End, &all, 0);
        announcements.expire(&all[1..], 1);
        announcements.expire(&all, 2);
        assert_eq!(names(&announcements, &all), "a,b");
    }

    #[test]
    fn announcements_are_checked_and_bounded() {
        let announcement = |name: &str, data: &str| Announcement {
            peer: Peer { name: name.into(), data: data.into(), peer: "[::1]:1".into() },
            event: MembershipEvent::Join,
            covered: false,
            peer_list: Vec::new(),
        };
        assert_eq!(announcement("a", "1.2.3.4:5").problem(), None);
        for (name, data, problem) in [
            ("", "1.2.3.4:5", "bad-name"),
            ("a b", "1.2.3.4:5", "bad-name"),
            ("a", "host:5", "bad-address"),
            ("a", "", "bad-address"),
        ] {
            assert_eq!(announcement(name, data).problem(), Some(problem));
        }
        let mut announcements = Announcements::default();
        assert_eq!(
            (0..MAX_ANNOUNCEMENTS + 10)
                .filter(|n| announcements.record(peer(&n.to_string()), MembershipEvent::Join, &[], 0))
                .count(),
            MAX_ANNOUNCEMENTS
        );
        assert_eq!(announcements.members(&[]).len(), MAX_ANNOUNCEMENTS);
    }

    #[test]
    fn the_json_is_the_same_in_every_release() {
        let own = Announcement {
            peer: peer("a"),
            event: MembershipEvent::Leave,
            covered: true,
            peer_list: vec!["a".into(), "b".into()],
        };
        let json = serde_json::json!({"peer": peer("a"), "does": "leave", "stood_in": true, "list": ["a", "b"]});
        assert_eq!(serde_json::to_value(&own).unwrap(), json);
        let of_an_older_peer = serde_json::json!({"peer": peer("a"), "does": "join"});
        let read: Announcement = serde_json::from_value(of_an_older_peer).unwrap();
        assert_eq!((read.event, read.covered, read.peer_list.len()), (MembershipEvent::Join, false, 0));
    }
}
