//! Which peers have acknowledged a purge, and which need not be waited for.

use meshcache_protocol::Peer;
use std::collections::BTreeSet;

/// The acknowledgements of one purge.
#[derive(Debug)]
pub(super) struct Acks {
    /// Those whom it was sent to, and this coordinator.
    known: BTreeSet<String>,
    pending: BTreeSet<String>,
    /// The listeners of each peer that has acknowledged: the peers that had asked it within a lease.
    listeners: Vec<Vec<String>>,
}

impl Acks {
    /// Nobody's. `me`: this coordinator.
    pub(super) fn new(me: &str) -> Self {
        Self { known: BTreeSet::from([me.to_owned()]), pending: BTreeSet::new(), listeners: Vec::new() }
    }

    /// Adds those whom it was not sent to yet. Returns them.
    pub(super) fn add(&mut self, audience: Vec<Peer>) -> Vec<Peer> {
        let new: Vec<Peer> = audience.into_iter().filter(|peer| self.known.insert(peer.name.clone())).collect();
        self.pending.extend(new.iter().map(|peer| peer.name.clone()));
        new
    }

    /// Records that a peer has carried out the purge, and its listeners. A peer of an older version does not name them.
    pub(super) fn acknowledge(&mut self, peer: &str, listeners: Option<Vec<String>>) {
        self.pending.remove(peer);
        self.listeners.extend(listeners);
    }

    /// Records that a peer has not, or that this is unknown.
    pub(super) fn fail(&mut self, peer: &str) {
        self.pending.remove(peer);
    }

    /// Takes the peers without an acknowledgement or a failure.
    pub(super) fn take_pending(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.pending)
    }

    /// Whether all pending peers have stopped answering from their stores, so that waiting for the end of their leases
    /// is in vain: they are unresponsive, and are listeners of no peer that has the purge (`here`: of this
    /// coordinator). Too few peers without it are left to hold a lease from.
    pub(super) fn pending_have_no_lease(&self, unresponsive: &BTreeSet<String>, here: &BTreeSet<String>) -> bool {
        let is_listener = |name: &String| here.contains(name) || self.all_listeners().any(|by| by == name);
        // A lease rests on half of the others, rounded up. Each pending peer has as many others as this coordinator,
        // which is one of them.
        let audience = self.known.len().saturating_sub(1);
        let without_purge = audience.saturating_sub(1 + self.listeners.len());
        without_purge < audience.div_ceil(2)
            && self.pending.iter().all(|name| unresponsive.contains(name) && !is_listener(name))
    }

    /// The listeners of others that this coordinator does not know, such as one that has just joined elsewhere. Each
    /// may answer from its store until the answers from before the purge are no longer valid.
    pub(super) fn strangers(&self) -> BTreeSet<&str> {
        self.all_listeners().filter(|name| !self.known.contains(*name)).map(String::as_str).collect()
    }

    fn all_listeners(&self) -> impl Iterator<Item = &String> {
        self.listeners.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn acks(audience: &[&str], acknowledged: &[(&str, Option<&[&str]>)]) -> Acks {
        let mut acks = Acks::new("me");
        let peer = |name: &&str| Peer { name: (*name).to_owned(), data: String::new(), peer: String::new() };
        assert_eq!(acks.add(audience.iter().map(peer).collect()).len(), audience.len());
        assert!(acks.add(audience.iter().map(peer).collect()).is_empty(), "each once");
        for (name, listeners) in acknowledged {
            acks.acknowledge(name, listeners.map(|all| names(all).into_iter().collect()));
        }
        acks
    }

    #[test]
    fn an_unresponsive_peer_that_is_a_listener_of_none_is_not_waited_for() {
        let (frozen, none) = (names(&["c"]), names(&[]));
        let both = acks(&["b", "c"], &[("b", Some(&[]))]);
        assert!(both.pending_have_no_lease(&frozen, &none));
        assert!(!both.pending_have_no_lease(&none, &none), "it may just be slow");
        assert!(!both.pending_have_no_lease(&frozen, &frozen), "it asked here just before it froze");
        assert!(
            !acks(&["b", "c"], &[("b", Some(&["c"]))]).pending_have_no_lease(&frozen, &none),
            "it asked the other one"
        );
        assert!(
            !acks(&["b", "c"], &[]).pending_have_no_lease(&frozen, &none),
            "the other one has not answered yet, and is not unresponsive"
        );
        assert!(acks(&["c"], &[]).pending_have_no_lease(&frozen, &none), "of two, there is no other one to ask");
    }

    #[test]
    fn peers_that_may_hold_a_lease_from_others_that_were_not_reached_are_waited_for() {
        let (cut_off, none) = (names(&["c", "d", "e"]), names(&[]));
        let some = |n: usize| acks(&["a", "b", "c", "d", "e"], &[("a", Some(&[][..])), ("b", Some(&[]))][..n]);
        let mut two = some(1);
        two.fail("b");
        assert!(!two.pending_have_no_lease(&cut_off, &none), "three others of five are enough for a lease");
        assert!(some(2).pending_have_no_lease(&cut_off, &none), "two others of five are not");
        let old = acks(&["a", "b", "c", "d", "e"], &[("a", Some(&[])), ("b", None)]);
        assert!(!old.pending_have_no_lease(&cut_off, &none), "one of an older version does not name its listeners");
    }

    #[test]
    fn a_listener_of_another_that_is_unknown_here_is_a_stranger() {
        let one = acks(&["b", "c"], &[("b", Some(&["me", "c", "new"])), ("c", None)]);
        assert_eq!(one.strangers(), BTreeSet::from(["new"]));
        assert!(acks(&["b"], &[("b", Some(&["me"]))]).strangers().is_empty());
    }
}
