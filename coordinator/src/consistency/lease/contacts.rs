//! The peers of a lease: when each answered or refused, and what follows for all of them together.

use std::collections::HashMap;

/// The validity of a peer's answer, milliseconds.
pub(crate) const LEASE: u64 = 1500;

/// The other peers of the ring.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    all: HashMap<String, Contact>,
    /// When the end of the lease was last computed.
    pub(super) computed: u64,
    /// Since when the majority answers again, after the lease had ended.
    pub(super) awake: Option<u64>,
    /// The number of other peers that make a majority with this coordinator. `None`: half of those that may be alive,
    /// rounded up.
    pub(super) quorum: Option<usize>,
}

/// The last words of one peer. Times are those at which requests were sent.
#[derive(Debug, Default)]
pub(super) struct Contact {
    answered: Option<u64>,
    refused: Option<u64>,
    /// Whether its own lease held at its last answer.
    holds_lease: bool,
    /// The source of its last answer.
    source: String,
    /// The source when the lease last held: a peer with another one has forgotten earlier purges.
    confirmed_source: String,
}

impl Contacts {
    pub(super) fn all(&self) -> impl Iterator<Item = &Contact> {
        self.all.values()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Contact> {
        self.all.get_mut(name)
    }

    /// Sets the names; a peer that was there before stays as it was.
    pub(super) fn set_peers<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut old = std::mem::take(&mut self.all);
        self.all = names.map(|name| (name.to_owned(), old.remove(name).unwrap_or_default())).collect();
    }

    /// The lease holds, or does again: with these sources.
    pub(super) fn confirm_sources(&mut self) {
        self.all.values_mut().for_each(Contact::confirm_source);
    }

    /// The end of the lease: that of the answers of all live peers, or of a majority whose own leases hold.
    pub(super) fn lease_until(&self, now: u64) -> u64 {
        self.all_until(now).max(self.majority_until(now, |contact| contact.holds_lease))
    }

    /// Until when the answers of all peers that may be alive are valid.
    pub(super) fn all_until(&self, now: u64) -> u64 {
        let all = self.live(now).map(Contact::valid_until).min();
        all.unwrap_or(u64::MAX).min(self.refusals_until(now))
    }

    /// Until when the answers of a majority of the peers that may be alive are valid, of those that count.
    pub(super) fn majority_until(&self, now: u64, counts: impl Fn(&Contact) -> bool) -> u64 {
        let mut ends: Vec<u64> =
            self.live(now).map(|contact| if counts(contact) { contact.valid_until() } else { 0 }).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        // More than half, this coordinator included: half of the others, rounded up.
        let others = self.quorum.unwrap_or(ends.len().div_ceil(2));
        if others > ends.len() {
            return 0;
        }
        others.checked_sub(1).and_then(|last| ends.get(last).copied()).unwrap_or(u64::MAX).min(self.refusals_until(now))
    }

    /// Until when the refusals of the other peers are valid.
    fn refusals_until(&self, now: u64) -> u64 {
        self.all()
            .filter(|contact| !contact.may_be_alive(now))
            .filter_map(|contact| contact.refused)
            .map(|at| at.saturating_add(LEASE))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether a majority of the peers that may be alive, this coordinator included, knows the purges since the lease
    /// last held. A peer that has lost its own lease knows those that it ordered itself: that is enough only where
    /// every peer has answered.
    pub(super) fn majority_remembers(&self, now: u64) -> bool {
        let live = self.live(now).count();
        let is_whole = self.all().all(|contact| contact.valid_until() > now);
        let remembers = |contact: &&Contact| {
            contact.valid_until() > now
                && contact.source == contact.confirmed_source
                && (contact.holds_lease || is_whole)
        };
        live > 0 && self.all().filter(remembers).count() >= self.quorum.unwrap_or(live.div_ceil(2))
    }

    fn live(&self, now: u64) -> impl Iterator<Item = &Contact> {
        self.all().filter(move |contact| contact.may_be_alive(now))
    }
}

impl Contact {
    /// Records an answer to a request sent at `sent`.
    pub(super) fn record_answer(&mut self, sent: u64, source: &str, holds_lease: bool) {
        self.answered = self.answered.max(Some(sent));
        self.refused = None;
        self.holds_lease = holds_lease;
        source.clone_into(&mut self.source);
    }

    /// Records that a connection was refused at `sent`.
    pub(super) fn record_refusal(&mut self, sent: u64) {
        self.refused = self.refused.max(Some(sent));
    }

    /// The lease holds, or does again: with this source.
    pub(super) fn confirm_source(&mut self) {
        if self.confirmed_source != self.source {
            self.confirmed_source.clone_from(&self.source);
        }
    }

    fn valid_until(&self) -> u64 {
        self.answered.map_or(0, |at| at.saturating_add(LEASE))
    }

    /// Whether the peer has responded since then, and does not number the purges of this source itself.
    pub(super) fn rules_out(&self, source: &str, since: u64, now: u64) -> bool {
        self.has_responded_since(since, now) && !(self.may_be_alive(now) && self.source == source)
    }

    /// Whether the peer has answered since then or, if it is not alive, refused.
    pub(super) fn has_responded_since(&self, since: u64, now: u64) -> bool {
        if self.may_be_alive(now) { self.answered > Some(since) } else { self.refused > Some(since) }
    }

    /// Whether the peer may be alive, and has neither answered within a lease nor since then.
    pub(super) fn is_unresponsive_since(&self, since: u64, now: u64) -> bool {
        self.may_be_alive(now) && self.valid_until() <= now && self.answered <= Some(since)
    }

    /// Whether the peer may be alive: it has not refused within a lease, or has answered after that.
    fn may_be_alive(&self, now: u64) -> bool {
        !self.refused.is_some_and(|at| now < at.saturating_add(LEASE) && self.answered.is_none_or(|sent| sent <= at))
    }
}
