//! Before anything is answered from the store: whether all purges are known that others have carried out.

use crate::{
    clock,
    consistency::{
        messages::{Answer, Question},
        state::Consistency,
    },
};
use meshcache_protocol::{
    Peer,
    mark::{self, Mark},
    purge::Position,
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::timeout;

/// How long a request waits for what is missing. It is a question and an answer away, if it is to be had at all.
const WAIT: Duration = Duration::from_millis(200);
/// Where it was not to be had, nobody waits again for so long. Milliseconds.
const REST: u64 = 1000;

/// The most purges that one is told of who catches up: beyond it emptying is quicker.
const MOST: usize = 10_000;

/// Of how many sources an asker tells at the most; more are made up.
const TOLD: usize = 16;

/// Up to where an asker says that it has heard of purges, as the text of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim<'a> {
    /// A coordinator says so: it is believed.
    Peer(&'a str),
    /// Anybody may say so who reaches the data port. A coordinator has told of the numbers with a right mark, and of no
    /// other for sure.
    Anybody {
        /// The position.
        purges: &'a str,
        /// Its marks.
        marks: &'a str,
    },
}

/// Whether all is known here that an asker has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    /// It is, or nobody can tell of it any more.
    All,
    /// It is not, and peers may tell of it: they are worth asking.
    Behind,
    /// Nothing is missing but what anybody may have made up: nobody is asked for it, and it passes until peers have
    /// been heard anyway.
    Doubts,
}

impl Consistency {
    /// Whether the store may answer one who says that it has heard of these purges. Waits a moment for what is missing.
    pub(crate) async fn is_sure(&self, claim: Claim<'_>) -> bool {
        match self.knows(claim) {
            Knows::All => return true,
            Knows::Doubts => return false,
            Knows::Behind => {}
        }
        let mut caught_up = self.caught_up.subscribe();
        self.wake();
        if clock::awake() < self.waited.load(Relaxed).saturating_add(REST) {
            return false;
        }
        let caught = timeout(WAIT, async {
            while self.knows(claim) != Knows::All {
                if caught_up.changed().await.is_err() {
                    return;
                }
            }
        });
        if caught.await.is_ok() {
            return true;
        }
        self.waited.store(clock::awake(), Relaxed);
        false
    }

    /// Whether all purges are known here that others have carried out, these among them.
    pub(crate) fn knows(&self, claim: Claim<'_>) -> Knows {
        let of_these = match claim {
            Claim::Peer(purges) | Claim::Anybody { purges, .. } if self.history.is_told(purges) => Knows::All,
            Claim::Peer(purges) if Position::parse(purges).is_some_and(|there| self.has_all(&there)) => Knows::All,
            Claim::Peer(_) => Knows::Behind,
            Claim::Anybody { purges, marks } => {
                Position::parse(purges).map_or(Knows::Doubts, |there| self.judge(&there, marks))
            }
        };
        if of_these == Knows::All && !self.lease.holds(clock::awake()) { Knows::Behind } else { of_these }
    }

    /// Whether all was carried out here up to there, which anybody may have made up where marks do not prove it.
    fn judge(&self, there: &Position, marks: &str) -> Knows {
        let (here, own, now, marker) =
            (self.history.position(), self.history.source(), clock::awake(), self.marker.load());
        let unknown: Vec<_> = mark::read(there, marks)
            .filter(|(source, n, _)| *n > here.of(source))
            .take(TOLD.saturating_add(1))
            .collect();
        if unknown.len() > TOLD {
            return Knows::Doubts;
        }
        let is_right =
            |(source, n, mark): &(&str, u64, Option<Mark>)| mark.is_some_and(|mark| marker.is_right(source, *n, mark));
        let (proven, unproven): (Vec<_>, Vec<_>) = unknown.into_iter().partition(is_right);
        // Of all of them it is noted when they were first told of, and not one after another.
        let missing = proven
            .iter()
            .filter(|(source, n, _)| *source == own.as_str() || !self.lease.is_lost(source, *n, now))
            .count();
        let doubtful = unproven.iter().filter(|(source, n, _)| !self.lease.is_unheard_of(source, *n, now)).count();
        match (missing, doubtful) {
            (0, 0) => Knows::All,
            (0, _) => Knows::Doubts,
            _ => Knows::Behind,
        }
    }

    /// The marks of a position, for proxies.
    pub(crate) fn marks(&self, position: &Position) -> String {
        let marker = self.marker.load();
        mark::write(position, |source, n| marker.mark(source, n))
    }

    /// Whether all was carried out here up to there, but for what nobody can tell of any more: who knew it has ended,
    /// and it was not acknowledged without naming this coordinator, or it would be known.
    fn has_all(&self, there: &Position) -> bool {
        let (here, own, now) = (self.history.position(), self.history.source(), clock::awake());
        let is_lost = |source: &String, n: u64| *source != *own && self.lease.is_lost(source, n, now);
        // Of all of them it is noted when they were first told of, and not one after another.
        there.sources().filter(|(source, n)| **n > here.of(source) && !is_lost(source, **n)).count() == 0
    }

    /// What this coordinator asks of its peers.
    pub(crate) fn question(&self) -> Question {
        Question { position: (*self.history.position()).clone(), by: self.own() }
    }

    /// What one who is there has not heard.
    pub(crate) fn tell_since(&self, question: &Question) -> Answer {
        let now = clock::awake();
        let holds = self.lease.holds(now);
        if let Some(by) = &question.by {
            self.lease.is_asked(by, now);
        }
        // First where we are: what comes now is not told, and asked for the next time.
        let (source, position) = (self.history.source(), (*self.history.position()).clone());
        let purges = self.history.since(&question.position, MOST);
        Answer {
            source: source.to_string(),
            holds,
            position,
            missed: purges.is_err(),
            purges: purges.unwrap_or_default(),
        }
    }

    /// Whom a purge that was carried out here just now is told: all in the ring, and those who are not, or not any
    /// more, and still answer because of what they heard here.
    pub(crate) fn audience(&self) -> Vec<Peer> {
        let ring = self.cluster.ring();
        let listeners = self.listeners().into_iter().filter(|peer| ring.peer(&peer.name).is_none());
        ring.peers().iter().cloned().chain(listeners).filter(|peer| peer.name != self.me).collect()
    }

    /// Who has asked here within a lease what was purged.
    pub(crate) fn listeners(&self) -> Vec<Peer> {
        self.lease.listeners(clock::awake())
    }

    /// This coordinator as its rings have it, or had it.
    fn own(&self) -> Option<Peer> {
        let me = &self.me;
        self.cluster.ring().peer(me).cloned().or_else(|| self.cluster.former.lock().peer(me).cloned())
    }

    /// The purges that are waited for in vain: see [`Self::give_up`]. What was heard since it was told of is none of
    /// them.
    pub(crate) fn hopeless(&self) -> Vec<(String, u64)> {
        let mut hopeless = self.lease.hopeless(clock::awake());
        let here = self.history.position();
        hopeless.retain(|(source, n)| *n > here.of(source));
        hopeless
    }

    /// Whether all purges are known here, and how many others can catch up from.
    pub fn standing(&self) -> (bool, usize) {
        (self.lease.holds(clock::awake()), self.history.len())
    }

    /// Lets the other coordinators be asked now what they have purged.
    pub(crate) fn wake(&self) {
        self.wake.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::state::Cache, clock::simulated, purge::execute};
    use meshcache_protocol::purge::Purge;
    use std::sync::Arc;

    #[test]
    fn a_purge_that_was_heard_after_somebody_told_of_it_is_not_given_up() {
        simulated::set(1000);
        let cache = Cache::sample("a", 1 << 20);
        cache.consistency.lease.set_peers(["b", "c"].into_iter(), 1000);
        cache.consistency.lease.heard("b", 1000, "b.1", true, 1000);
        // A proxy is quicker than b itself; c is silent all the time.
        assert_eq!(cache.consistency.knows(Claim::Peer("b.1:1,x.1:1")), Knows::Behind);
        execute::hear(&cache, &Purge { source: "b.1".into(), n: 1, ..Purge::default() }).unwrap();
        for (now, source) in [(2000, "b.1"), (3000, "b.2")] {
            simulated::set(now);
            cache.consistency.lease.heard("b", now, source, true, now);
        }
        assert_eq!(
            cache.consistency.hopeless(),
            [("x.1".to_owned(), 1)],
            "b has started anew, and what it purged is known"
        );
    }

    /// One of three. At 1,000 ms it has heard b and c, whose sources are `b.1` and `c.1`.
    fn one_of_three() -> Arc<Cache> {
        simulated::set(1000);
        let cache = Cache::sample("a", 1 << 20);
        cache.set_peer_tokens(&["new".to_owned(), "old".to_owned()]);
        cache.consistency.lease.set_peers(["b", "c"].into_iter(), 1000);
        hear(&cache, &["b", "c"], 1000);
        cache
    }

    fn hear(cache: &Cache, peers: &[&str], now: u64) {
        simulated::set(now);
        for peer in peers {
            cache.consistency.lease.heard(peer, now, &format!("{peer}.1"), true, now);
        }
    }

    fn marked(token: &str, position: &str) -> String {
        let marker = crate::consistency::marks::Marker::new(&[token.to_owned()]);
        mark::write(&Position::parse(position).unwrap(), |source, n| marker.mark(source, n))
    }

    #[test]
    fn a_question_with_an_invented_position_empties_nothing_and_has_nobody_asked() {
        let cache = one_of_three();
        let woken = cache.consistency.wake.subscribe();
        let own = format!("{}:7", cache.consistency.history.source());
        // The mark of another number, of a token that nobody has, none at all; a living source, the very own; and no
        // position.
        let invented = ["x.1:1", "x.1:18446744073709551615", "b.1:5", "c.1:5", &own, "x.1:1,y.1:1"];
        let marks = [String::new(), marked("old", "x.1:2"), marked("stolen", "x.1:1"), "0".repeat(16)];
        // c falls silent.
        for now in (1100..9000).step_by(200) {
            hear(&cache, &["b"], now);
            for (purges, marks) in
                invented.iter().flat_map(|purges| marks.iter().map(move |marks| (*purges, marks.as_str())))
            {
                assert_eq!(
                    cache.consistency.knows(Claim::Anybody { purges, marks }),
                    Knows::Doubts,
                    "{purges} {marks} at {now}"
                );
            }
            assert_eq!(cache.consistency.knows(Claim::Anybody { purges: "nonsense", marks: "" }), Knows::Doubts);
            assert_eq!(cache.consistency.hopeless(), []);
            assert_eq!(
                cache.consistency.knows(Claim::Anybody { purges: "", marks: "" }),
                Knows::All,
                "who tells of nothing is answered"
            );
        }
        assert!(!woken.has_changed().unwrap());
        hear(&cache, &["b", "c"], 9000);
        for purges in invented {
            assert_eq!(
                cache.consistency.knows(Claim::Anybody { purges, marks: "" }),
                Knows::All,
                "{purges}: all were heard, and none knows of it"
            );
        }
    }

    #[tokio::test]
    async fn who_tells_of_what_may_be_made_up_passes_at_once_and_keeps_nobody_from_waiting() {
        let cache = one_of_three();
        let mut woken = cache.consistency.wake.subscribe();
        assert!(!cache.consistency.is_sure(Claim::Anybody { purges: "x.1:1", marks: "" }).await);
        assert_eq!((woken.has_changed().unwrap(), cache.consistency.waited.load(Relaxed)), (false, 0));
        let marks = marked("old", "x.1:1");
        assert!(!cache.consistency.is_sure(Claim::Anybody { purges: "x.1:1", marks: &marks }).await);
        assert_eq!(
            (woken.has_changed().unwrap(), cache.consistency.waited.load(Relaxed)),
            (true, 1000),
            "of what a coordinator has told peers are asked"
        );
        woken.mark_unchanged();
        let many = (0..=TOLD).map(|n| format!("x{n}.1:1")).collect::<Vec<_>>().join(",");
        let marks = marked("old", &many);
        assert!(!cache.consistency.is_sure(Claim::Anybody { purges: &many, marks: &marks }).await);
        assert!(!woken.has_changed().unwrap(), "no proxy tells of so many");
    }

    #[test]
    fn a_marked_purge_that_only_a_silent_peer_may_know_empties_the_store_after_a_second() {
        for token in ["new", "old"] {
            let cache = one_of_three();
            let marks = marked(token, "c.1:5,x.1:1");
            let claim = Claim::Anybody { purges: "c.1:5,x.1:1", marks: &marks };
            hear(&cache, &["b"], 1500);
            assert_eq!(cache.consistency.knows(claim), Knows::Behind, "{token}");
            hear(&cache, &["b"], 2499);
            assert_eq!(cache.consistency.hopeless(), [], "not before");
            hear(&cache, &["b"], 2500);
            let hopeless = cache.consistency.hopeless();
            assert_eq!(hopeless.len(), 2, "{token}: {hopeless:?}");
            execute::give_up(&cache, &hopeless);
            assert_eq!(
                (cache.consistency.knows(claim), cache.consistency.hopeless()),
                (Knows::All, vec![]),
                "once is enough"
            );
            assert_eq!(
                cache.consistency.knows(Claim::Anybody { purges: "c.1:5", marks: "" }),
                Knows::All,
                "it was emptied of that, too"
            );
        }
    }

    #[test]
    fn proxies_without_marks_are_answered_within_three_seconds_after_all_coordinators_started_anew() {
        simulated::set(50_000);
        let cache = Cache::sample("a", 1 << 20);
        cache.set_peer_tokens(&["token".to_owned()]);
        cache.consistency.lease.set_peers(["b", "c"].into_iter(), 50_000);
        // What they have heard of coordinators that are gone: without marks, or with those of a token that is gone.
        let (gone, purges) = (marked("gone", "a.0:3,b.0:9"), "a.0:3,b.0:9");
        let knows = |marks: &str| cache.consistency.knows(Claim::Anybody { purges, marks });
        assert_eq!((knows(""), knows(&gone)), (Knows::Doubts, Knows::Doubts));
        let answered = (50_400..53_000).step_by(400).find(|now| {
            hear(&cache, &["b", "c"], *now);
            knows("") == Knows::All && knows(&gone) == Knows::All
        });
        assert_eq!(answered, Some(50_400), "with the first answers of the others");
    }

    #[test]
    fn without_peers_an_unknown_number_is_lost_at_once() {
        simulated::set(1000);
        for tokens in [&[][..], &["token".to_owned()]] {
            let cache = Cache::sample("a", 1 << 20);
            cache.set_peer_tokens(tokens);
            let marks = marked("token", "x.1:1");
            for marks in ["", &marks] {
                assert_eq!(cache.consistency.knows(Claim::Anybody { purges: "x.1:1", marks }), Knows::All);
            }
        }
    }
}
