//! What happens with time: seeds are asked, a list is founded, members become suspect, votes are cast and counted.

use crate::cluster::gossip::{
    contact::Contact,
    event::MemberChange,
    list::List,
    seed::{Ask, Seed},
    state::{Gossip, WITHHELD},
};

/// The time between two questions to a seed for a list, and to a stranger, milliseconds.
const ASK: u64 = 400;
/// The time between two questions to a seed, once there is a list, milliseconds.
const ASK_SELDOM: u64 = 5000;
/// The time after the start in which seeds may answer that know a list, milliseconds.
const FOUND: u64 = 1000;
/// The same where a seed neither answers nor refuses.
const FOUND_UNHEARD: u64 = 10_000;
/// The same where another one that has no list is before this one by name.
const FOUND_AT_LAST: u64 = 15_000;

impl Gossip {
    /// Sets the addresses at which other coordinators may be; its own one among them changes nothing.
    pub fn set_seeds(&mut self, addresses: impl IntoIterator<Item = String>) {
        let mut before = std::mem::take(&mut self.seeds);
        let own = &self.me.peer.peer;
        for at in addresses.into_iter().filter(|at| at != own) {
            let known = before.iter().position(|seed| seed.at == at).map(|place| before.swap_remove(place));
            self.seeds.push(known.unwrap_or(Seed { at, next: 0, has_responded: false }));
        }
    }

    /// Does what is due. Returns whom to ask beside the members.
    pub fn tick(&mut self, now: u64) -> Vec<Ask> {
        self.wake(now);
        self.strangers.retain(|_, stranger| !stranger.is_expired(now));
        if self.is_lost(now) {
            self.abandon(now);
        }
        if self.list.is_none() && self.may_found(now) {
            self.adopt(List::founded_by(&self.me, now), None, now);
            self.tell_own(MemberChange::Founded);
        }
        self.note_suspicions(now);
        self.mark(now);
        self.vote(now);
        self.campaign(now);
        self.asks(now)
    }

    fn may_found(&self, now: u64) -> bool {
        let age = now.saturating_sub(self.begun);
        let is_first =
            self.strangers.values().all(|other| other.list.is_some() || other.identity.name() > self.me.name());
        let wait = match (is_first, self.seeds.iter().all(|seed| seed.has_responded)) {
            (true, true) => FOUND,
            (true, false) => FOUND_UNHEARD,
            (false, _) => FOUND_AT_LAST,
        };
        age >= wait && !self.leaves && !self.holds_off
    }

    fn note_suspicions(&mut self, now: u64) {
        let own = self.own_rank();
        let members = self.list.iter().flat_map(List::members).enumerate().filter(|(rank, _)| Some(*rank) != own);
        let mut changes = Vec::new();
        for (rank, member) in members {
            let Some(contact) = self.contacts.get_mut(rank) else { continue };
            let is_suspect = !contact.is_heard(now);
            if is_suspect != std::mem::replace(&mut contact.suspected, is_suspect) {
                let change = if is_suspect { MemberChange::Suspected } else { MemberChange::Answers };
                changes.push((member.name().to_owned(), change));
            }
        }
        changes.into_iter().for_each(|(name, change)| self.tell(&name, change));
    }

    /// Casts the vote that is due, if no member that it removes can rest its lease on an answer from here.
    pub(super) fn vote(&mut self, now: u64) {
        let (own, contacts) = (self.own_rank(), &self.contacts);
        let can_rest = |contact: &Contact| contact.counted.is_some_and(|at| now < at.saturating_add(WITHHELD));
        let may_remove = |rank| {
            own == Some(rank) || contacts.get(rank).is_none_or(|contact| contact.is_dead(now) || !can_rest(contact))
        };
        if own.is_some() {
            self.voter.vote(may_remove);
        }
    }

    fn asks(&mut self, now: u64) -> Vec<Ask> {
        let (own_list, proposes) = (self.list.as_ref().map(List::id), self.is_proposer(now));
        let mut asks = Vec::new();
        for stranger in self.strangers.values_mut().filter(|stranger| now >= stranger.next) {
            let is_better = own_list.is_none_or(|own| stranger.list.is_some_and(|list| own.gives_way_to(&list)));
            if is_better || (proposes && own_list.is_some_and(|own| stranger.wants(&own))) {
                stranger.next = now.saturating_add(ASK);
                asks.push(Ask { at: stranger.identity.peer.peer.clone() });
            }
        }
        let pause = if own_list.is_some() { ASK_SELDOM } else { ASK };
        let members = self.list.as_ref().map_or(&[][..], List::members);
        for seed in self.seeds.iter_mut().filter(|seed| now >= seed.next) {
            seed.next = now.saturating_add(pause);
            let is_member = members
                .iter()
                .zip(&self.contacts)
                .any(|(member, contact)| member.peer.peer == seed.at && contact.is_heard(now));
            if !is_member {
                asks.push(Ask { at: seed.at.clone() });
            }
        }
        asks
    }
}
