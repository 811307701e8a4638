//! Membership without an API that knows it: coordinators find one another by seeds, and agree on the list of members.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps. The messages are [`Digest`]s, which ride on the
//! calls that peers make for the lease anyway, in both directions.
//!
//! # The list
//!
//! The **agreed list** is what the majority is counted by, and the ring is made of it. Each list has exactly one
//! successor: most of its members vote for a [`list::Change`] of it (Paxos, one instance a list; the first member by
//! name that is heard proposes). So two coordinators with lists of one epoch have the same ring, and while a change
//! spreads there are two rings, not more.
//!
//! - Each member asks each other one anyway. So nobody needs rumours of who is alive: a digest says whom its sender does
//!   not hear, and a member is removed when most of the list do not hear it. A member that some hear and most do not is
//!   silent; one that most hear stays, whatever the others say. To be heard again is the refutation.
//! - A member counts for the majority from the moment on at which a list has it, and most of the list before have voted
//!   for that one.
//! - A newcomer is listed when the proposer has asked it at its address and it has answered: late or made-up messages of
//!   a start that has ended list nobody.
//! - A member that says that it leaves is in no ring at once, and in the list until it has ended.
//! - Of two with one name the later start is listed. A start that finds its own name in the first list that it hears of
//!   numbers itself later than that: the clock of a machine decides nothing.
//! - Two clusters that meet (both were founded while they could not reach each other): that of fewer members takes the
//!   list of the other, and its members join one by one.
//!
//! # Why two sides never both hold most
//!
//! A *majority* is more than half of the members of one list; where more than half have ended, all that have not. A
//! member is known to have ended when it has said so, when another process answers at its address, or when its port
//! refuses and had answered within 3 s before; a port that refuses after a longer silence proves nothing, since what it
//! voted for meanwhile is unknown here. While a later list may be somewhere, nobody counts as ended.
//!
//! 1. Two majorities of one list share a member, or all of one have ended. So only one change of it is voted for by a majority: what a proposer
//!    may propose is the last change that one of its majority has voted for, if there is one. A member never forgets its
//!    votes: a start that has forgotten them is another identity, and no member until it is listed.
//! 2. Be x removed by the list e+1. Each of the majority that voted for it had given x no answer that counts
//!    ([`Digest::counts_receiver`]) for [`WITHHELD`], longer than a lease, and gives it none after that. The lease of x
//!    needs such answers from a majority of e, which shares a member with the one that voted. So x has lost its lease
//!    before anybody has the list e+1, and a purge that does not wait for x is not missed by it.
//! 3. A side that hears no majority of its list makes no other one, and its leases end. An operator who says of a member
//!    that it is gone for good ([`Gossip::forget`]) takes it out of the count, and answers for that being true.
//! 4. Two sides with different lists of one lineage: a majority of the earlier list has voted for the later one, and by
//!    2 gives no answers that count to whom that removed. Who is in both is waited for by purges of both.
//!
//! What is not covered: all of the majority that voted for a list with newcomers end within seconds, before one of the
//! others hears of it, and the newcomers and the others cannot reach each other from then on. And a side all of whose
//! members start anew while they are cut off: they know of nobody, and found a cluster of their own.
//!
//! # What the host does
//!
//! - [`Gossip::tick`] every [`TICK`]: it says whom to ask beside the members, which are asked by the lease's calls.
//! - Each call to a peer carries [`Gossip::question_for`] it, each answer what [`Gossip::answer`] returns.
//!   [`Gossip::answered`] says whether an answer may renew the lease; [`Gossip::refused`] hears of refused connections.
//! - The lease holds by the answers that [`Gossip::electorate`] says. A refused connection counts for it only if
//!   [`Gossip::has_ended`] says so: else the peer may be alive.
//! - A purge is acknowledged when the answers to it told of no list with further members: these are to be reached too.

pub mod digest;
pub mod event;
pub mod identity;
pub mod list;
pub mod marks;
pub mod vote;

mod adoption;
mod campaign;
mod contact;
mod exchange;
mod stranger;
#[cfg(test)]
mod tests;
mod tick;

pub use digest::Digest;
pub use event::{Forget, GossipEvent, MemberChange, MemberState};
pub use identity::Identity;
pub use list::{List, ListId};
pub use tick::Ask;

use campaign::Campaign;
use contact::Contact;
use meshcache_protocol::Peer;
use std::collections::BTreeMap;
use stranger::Stranger;
use tick::Seed;
use vote::{Ballot, Voter};

/// The time between two ticks, milliseconds.
pub const TICK: u64 = 200;
/// A member votes for the removal of another one when it has given it no answer that counts for so long, milliseconds:
/// longer than a lease.
pub const WITHHELD: u64 = 2000;
/// A pause between two calls that is longer than this was a sleep of this coordinator, milliseconds.
const SLEEP: u64 = 2000;
/// The most events that wait for the log, and the most strangers.
const MAX_WAITING: usize = 4096;

/// The view of one coordinator.
#[derive(Debug)]
pub struct Gossip {
    me: Identity,
    leaves: bool,
    holds_off: bool,
    begun: u64,
    /// The time of the last call.
    last: u64,
    list: Option<List>,
    adopted: u64,
    /// Another member has a later list of this lineage, which has not come here yet.
    is_behind: bool,
    /// The last list whose members had all ended, and until when it is not taken again.
    abandoned: Option<(ListId, u64)>,
    /// The version of the list before, and the ballot that made the present one: who has voted for it can make it, too.
    made_by: Option<(u64, Ballot)>,
    /// The members, in the order of the list. The own one is not used.
    contacts: Vec<Contact>,
    voter: Voter,
    campaign: Option<Campaign>,
    /// No campaign before.
    rest_until: u64,
    /// Those who ask and are not in the list.
    strangers: BTreeMap<String, Stranger>,
    seeds: Vec<Seed>,
    events: Vec<GossipEvent>,
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
    pub fn member_leaves(&mut self, name: &str, ended: bool) {
        let Some(rank) = self.rank(name).filter(|rank| self.own_rank() != Some(*rank)) else { return };
        let Some(contact) = self.contacts.get_mut(rank) else { return };
        contact.ended |= ended;
        if !std::mem::replace(&mut contact.left, true) {
            self.tell(name, MemberChange::Left);
        }
    }

    /// Takes the word of an operator that a member is gone for good: it does not count any more.
    pub fn forget(&mut self, name: &str, now: u64) -> Forget {
        if name == self.me.name() {
            return Forget::Own;
        }
        let Some(contact) = self.rank(name).and_then(|rank| self.contacts.get_mut(rank)) else {
            return Forget::Unknown;
        };
        if contact.is_heard(now) {
            return Forget::Answers;
        }
        if !std::mem::replace(&mut contact.forgotten, true) {
            self.tell(name, MemberChange::Forgotten);
        }
        Forget::Forgotten
    }

    /// Takes what the log is to say.
    pub fn take_events(&mut self) -> Vec<GossipEvent> {
        std::mem::take(&mut self.events)
    }

    fn tell(&mut self, name: &str, change: MemberChange) {
        let event = GossipEvent { name: name.to_owned(), change };
        if self.events.len() < MAX_WAITING && self.events.last() != Some(&event) {
            self.events.push(event);
        }
    }

    fn tell_own(&mut self, change: MemberChange) {
        let name = self.me.name().to_owned();
        self.tell(&name, change);
    }

    fn rank(&self, name: &str) -> Option<usize> {
        self.list.as_ref()?.rank(name)
    }

    fn own_rank(&self) -> Option<usize> {
        self.list.as_ref()?.rank_of(&self.me)
    }

    fn contacts(&self) -> impl Iterator<Item = (usize, &Identity, &Contact)> {
        let members = self.list.iter().flat_map(List::members);
        members.zip(&self.contacts).enumerate().map(|(rank, (member, contact))| (rank, member, contact))
    }

    fn others(&self) -> impl Iterator<Item = (usize, &Identity, &Contact)> {
        let own = self.own_rank();
        self.contacts().filter(move |(rank, ..)| Some(*rank) != own)
    }

    /// The other members that count for a majority.
    fn voters(&self, now: u64) -> impl Iterator<Item = (usize, &Identity, &Contact)> {
        self.others().filter(move |(_, _, contact)| self.counts(contact, now))
    }

    /// Whether a member counts. Where a later list may be, the dead count, too: they may have voted for it.
    fn counts(&self, contact: &Contact, now: u64) -> bool {
        !contact.forgotten && (self.is_behind(now) || !contact.is_dead(now))
    }

    /// Whether there may be a later list that has not come here yet: another has it, or a proposer has ended that may have
    /// made it.
    fn is_behind(&self, now: u64) -> bool {
        let proposer = self.voter.promised().and_then(|ballot| self.rank(&ballot.by));
        let proposer = proposer.filter(|rank| self.own_rank() != Some(*rank));
        let is_silent = |rank: usize| self.contacts.get(rank).is_some_and(|contact| !contact.is_heard(now));
        self.is_behind || proposer.is_some_and(is_silent)
    }

    /// Of so many others that count, how many make a majority with this one: more than half of the list, or all of them
    /// where more have ended.
    fn answers_needed(&self, others: usize) -> usize {
        others.min(self.contacts.len() / 2)
    }

    /// Whether this member and those for whom `holds` are a majority.
    fn is_majority(&self, now: u64, holds: impl Fn(&Contact) -> bool) -> bool {
        let (mut others, mut yes) = (0, 0);
        for (_, _, contact) in self.voters(now) {
            others += 1;
            yes += usize::from(holds(contact));
        }
        yes >= self.answers_needed(others)
    }

    /// Records that time has passed. In a sleep of this coordinator nobody else was silent.
    fn wake(&mut self, now: u64) {
        let gap = now.saturating_sub(self.last);
        if gap > SLEEP {
            self.contacts.iter_mut().for_each(|contact| contact.sleep(gap));
            self.campaign = None;
        }
        self.last = self.last.max(now);
    }
}
