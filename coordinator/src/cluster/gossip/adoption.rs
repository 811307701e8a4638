//! Taking another list.

use crate::cluster::gossip::{
    contact::Contact,
    digest::Digest,
    event::MemberChange,
    list::{List, ListId},
    state::Gossip,
    vote::{Ballot, Voter},
};

/// A list whose members have all ended is not taken again for so long, unless one of them tells of it, milliseconds.
const ABANDONED: u64 = 30_000;

impl Gossip {
    /// Takes the list of a digest, if the own one gives way to it.
    pub(super) fn learn(&mut self, digest: &Digest, now: u64) {
        let Some(theirs) = digest.list.filter(|theirs| self.gives_way_to(theirs)) else { return };
        if let Some(list) = digest.members.as_ref().filter(|list| list.id() == theirs) {
            let is_dead = |(dead, until): &(ListId, u64)| {
                now < *until && dead.lineage == theirs.lineage && dead.epoch >= theirs.epoch
            };
            if self.abandoned.as_ref().is_some_and(is_dead) && list.rank_of(&digest.from).is_none() {
                return;
            }
            return self.adopt(list.clone(), None, now);
        }
        // Who has voted for a change can make it.
        if let Some((list, (ballot, change))) = self.list.as_ref().zip(self.voter.accepted())
            && follows(&theirs, &list.id())
        {
            let (next, made_by) = (list.apply(change), (list.id().version, ballot.clone()));
            if next.id() == theirs {
                return self.adopt(next, Some(made_by), now);
            }
        }
        self.is_behind |= self.list.as_ref().is_some_and(|list| list.id().lineage == theirs.lineage);
    }

    fn gives_way_to(&self, theirs: &ListId) -> bool {
        self.list.as_ref().is_none_or(|list| list.id().gives_way_to(theirs))
    }

    /// Whether who sent a digest is to be told the own list in full.
    pub(super) fn is_to_be_told(&self, list: &List, digest: &Digest) -> bool {
        let Some(theirs) = &digest.list else { return true };
        let can_make = follows(&list.id(), theirs)
            && self.made_by.as_ref().is_some_and(|(version, ballot)| {
                *version == theirs.version && digest.votes.accepted.as_ref() == Some(ballot)
            });
        theirs.gives_way_to(&list.id()) && !can_make
    }

    /// Whether the own list leads nowhere: this coordinator is not in it, or it is not the latest, and those who could
    /// know better have ended.
    pub(super) fn is_lost(&self, now: u64) -> bool {
        let is_useless = self.list.is_some() && (!self.is_member() || (self.is_behind(now) && !self.has_majority(now)));
        let is_dead = |contact: &Contact| contact.is_dead(now) || contact.forgotten || contact.defected;
        is_useless
            && self.others().all(|(_, _, contact)| is_dead(contact) || (self.is_member() && contact.is_heard(now)))
    }

    /// Gives up the list: this coordinator knows of nobody, as after its start.
    pub(super) fn abandon(&mut self, now: u64) {
        self.abandoned = self.list.take().map(|list| (list.id(), now.saturating_add(ABANDONED)));
        (self.begun, self.contacts, self.is_behind) = (now, Vec::new(), false);
        (self.voter, self.campaign) = (Voter::default(), None);
        self.mark(now);
    }

    pub(super) fn adopt(&mut self, list: List, made_by: Option<(u64, Ballot)>, now: u64) {
        let before = self.list.take();
        if before.is_none() {
            self.start_after_its_name(&list);
        }
        if before.as_ref().is_some_and(|before| before.id().lineage != list.id().lineage) {
            self.tell_own(MemberChange::Merged);
        }
        let mut contacts = Vec::with_capacity(list.members().len());
        for member in list.members() {
            let rank = before.as_ref().and_then(|before| before.rank_of(member));
            let known = rank.and_then(|rank| self.contacts.get(rank)).map(Contact::carried_over);
            let stranger = self.strangers.remove(member.name());
            let answered =
                stranger.filter(|stranger| stranger.identity == *member).and_then(|stranger| stranger.answered);
            if known.is_none() {
                self.tell(member.name(), MemberChange::Joined);
            }
            contacts.push(known.unwrap_or_else(|| Contact { answered, ..Contact::new(now) }));
        }
        for gone in before.iter().flat_map(List::members).filter(|member| list.rank(member.name()).is_none()) {
            self.tell(gone.name(), MemberChange::Removed);
        }
        if list
            .rank(self.me.name())
            .and_then(|rank| list.members().get(rank))
            .is_some_and(|member| member.supersedes(&self.me))
        {
            self.tell_own(MemberChange::NameTaken);
        }
        (self.contacts, self.list, self.made_by, self.adopted) = (contacts, Some(list), made_by, now);
        (self.voter, self.campaign, self.is_behind) = (Voter::default(), None, false);
        self.mark(now);
    }

    /// Numbers this start later than the one of its name in the first list that it hears of.
    fn start_after_its_name(&mut self, list: &List) {
        let found =
            list.rank(self.me.name()).and_then(|rank| list.members().get(rank)).filter(|found| **found != self.me);
        if let Some(found) = found.filter(|found| found.start >= self.me.start) {
            self.me.start = found.start.saturating_add(1);
        }
    }
}

fn follows(next: &ListId, list: &ListId) -> bool {
    next.lineage == list.lineage && next.epoch == list.epoch.saturating_add(1)
}
