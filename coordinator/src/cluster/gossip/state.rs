//! The view of one coordinator, and what it says of the members.

use crate::cluster::gossip::{
    contact::Contact,
    event::{Forget, GossipEvent, MemberChange, MemberState},
    identity::Identity,
    list::{List, ListId},
    marks::Marks,
    seed::Seed,
    stranger::Stranger,
    vote::{Ballot, Campaign, Voter},
};
use meshcache_protocol::Peer;
use std::collections::BTreeMap;

/// The time between two ticks, milliseconds.
pub const TICK: u64 = 200;
/// A member votes for the removal of another one when it has given it no answer that counts for so long, milliseconds:
/// longer than a lease.
pub const WITHHELD: u64 = 2000;
/// A pause between two calls that is longer than this was a sleep of this coordinator, milliseconds.
const SLEEP: u64 = 2000;
/// The most events that wait for the log, and the most strangers.
pub(super) const MAX_WAITING: usize = 4096;

/// The view of one coordinator.
#[derive(Debug)]
pub struct Gossip {
    pub(super) me: Identity,
    pub(super) leaves: bool,
    pub(super) holds_off: bool,
    pub(super) begun: u64,
    /// The time of the last call.
    pub(super) last: u64,
    pub(super) list: Option<List>,
    pub(super) adopted: u64,
    /// Another member has a later list of this lineage, which has not come here yet.
    pub(super) is_behind: bool,
    /// The last list whose members had all ended, and until when it is not taken again.
    pub(super) abandoned: Option<(ListId, u64)>,
    /// The version of the list before, and the ballot that made the present one: who has voted for it can make it, too.
    pub(super) made_by: Option<(u64, Ballot)>,
    /// The members, in the order of the list. The own one is not used.
    pub(super) contacts: Vec<Contact>,
    /// What digests say of them.
    pub(super) marks: OwnMarks,
    pub(super) voter: Voter,
    pub(super) campaign: Option<Campaign>,
    /// No campaign before.
    pub(super) rest_until: u64,
    /// Those who ask and are not in the list.
    pub(super) strangers: BTreeMap<String, Stranger>,
    pub(super) seeds: Vec<Seed>,
    pub(super) events: Vec<GossipEvent>,
}

/// What this coordinator says of the members. It is computed with each tick and change, and not for each digest.
#[derive(Debug, Default)]
pub(super) struct OwnMarks {
    pub(super) gone: Marks,
    pub(super) left: Marks,
    pub(super) forgotten: Marks,
}

/// Those by whose answers a lease holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate<'a> {
    /// The other members that count.
    pub others: Vec<&'a str>,
    /// The number of them whose answers are needed.
    pub answers: usize,
}

/// A member, as the admin port shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The member.
    pub identity: Identity,
    /// Its state.
    pub state: MemberState,
    /// Whether it counts for the majority.
    pub counts: bool,
    /// The milliseconds since it last answered; 0 for this coordinator.
    pub silent: u64,
}

impl Gossip {
    /// A coordinator that has just started and knows nobody. `me`: its start is the wall clock's, Unix milliseconds.
    pub fn new(me: Identity, now: u64) -> Self {
        Self {
            me,
            leaves: false,
            holds_off: false,
            begun: now,
            last: now,
            list: None,
            adopted: now,
            is_behind: false,
            abandoned: None,
            made_by: None,
            contacts: Vec::new(),
            marks: OwnMarks::default(),
            voter: Voter::default(),
            campaign: None,
            rest_until: 0,
            strangers: BTreeMap::new(),
            seeds: Vec::new(),
            events: Vec::new(),
        }
    }

    /// This coordinator.
    pub fn me(&self) -> &Identity {
        &self.me
    }

    /// The agreed list. `None`: it has heard of none.
    pub fn agreed(&self) -> Option<&List> {
        self.list.as_ref()
    }

    /// Whether this coordinator is in the agreed list.
    pub fn is_member(&self) -> bool {
        self.own_rank().is_some()
    }

    /// The peers of the ring: those of the agreed list, without those that leave or whose ports refuse for long.
    pub fn members(&self, now: u64) -> Vec<Peer> {
        let own = self.own_rank();
        let is_in = |rank, contact: &Contact| if own == Some(rank) { !self.leaves } else { contact.is_in_ring(now) };
        let members = self.contacts().filter(|(rank, _, contact)| is_in(*rank, contact));
        members.map(|(_, member, _)| member.peer.clone()).collect()
    }

    /// By whose answers the lease holds. `None`: this coordinator is no member, and has no lease whatever they answer.
    pub fn electorate(&self, now: u64) -> Option<Electorate<'_>> {
        let others: Vec<&str> = self.voters(now).map(|(_, member, _)| member.name()).collect();
        self.is_member().then(|| Electorate { answers: self.answers_needed(others.len()), others })
    }

    /// Whether a member does not count, because its process is known to have ended or an operator says so.
    pub fn has_ended(&self, name: &str, now: u64) -> bool {
        self.rank(name).and_then(|rank| self.contacts.get(rank)).is_none_or(|contact| !self.counts(contact, now))
    }

    /// Whether this side hears most of the agreed list.
    pub fn has_majority(&self, now: u64) -> bool {
        self.is_member() && self.is_majority(now, |contact| contact.is_heard(now))
    }

    /// The members that would have to answer again, or be forgotten, for this side to have a majority. Empty: it has.
    pub fn missing(&self, now: u64) -> Vec<String> {
        if self.list.is_none() || self.has_majority(now) {
            return Vec::new();
        }
        let silent = self.voters(now).filter(|(_, _, contact)| !contact.is_heard(now));
        silent.map(|(_, member, _)| member.name().to_owned()).collect()
    }

    /// The members that do not count because an operator says so.
    pub fn forgotten(&self) -> Vec<String> {
        self.others()
            .filter(|(_, _, contact)| contact.forgotten)
            .map(|(_, member, _)| member.name().to_owned())
            .collect()
    }

    /// Whether no list is to be founded yet: the seeds are not known, or one refuses this coordinator.
    pub fn hold_off(&mut self, holds_off: bool) {
        self.holds_off = holds_off;
    }

    /// All members and those who ask to be, by name.
    pub fn view(&self, now: u64) -> Vec<MemberView> {
        let own = self.own_rank();
        let of = |(rank, member, contact): (usize, &Identity, &Contact)| {
            let is_own = own == Some(rank);
            MemberView {
                identity: member.clone(),
                state: if is_own { MemberState::Alive } else { contact.state(now) },
                counts: is_own || self.counts(contact, now),
                silent: if is_own { 0 } else { now.saturating_sub(contact.heard) },
            }
        };
        let mut all: Vec<_> = self.contacts().map(of).collect();
        let joining = self.strangers.values().map(|stranger| MemberView {
            identity: stranger.identity.clone(),
            state: MemberState::Joining,
            counts: false,
            silent: now.saturating_sub(stranger.asked),
        });
        all.extend(joining);
        all.sort_by(|a, b| a.identity.name().cmp(b.identity.name()));
        all
    }

    /// Leaves the ring: the others hear of it with the next calls.
    pub fn leave(&mut self) {
        self.leaves = true;
    }

    /// Hears that a member leaves the ring; `ended`: that it has ended.
    pub fn member_leaves(&mut self, name: &str, ended: bool, now: u64) {
        let Some(rank) = self.rank(name).filter(|rank| self.own_rank() != Some(*rank)) else { return };
        let Some(contact) = self.contacts.get_mut(rank) else { return };
        contact.ended |= ended;
        if !std::mem::replace(&mut contact.left, true) {
            self.tell(name, MemberChange::Left);
        }
        self.mark(now);
    }

    /// What becomes of an operator's word that a member is gone for good.
    pub fn may_forget(&self, name: &str, now: u64) -> Forget {
        match self.rank(name).and_then(|rank| self.contacts.get(rank)) {
            _ if name == self.me.name() => Forget::Own,
            None => Forget::Unknown,
            Some(contact) if contact.is_heard(now) => Forget::Answers,
            Some(_) => Forget::Forgotten,
        }
    }

    /// Takes the word of an operator that a member is gone for good: it does not count any more.
    pub fn forget(&mut self, name: &str, now: u64) -> Forget {
        let outcome = self.may_forget(name, now);
        let contact = self.rank(name).and_then(|rank| self.contacts.get_mut(rank));
        if let Some(contact) = contact.filter(|_| outcome == Forget::Forgotten) {
            if !std::mem::replace(&mut contact.forgotten, true) {
                self.tell(name, MemberChange::Forgotten);
            }
            self.mark(now);
        }
        outcome
    }

    /// Takes what the log is to say.
    pub fn take_events(&mut self) -> Vec<GossipEvent> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn tell(&mut self, name: &str, change: MemberChange) {
        let event = GossipEvent { name: name.to_owned(), change };
        if self.events.len() < MAX_WAITING && self.events.last() != Some(&event) {
            self.events.push(event);
        }
    }

    pub(super) fn tell_own(&mut self, change: MemberChange) {
        let name = self.me.name().to_owned();
        self.tell(&name, change);
    }

    pub(super) fn rank(&self, name: &str) -> Option<usize> {
        self.list.as_ref()?.rank(name)
    }

    pub(super) fn own_rank(&self) -> Option<usize> {
        self.list.as_ref()?.rank_of(&self.me)
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = (usize, &Identity, &Contact)> {
        let members = self.list.iter().flat_map(List::members);
        members.zip(&self.contacts).enumerate().map(|(rank, (member, contact))| (rank, member, contact))
    }

    pub(super) fn others(&self) -> impl Iterator<Item = (usize, &Identity, &Contact)> {
        let own = self.own_rank();
        self.contacts().filter(move |(rank, ..)| Some(*rank) != own)
    }

    /// The other members that count for a majority.
    pub(super) fn voters(&self, now: u64) -> impl Iterator<Item = (usize, &Identity, &Contact)> {
        self.others().filter(move |(_, _, contact)| self.counts(contact, now))
    }

    /// Whether a member counts. Where a later list may be, the dead count, too: they may have voted for it.
    pub(super) fn counts(&self, contact: &Contact, now: u64) -> bool {
        !contact.forgotten && (self.is_behind(now) || !contact.is_dead(now))
    }

    /// Whether there may be a later list that has not come here yet: another has it, or a proposer has ended that may have
    /// made it.
    pub(super) fn is_behind(&self, now: u64) -> bool {
        let proposer = self.voter.promised().and_then(|ballot| self.rank(&ballot.by));
        let proposer = proposer.filter(|rank| self.own_rank() != Some(*rank));
        let is_silent = |rank: usize| self.contacts.get(rank).is_some_and(|contact| !contact.is_heard(now));
        self.is_behind || proposer.is_some_and(is_silent)
    }

    /// Of so many others that count, how many make a majority with this one: more than half of the list, or all of them
    /// where more have ended.
    pub(super) fn answers_needed(&self, others: usize) -> usize {
        others.min(self.contacts.len() / 2)
    }

    /// Whether this member and those for whom `holds` are a majority.
    pub(super) fn is_majority(&self, now: u64, holds: impl Fn(&Contact) -> bool) -> bool {
        let (mut others, mut yes) = (0, 0);
        for (_, _, contact) in self.voters(now) {
            others += 1;
            yes += usize::from(holds(contact));
        }
        yes >= self.answers_needed(others)
    }

    pub(super) fn mark(&mut self, now: u64) {
        let marks = |is_marked: fn(&Contact, u64) -> bool| {
            self.others().filter(|(_, _, contact)| is_marked(contact, now)).map(|(rank, ..)| rank).collect()
        };
        self.marks = OwnMarks {
            gone: marks(Contact::is_gone),
            left: marks(|contact, _| contact.left),
            forgotten: marks(|contact, _| contact.forgotten),
        };
    }

    /// Records that time has passed. In a sleep of this coordinator nobody else was silent.
    pub(super) fn wake(&mut self, now: u64) {
        let gap = now.saturating_sub(self.last);
        if gap > SLEEP {
            self.contacts.iter_mut().for_each(|contact| contact.sleep(gap));
            self.campaign = None;
        }
        self.last = self.last.max(now);
    }
}
