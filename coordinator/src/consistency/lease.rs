//! Whether this coordinator may answer from its store: it does so only while it hears what others purge.
//!
//! An answer to a question sent at t tells all that its sender had purged by t, and is good until t + [`LAST`]. A purge
//! waits longer than that for a peer before it names it as unreached. So who sleeps, or is cut off, has stopped giving
//! old answers by then: no message has to reach it. The clock goes on while the machine sleeps, and nobody else's is
//! looked at.
//!
//! A peer that refuses connections purges nothing. One that is silent may be dead, frozen, or cut off from us: as long
//! as most of the peers hear each other they go on without it, and it, in the minority, does not.

use crate::bounded_lru::bounded_lru;
use lru::LruCache;
use meshcache_protocol as protocol;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

/// How long an answer of a peer is good for, milliseconds.
pub(crate) const LAST: u64 = 1500;

/// How long those who hear most of their peers wait for the others, who may know what these do not, before they empty
/// their stores, milliseconds.
const HOPE: u64 = 1000;

/// With more peers than these that is worked out every so many milliseconds, and not at each answer: it looks at all of
/// them.
const MANY: usize = 64;
const OFTEN: u64 = 100;

/// So many listeners are remembered: more than any ring has.
const MOST: usize = 4096;
/// So many purges are remembered that somebody has told of and that are not known here: more than a position has
/// sources.
const STRANGE: usize = 4096;
/// The same of those that came without a right mark. More, since anybody may make them up: who floods it makes others
/// wait anew.
const UNPROVEN: usize = 16_384;

/// Until when this coordinator is sure to know all purges.
pub(crate) struct Lease {
    until: AtomicU64,
    peers: Mutex<Peers>,
    /// Who has asked here, and when: its own lease may rest on our answer, whether it is in our ring or not.
    listeners: Mutex<HashMap<String, (protocol::Peer, u64)>>,
    /// Purges that are not known here, by source and number, and when somebody first told of them.
    strange: Mutex<LruCache<(String, u64), u64>>,
    /// The same of those that anybody may have made up. They empty nothing, and displace none of the others.
    unproven: Mutex<LruCache<(String, u64), u64>>,
    /// Sources and numbers up to which what they purged was given up: the store was emptied since.
    given_up: Mutex<LruCache<String, u64>>,
}

#[derive(Debug, Default)]
struct Peers {
    all: HashMap<String, Peer>,
    /// When it was last worked out until when the lease is good.
    looked: u64,
    /// Since when most of them are heard again, after the lease had ended.
    awake: Option<u64>,
}

/// What is known of a peer. Times are those at which questions were sent.
#[derive(Debug, Default)]
struct Peer {
    heard: Option<u64>,
    refused: Option<u64>,
    /// Whether its own lease held when it answered last.
    holds: bool,
    /// The source that answered last.
    source: String,
    /// The same when the lease last held: another one now has forgotten what was purged before.
    before: String,
}

/// What hearing of a peer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The lease holds, or does not yet.
    Quiet,
    /// The lease holds again, after so many milliseconds.
    Back(u64),
    /// The lease would hold again. But those who are heard do not know what was purged meanwhile: they have started
    /// anew, or have lost their own. The store has to be emptied, and [`Lease::emptied`] said.
    Empty,
}

impl Default for Lease {
    /// The lease of one who has no peers: forever.
    fn default() -> Self {
        let [strange, unproven] = [STRANGE, UNPROVEN].map(|most| Mutex::new(bounded_lru(most)));
        let given_up = Mutex::new(bounded_lru(STRANGE));
        Self {
            until: AtomicU64::new(u64::MAX),
            peers: Mutex::default(),
            listeners: Mutex::default(),
            strange,
            unproven,
            given_up,
        }
    }
}

impl Lease {
    /// Whether it holds.
    pub(crate) fn holds(&self, now: u64) -> bool {
        now < self.until.load(SeqCst)
    }

    /// Somebody asks what was purged here. Said before it is looked up: who purges after that tells it.
    pub(crate) fn is_asked(&self, by: &protocol::Peer, now: u64) {
        let mut listeners = self.listeners.lock();
        if let Some((peer, at)) = listeners.get_mut(&by.name) {
            *at = now;
            if peer != by {
                peer.clone_from(by);
            }
            return;
        }
        if listeners.len() >= MOST {
            listeners.retain(|_, (_, at)| now < at.saturating_add(LAST));
        }
        if listeners.len() < MOST {
            listeners.insert(by.name.clone(), (by.clone(), now));
        }
    }

    /// Those who may still answer because of what they were told here.
    pub(crate) fn listeners(&self, now: u64) -> Vec<protocol::Peer> {
        let listeners = self.listeners.lock();
        let mut there: Vec<_> =
            listeners.values().filter(|(_, at)| now < at.saturating_add(LAST)).map(|(peer, _)| peer.clone()).collect();
        there.sort_by(|a, b| a.name.cmp(&b.name));
        there
    }

    /// Whether nobody can tell any more of a purge that somebody has told of: its source is none of those who are
    /// there, and all of them have been heard since, and what they know with them; all others have refused since.
    /// Or it was given up.
    pub(crate) fn is_lost(&self, source: &str, n: u64, now: u64) -> bool {
        let since = *self.strange.lock().get_or_insert((source.to_owned(), n), || now);
        let is_given_up = self.given_up.lock().get(source).is_some_and(|last| n <= *last);
        is_given_up || self.peers.lock().all.values().all(|peer| peer.has_no_word(source, since, now))
    }

    /// The same of a purge that anybody may have made up: every peer that is there has been heard since it was first
    /// told of, and what they know with them. Its source, too, if that is one of them: what it has numbered it
    /// would have told.
    pub(crate) fn is_unheard_of(&self, source: &str, n: u64, now: u64) -> bool {
        let since = *self.unproven.lock().get_or_insert((source.to_owned(), n), || now);
        let is_given_up = self.given_up.lock().peek(source).is_some_and(|last| n <= *last);
        is_given_up || self.peers.lock().all.values().all(|peer| peer.is_heard_since(since, now))
    }

    /// The purges that somebody told of a while ago and that only peers may know that are silent since: for as long as
    /// these are, nothing could be answered from the store. It is to be emptied instead, and that said.
    pub(crate) fn hopeless(&self, now: u64) -> Vec<(String, u64)> {
        let (peers, strange, given_up) = (self.peers.lock(), self.strange.lock(), self.given_up.lock());
        if strange.is_empty() || !self.holds(now) || peers.all(now) > now {
            return Vec::new();
        }
        let is_silent = |peer: &Peer, since| peer.is_there(now) && peer.until() <= now && peer.heard <= Some(since);
        let is_hopeless = |source: &str, since: u64| {
            let mut waits = peers.all.values().filter(|peer| !peer.has_no_word(source, since, now)).peekable();
            now >= since.saturating_add(HOPE) && waits.peek().is_some() && waits.all(|peer| is_silent(peer, since))
        };
        let is_new = |source: &String, n: u64| given_up.peek(source).is_none_or(|last| *last < n);
        let hopeless = strange.iter().filter(|((source, n), since)| is_new(source, *n) && is_hopeless(source, **since));
        hopeless.map(|(purge, _)| purge.clone()).collect()
    }

    /// The store was emptied: nothing in it is older than these purges.
    pub(crate) fn give_up(&self, purges: &[(String, u64)]) {
        let mut given_up = self.given_up.lock();
        for (source, n) in purges {
            let last = given_up.get(source).copied().unwrap_or(0);
            given_up.put(source.clone(), last.max(*n));
        }
    }

    /// These are the other peers. One that is new has to be heard before long. Where the last one goes that could have
    /// told what was purged since the lease ended, the store has to be emptied.
    pub(crate) fn set_peers<'a>(&self, names: impl Iterator<Item = &'a str>, now: u64) -> Renewal {
        let mut peers = self.peers.lock();
        let mut old = std::mem::take(&mut peers.all);
        peers.all = names.map(|name| (name.to_owned(), old.remove(name).unwrap_or_default())).collect();
        let until = match (peers.all.is_empty(), self.until.load(SeqCst)) {
            (true, before) if now >= before => return Renewal::Empty,
            (true, _) => u64::MAX,
            (false, u64::MAX) => now.saturating_add(LAST),
            // What held goes on as long as it would have. What did not is for the next answer to mend.
            (false, before) => before,
        };
        self.until.store(until, SeqCst);
        Renewal::Quiet
    }

    /// A peer has answered a question that was sent then, and all that it told was carried out here. `holds`: its own
    /// lease did.
    pub(crate) fn heard(&self, name: &str, sent: u64, source: &str, holds: bool, now: u64) -> Renewal {
        self.note(name, now, |peer| {
            peer.heard = peer.heard.max(Some(sent));
            peer.refused = None;
            peer.holds = holds;
            source.clone_into(&mut peer.source);
        })
    }

    /// A peer has refused a connection: there is nobody.
    pub(crate) fn refused(&self, name: &str, sent: u64, now: u64) -> Renewal {
        self.note(name, now, |peer| peer.refused = peer.refused.max(Some(sent)))
    }

    /// The store is empty: nothing in it can have been purged.
    pub(crate) fn emptied(&self, now: u64) {
        let mut peers = self.peers.lock();
        let until = peers.sure(now).max(peers.most(now, |_| true));
        self.renew(&mut peers, until);
    }

    fn note(&self, name: &str, now: u64, note: impl FnOnce(&mut Peer)) -> Renewal {
        let mut peers = self.peers.lock();
        let Some(peer) = peers.all.get_mut(name) else { return Renewal::Quiet };
        note(peer);
        let before = self.until.load(SeqCst);
        if now < before {
            peer.remember();
        }
        // With many peers the next answer is never far: soon enough before the lease ends.
        if peers.all.len() > MANY && now < peers.looked.saturating_add(OFTEN) && now.saturating_add(2 * OFTEN) < before
        {
            return Renewal::Quiet;
        }
        peers.looked = now;
        let until = peers.sure(now);
        if now < before {
            peers.awake = None;
            self.until.store(until.max(before), SeqCst);
            return Renewal::Quiet;
        }
        if peers.most(now, |_| true) <= now {
            peers.awake = None;
            return Renewal::Quiet;
        }
        let awake = *peers.awake.get_or_insert(now);
        if until > now && peers.remember(now) {
            self.renew(&mut peers, until);
            return Renewal::Back(now.saturating_sub(before));
        }
        // Whoever is there and was not heard yet may know.
        if peers.all(now) > now || now >= awake.saturating_add(HOPE) { Renewal::Empty } else { Renewal::Quiet }
    }

    fn renew(&self, peers: &mut Peers, until: u64) {
        peers.all.values_mut().for_each(Peer::remember);
        peers.awake = None;
        self.until.store(until, SeqCst);
    }
}

impl Peers {
    /// Until when all who may be there are heard, or most of them and those are sure themselves.
    fn sure(&self, now: u64) -> u64 {
        self.all(now).max(self.most(now, |peer| peer.holds))
    }

    /// Until when all who may be there are heard.
    fn all(&self, now: u64) -> u64 {
        let all = self.all.values().filter(|peer| peer.is_there(now)).map(Peer::until).min();
        all.unwrap_or(u64::MAX).min(self.gone(now))
    }

    /// Until when most of those who may be there are heard.
    fn most(&self, now: u64, counts: impl Fn(&Peer) -> bool) -> u64 {
        let mut there: Vec<u64> = self
            .all
            .values()
            .filter(|peer| peer.is_there(now))
            .map(|peer| if counts(peer) { peer.until() } else { 0 })
            .collect();
        there.sort_unstable_by(|a, b| b.cmp(a));
        // More than half, this one counted: so many others.
        let others = there.len().div_ceil(2);
        others.checked_sub(1).and_then(|last| there.get(last).copied()).unwrap_or(u64::MAX).min(self.gone(now))
    }

    /// Until when it is known that those who are gone are.
    fn gone(&self, now: u64) -> u64 {
        self.all
            .values()
            .filter(|peer| !peer.is_there(now))
            .filter_map(|peer| peer.refused)
            .map(|at| at.saturating_add(LAST))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether most of those who may be there, this one among them, know what was purged since the lease last held. Who
    /// has lost its own knows what it purged itself: that is enough only where nobody is missing.
    fn remember(&self, now: u64) -> bool {
        let there = self.all.values().filter(|peer| peer.is_there(now)).count();
        let is_whole = self.all.values().all(|peer| peer.until() > now);
        let knows = |peer: &&Peer| peer.until() > now && peer.source == peer.before && (peer.holds || is_whole);
        let remember = self.all.values().filter(knows).count();
        there > 0 && 2 * (1 + remember) > 1 + there
    }
}

impl Peer {
    /// The lease holds, or does again: with whom.
    fn remember(&mut self) {
        if self.before != self.source {
            self.before.clone_from(&self.source);
        }
    }

    fn until(&self) -> u64 {
        self.heard.map_or(0, |at| at.saturating_add(LAST))
    }

    /// Whether it was heard, or has refused, since then, and does not number the purges of this source itself.
    fn has_no_word(&self, source: &str, since: u64, now: u64) -> bool {
        self.is_heard_since(since, now) && !(self.is_there(now) && self.source == source)
    }

    fn is_heard_since(&self, since: u64, now: u64) -> bool {
        if self.is_there(now) { self.heard > Some(since) } else { self.refused > Some(since) }
    }

    /// Whether it may be there: it does not refuse.
    fn is_there(&self, now: u64) -> bool {
        !self.refused.is_some_and(|at| now < at.saturating_add(LAST) && self.heard.is_none_or(|heard| heard <= at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(peers: &[&str]) -> Lease {
        let lease = Lease::default();
        lease.set_peers(peers.iter().copied(), 0);
        lease
    }

    #[test]
    fn alone_it_holds_forever_and_with_peers_only_while_they_are_heard() {
        assert!(lease(&[]).holds(u64::MAX - 1));
        let pair = lease(&["b"]);
        assert_eq!(pair.heard("b", 100, "b.1", true, 110), Renewal::Quiet);
        assert!(pair.holds(100 + LAST - 1) && !pair.holds(100 + LAST), "counted from when it was asked");
        assert_eq!(pair.heard("b", 50, "b.1", true, 120), Renewal::Quiet, "a late answer to an early question");
        assert!(pair.holds(100 + LAST - 1));
        assert_eq!(pair.heard("b", 5000, "b.1", true, 5010), Renewal::Back(5010 - 100 - LAST));
    }

    #[test]
    fn who_has_asked_is_told_for_as_long_as_an_answer_is_good_for() {
        let (lease, peer) =
            (lease(&[]), |name: &str| protocol::Peer { name: name.into(), data: String::new(), peer: String::new() });
        lease.is_asked(&peer("b"), 0);
        lease.is_asked(&peer("c"), 1000);
        let names = |now| lease.listeners(now).into_iter().map(|peer| peer.name).collect::<Vec<_>>();
        assert_eq!(
            (names(LAST - 1), names(LAST), names(1000 + LAST)),
            (vec!["b".into(), "c".into()], vec!["c".into()], vec![])
        );
    }

    #[test]
    fn who_refuses_is_not_waited_for_and_who_is_silent_is_outvoted() {
        let three = lease(&["b", "c"]);
        three.heard("b", 1000, "b.1", true, 1000);
        three.heard("c", 1000, "c.1", true, 1000);
        // c freezes: b is enough.
        three.heard("b", 2400, "b.1", true, 2400);
        assert!(three.holds(2400 + LAST - 1), "two of three");
        // b falls silent, too.
        assert!(!three.holds(2400 + LAST));
        // b is dead: of two that may be there one is not most.
        assert_eq!(three.refused("b", 4000, 4000), Renewal::Quiet);
        assert!(!three.holds(4000));
        assert_eq!(three.heard("c", 4100, "c.1", true, 4100), Renewal::Back(200));
        assert!(three.holds(4000 + LAST - 1) && !three.holds(4000 + LAST), "as long as it is known that b is gone");
        three.refused("c", 4200, 4200);
        three.refused("b", 4300, 4300);
        assert!(three.holds(4200 + LAST - 1), "nobody is there but this one");
    }

    #[test]
    fn who_cannot_be_told_what_it_missed_empties_its_store() {
        let pair = lease(&["b"]);
        pair.heard("b", 100, "b.1", true, 100);
        assert_eq!(pair.heard("b", 9000, "b.2", true, 9000), Renewal::Empty, "it has started anew");
        assert!(!pair.holds(9000));
        pair.emptied(9010);
        assert!(pair.holds(9010));
        assert_eq!(pair.heard("b", 20_000, "b.2", true, 20_000), Renewal::Back(20_000 - 9000 - LAST));
        assert_eq!(pair.refused("b", 40_000, 40_000), Renewal::Empty, "what it purged before it went is not known");

        let three = lease(&["b", "c"]);
        three.heard("b", 100, "b.1", true, 100);
        three.heard("c", 100, "c.1", true, 100);
        assert_eq!(three.heard("c", 9000, "c.2", true, 9000), Renewal::Quiet, "only one who started anew; b may know");
        assert!(matches!(three.heard("b", 9000, "b.1", true, 9010), Renewal::Back(_)), "one who did not has all");
        three.heard("c", 19_000, "c.3", true, 19_000);
        assert_eq!(three.heard("b", 19_000, "b.2", true, 19_010), Renewal::Empty, "all are there, and none knows");
    }

    #[test]
    fn those_who_slept_together_wait_for_one_who_did_not() {
        let three = lease(&["b", "c"]);
        three.heard("b", 100, "b.1", true, 100);
        three.heard("c", 100, "c.1", true, 100);
        assert_eq!(three.heard("b", 9000, "b.1", false, 9000), Renewal::Quiet, "b does not know either");
        assert!(matches!(three.heard("c", 9100, "c.1", true, 9100), Renewal::Back(_)));

        let three = lease(&["b", "c"]);
        three.heard("b", 100, "b.1", true, 100);
        three.heard("c", 100, "c.1", true, 100);
        three.heard("b", 9000, "b.1", false, 9000);
        assert_eq!(three.heard("b", 9999, "b.1", false, 9999), Renewal::Quiet);
        assert_eq!(three.heard("b", 10_000, "b.1", false, 10_000), Renewal::Empty, "c stays silent");
        three.emptied(10_000);
        assert!(three.holds(10_001));

        let three = lease(&["b", "c"]);
        three.heard("b", 9000, "b.1", false, 9000);
        assert!(
            matches!(three.heard("c", 9000, "c.1", false, 9000), Renewal::Back(_) | Renewal::Empty),
            "all are there"
        );
    }

    #[test]
    fn those_who_were_cut_off_together_keep_their_stores_when_the_others_are_heard_again() {
        let five = lease(&["b", "c", "d", "e"]);
        for at in (0..=3000).step_by(500) {
            for peer in ["b", "c", "d", "e"] {
                five.heard(peer, at, "1", true, at);
            }
        }
        // With b it is cut off for long.
        for at in (3500..=9000).step_by(500) {
            assert_eq!(five.heard("b", at, "1", at < 4500, at), Renewal::Quiet);
        }
        assert!(!five.holds(9000));
        assert_eq!(five.heard("c", 9100, "1", true, 9110), Renewal::Quiet, "one of three who hold");
        assert!(
            matches!(five.heard("d", 9100, "1", true, 9120), Renewal::Back(_)),
            "most of five know what was purged"
        );
    }

    #[test]
    fn a_peer_that_comes_is_waited_for_and_one_that_goes_is_not() {
        let two = lease(&["b"]);
        two.heard("b", 1000, "b.1", true, 1000);
        two.set_peers(["b", "c", "d"].into_iter(), 1100);
        assert!(two.holds(1100) && !two.holds(1000 + LAST), "as long as before");
        two.heard("c", 2000, "c.1", true, 2000);
        two.heard("b", 2000, "b.1", true, 2000);
        assert!(two.holds(2000 + LAST - 1), "three of four");
        assert_eq!(two.set_peers(std::iter::empty(), 3000), Renewal::Quiet);
        assert!(two.holds(u64::MAX - 1), "what they purged is known");

        let pair = lease(&["b"]);
        pair.heard("b", 1000, "b.1", true, 1000);
        assert_eq!(
            pair.set_peers(std::iter::empty(), 9999),
            Renewal::Empty,
            "what b purged since, nobody knows any more"
        );
        assert!(!pair.holds(9999));
        pair.emptied(9999);
        assert!(pair.holds(u64::MAX - 1));
    }

    #[test]
    fn who_slept_together_does_not_speak_for_one_who_is_gone() {
        let three = lease(&["b", "c"]);
        three.heard("b", 100, "b.1", true, 100);
        three.heard("c", 100, "c.1", true, 100);
        three.heard("c", 9000, "c.1", false, 9000);
        assert_eq!(three.refused("b", 9010, 9010), Renewal::Empty, "b may have purged while both slept");
    }

    #[test]
    fn a_purge_is_lost_when_all_who_are_there_were_heard_since_and_none_is_its_source() {
        assert!(lease(&[]).is_lost("x.1", 1, 5), "there is nobody to ask");
        let three = lease(&["b", "c"]);
        three.heard("b", 100, "b.1", true, 100);
        three.heard("c", 100, "c.1", true, 100);
        assert!(!three.is_lost("x.1", 1, 200), "they may know it by now");
        three.heard("b", 300, "b.1", true, 300);
        assert!(!three.is_lost("x.1", 1, 300), "c may");
        three.heard("c", 300, "c.2", true, 300);
        assert!(three.is_lost("x.1", 1, 300) && !three.is_lost("x.1", 2, 300), "another purge is another question");
        three.is_lost("c.2", 7, 300);
        three.heard("b", 400, "b.1", true, 400);
        three.heard("c", 400, "c.2", true, 400);
        assert!(!three.is_lost("c.2", 7, 400), "c is there, and will tell");
        three.refused("c", 500, 500);
        assert!(three.is_lost("c.2", 7, 500), "c is gone");
        assert!(!three.is_lost("c.2", 8, 501), "or was, when it was last asked");
    }

    #[test]
    fn a_purge_that_only_a_silent_peer_can_tell_of_is_given_up_for_an_empty_store() {
        let three = lease(&["b", "c"]);
        let hear = |names: &[&str], at| {
            for name in names {
                three.heard(name, at, &format!("{name}.1"), true, at);
            }
        };
        hear(&["b", "c"], 1000);
        assert!(!three.is_lost("x.1", 3, 1100) && !three.is_lost("b.1", 7, 1100) && !three.is_lost("c.1", 9, 1100));
        hear(&["b"], 2000);
        assert_eq!(three.hopeless(2000 + 100), [], "c may still tell");
        hear(&["b"], 3000);
        let hopeless = three.hopeless(3000);
        assert_eq!(hopeless.len(), 2, "c is silent; b is there, and will tell: {hopeless:?}");
        assert!(!three.is_lost("x.1", 3, 3000), "not before the store is empty");
        three.give_up(&hopeless);
        assert!(three.is_lost("x.1", 3, 3000) && three.is_lost("x.1", 2, 3000) && !three.is_lost("x.1", 4, 3000));
        assert!(three.is_lost("c.1", 9, 3000) && !three.is_lost("b.1", 7, 3000));
        assert_eq!(three.hopeless(3000), [], "once is enough");
        assert!(!three.is_lost("y.1", 1, 3100));
        hear(&["b", "c"], 3200);
        assert!(three.is_lost("y.1", 1, 3200), "c was heard: nobody knows of that one");
        hear(&["b"], 9000);
        assert_eq!(three.hopeless(9000), []);
    }

    #[test]
    fn what_anybody_may_have_made_up_is_lost_once_every_peer_was_heard_and_gives_nothing_up() {
        assert!(lease(&[]).is_unheard_of("x.1", 1, 5), "there is nobody to ask");
        let three = lease(&["b", "c"]);
        let hear = |names: &[&str], at| {
            for name in names {
                three.heard(name, at, &format!("{name}.1"), true, at);
            }
        };
        hear(&["b", "c"], 1000);
        assert!(!three.is_unheard_of("x.1", 1, 1100) && !three.is_unheard_of("b.1", 99, 1100));
        // c is silent: it may know, for as long as it is there.
        for at in (1500..=9000).step_by(500) {
            hear(&["b"], at);
            assert_eq!(
                (three.hopeless(at), three.is_unheard_of("x.1", 1, at), three.holds(at)),
                (vec![], false, true),
                "{at}"
            );
        }
        hear(&["b", "c"], 9100);
        assert!(three.is_unheard_of("x.1", 1, 9100), "nobody knows of it");
        assert!(three.is_unheard_of("b.1", 99, 9100), "not even who would have numbered it");
        assert!(!three.is_unheard_of("x.1", 2, 9100), "another one is another question");
        three.refused("c", 9200, 9200);
        hear(&["b"], 9300);
        assert!(three.is_unheard_of("x.1", 2, 9300), "c is gone");
    }

    #[test]
    fn a_flood_of_made_up_numbers_displaces_none_of_those_that_a_coordinator_has_told() {
        let three = lease(&["b", "c"]);
        for at in [1000, 2000] {
            three.heard("b", at, "b.1", true, at);
        }
        assert!(!three.is_lost("x.1", 3, 2100));
        for n in 1..=2 * UNPROVEN as u64 {
            assert!(!three.is_unheard_of("made-up", n, 2100));
        }
        assert_eq!(three.unproven.lock().len(), UNPROVEN);
        for at in [2600, 3200] {
            three.heard("b", at, "b.1", true, at);
        }
        assert_eq!(three.hopeless(3200), [("x.1".to_owned(), 3)]);
    }

    #[test]
    fn nothing_is_given_up_by_one_who_is_cut_off() {
        let three = lease(&["b", "c"]);
        three.heard("b", 1000, "b.1", true, 1000);
        assert!(!three.is_lost("x.1", 3, 1100));
        assert_eq!((three.holds(5000), three.hopeless(5000)), (false, vec![]));
    }
}
