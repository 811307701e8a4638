//! The lease: this coordinator may answer from its store only while it learns what peers purge.
//!
//! An answer to a request sent at t lists all purges of its sender up to t, and is valid until t + [`LEASE`]. A purge
//! waits longer than that for a peer before it names the peer as unreached. So a coordinator that sleeps, or is cut
//! off, has stopped answering from its store by then: no message has to reach it. The clock goes on while the machine
//! sleeps, and no other machine's clock matters.
//!
//! A peer that refuses connections purges nothing. An unresponsive one may be dead, frozen, or cut off: as long as the
//! majority of the peers reach each other they go on without it, and it, in the minority, does not.

mod contacts;
#[cfg(test)]
mod tests;

pub(crate) use contacts::LEASE;

use crate::consistency::unknown::UnknownPurges;
use contacts::{Contact, Contacts};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The time for which a majority waits for the other peers, which may know purges that it does not, before it flushes
/// its stores, milliseconds.
const GRACE: u64 = 1000;
/// With more peers than these the end of the lease is computed every [`INTERVAL`], and not at each answer: it looks at
/// all of them.
const MANY_PEERS: usize = 64;
/// Milliseconds.
const INTERVAL: u64 = 100;
/// The end of a lease that never was.
const NEVER_HELD: u64 = 0;

/// Until when this coordinator knows all purges.
pub(crate) struct Lease {
    until: AtomicU64,
    contacts: Mutex<Contacts>,
    unknown: UnknownPurges,
}

/// The effect of an answer, a refusal, or a new ring on the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The lease holds, or does not yet.
    Unchanged,
    /// The lease holds again, after these milliseconds.
    Regained(u64),
    /// The lease would hold again, but the peers that answer do not know what was purged meanwhile: they have started
    /// anew, or have lost their own leases. The store has to be flushed, and then [`Lease::renew_after_flush`] called.
    Flush,
}

/// The prospects of a purge that is unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A peer may know it.
    Awaited,
    /// No peer can know it any more, or it was abandoned.
    Lost,
}

impl Default for Lease {
    /// A lease without peers, which holds forever.
    fn default() -> Self {
        Self { until: AtomicU64::new(u64::MAX), contacts: Mutex::default(), unknown: UnknownPurges::default() }
    }
}

impl Lease {
    /// Whether the lease holds.
    pub(crate) fn holds(&self, now: u64) -> bool {
        now < self.until.load(SeqCst)
    }

    /// Records a purge that a coordinator has announced. It is lost when its source is no peer that may be alive, and
    /// all these have answered since it was first claimed, and all others have refused since.
    pub(crate) fn note_unknown(&self, source: &str, n: u64, now: u64) -> Unknown {
        let since = self.unknown.note_proven(source, n, now);
        self.fate(since, |contact, since| contact.rules_out(source, since, now))
    }

    /// Records a purge that may be made up. It is lost when every peer that may be alive has answered since it was
    /// first claimed. Its source, too, if that is one of them: it would have listed a purge that it has numbered.
    pub(crate) fn note_unproven(&self, source: &str, n: u64, now: u64) -> Unknown {
        let since = self.unknown.note_unproven(source, n, now);
        self.fate(since, |contact, since| contact.has_responded_since(since, now))
    }

    fn fate(&self, since: Option<u64>, rules_out: impl Fn(&Contact, u64) -> bool) -> Unknown {
        let is_lost = since.is_none_or(|since| self.contacts.lock().all().all(|contact| rules_out(contact, since)));
        if is_lost { Unknown::Lost } else { Unknown::Awaited }
    }

    /// The purges that were claimed a while ago, and that only peers may know that are unresponsive since. Waiting for
    /// them would keep the store from answering: it is to be flushed, and then [`Self::abandon`] called.
    pub(crate) fn unresolvable(&self, now: u64) -> Vec<(String, u64)> {
        let contacts = self.contacts.lock();
        if self.unknown.is_empty() || !self.holds(now) || contacts.all_until(now) > now {
            return Vec::new();
        }
        self.unknown.proven(|source, since| {
            let mut awaited = contacts.all().filter(|contact| !contact.rules_out(source, since, now)).peekable();
            now >= since.saturating_add(GRACE)
                && awaited.peek().is_some()
                && awaited.all(|contact| contact.is_unresponsive_since(since, now))
        })
    }

    /// The store was flushed: nothing in it is older than these purges.
    pub(crate) fn abandon(&self, purges: &[(String, u64)]) {
        self.unknown.abandon(purges);
    }

    /// Ends the lease that a coordinator without peers holds: it is not known yet who they are.
    pub(crate) fn await_peers(&self) {
        self.until.store(NEVER_HELD, SeqCst);
    }

    /// Lets a lease end that would hold forever: who is no member any more does not know who purges.
    pub(crate) fn limit(&self, now: u64) {
        let _ = self.until.compare_exchange(u64::MAX, now.saturating_add(LEASE), SeqCst, SeqCst);
    }

    /// Takes over the rest of a peer's lease, where there was none before: what that peer knows is known here, and what
    /// it learns later is learnt from it before its lease ends, or purges wait for that.
    pub(crate) fn take_over(&self, until: u64) {
        let _ = self.until.compare_exchange(NEVER_HELD, until, SeqCst, SeqCst);
    }

    /// The rest of the lease.
    pub(crate) fn rest(&self, now: u64) -> u64 {
        self.until.load(SeqCst).saturating_sub(now).min(LEASE)
    }

    /// Sets the other peers of the ring. A new one has to answer within a lease. If the last one goes that could have
    /// known the purges since the lease ended, the store has to be flushed.
    pub(crate) fn set_peers<'a>(&self, names: impl Iterator<Item = &'a str>, now: u64) -> Renewal {
        self.set_electorate(names, None, now)
    }

    /// As [`Self::set_peers`], where the number of others is known that make a majority with this coordinator.
    pub(crate) fn set_electorate<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        quorum: Option<usize>,
        now: u64,
    ) -> Renewal {
        let mut contacts = self.contacts.lock();
        contacts.set_peers(names);
        contacts.quorum = quorum;
        let until = match (contacts.is_empty(), self.until.load(SeqCst)) {
            (true, before) if now >= before => return Renewal::Flush,
            (true, _) => u64::MAX,
            (false, u64::MAX) => now.saturating_add(LEASE),
            // A lease that holds goes on as long as before. One that has ended is renewed by the next answer.
            (false, before) => before,
        };
        self.until.store(until, SeqCst);
        Renewal::Unchanged
    }

    /// Records the answer of a peer to a request sent at `sent`. All purges in it were carried out here. `holds_lease`:
    /// whether the peer's own lease does.
    pub(crate) fn peer_answered(&self, name: &str, sent: u64, source: &str, holds_lease: bool, now: u64) -> Renewal {
        self.record(name, now, |contact| contact.record_answer(sent, source, holds_lease))
    }

    /// Records that a peer refused a connection at `sent`: no coordinator runs there.
    pub(crate) fn peer_refused(&self, name: &str, sent: u64, now: u64) -> Renewal {
        self.record(name, now, |contact| contact.record_refusal(sent))
    }

    /// Renews the lease after a flush: no purge can concern an empty store.
    pub(crate) fn renew_after_flush(&self, now: u64) {
        let mut contacts = self.contacts.lock();
        let until = contacts.lease_until(now).max(contacts.majority_until(now, |_| true));
        self.renew(&mut contacts, until);
    }

    fn record(&self, name: &str, now: u64, record: impl FnOnce(&mut Contact)) -> Renewal {
        let mut contacts = self.contacts.lock();
        let Some(contact) = contacts.get_mut(name) else { return Renewal::Unchanged };
        record(contact);
        let before = self.until.load(SeqCst);
        if now < before {
            contact.confirm_source();
        }
        // With many peers the next answer is never far: soon enough before the lease ends.
        if contacts.len() > MANY_PEERS
            && now < contacts.computed.saturating_add(INTERVAL)
            && now.saturating_add(2 * INTERVAL) < before
        {
            return Renewal::Unchanged;
        }
        contacts.computed = now;
        let until = contacts.lease_until(now);
        if now < before {
            contacts.awake = None;
            self.until.store(until.max(before), SeqCst);
            return Renewal::Unchanged;
        }
        if contacts.majority_until(now, |_| true) <= now {
            contacts.awake = None;
            return Renewal::Unchanged;
        }
        let awake = *contacts.awake.get_or_insert(now);
        if until > now && contacts.majority_remembers(now) {
            self.renew(&mut contacts, until);
            return Renewal::Regained(now.saturating_sub(before));
        }
        // A peer that may be alive and has not answered yet may know the purges.
        if contacts.all_until(now) > now || now >= awake.saturating_add(GRACE) {
            Renewal::Flush
        } else {
            Renewal::Unchanged
        }
    }

    fn renew(&self, contacts: &mut Contacts, until: u64) {
        contacts.confirm_sources();
        contacts.awake = None;
        self.until.store(until, SeqCst);
    }
}
