//! Proposing the next list, and counting the votes.

use crate::cluster::gossip::{
    contact::Contact,
    list::{Change, List, MAX_JOINS, MAX_MEMBERS},
    marks::Marks,
    state::Gossip,
    vote::{Ballot, Campaign, Proposal},
};

/// What a member said of others is true for so long, milliseconds.
const SAID: u64 = 3000;
/// The members that are heard have this time to take a list before its successor is proposed, milliseconds.
const SETTLE: u64 = 3000;
/// A proposal for which most do not vote in this time is given up, milliseconds.
const GIVE_UP: u64 = 5000;
/// The pause after one that was outbid or given up, milliseconds.
const REST: u64 = 1000;

impl Gossip {
    /// Whether this coordinator is the one that proposes: no member before it by name is heard.
    pub(super) fn is_proposer(&self, now: u64) -> bool {
        let Some(own) = self.own_rank() else { return false };
        self.contacts.iter().take(own).all(|contact| contact.left || !contact.is_heard(now))
    }

    /// The proposal that a member is to hear, until it has voted.
    pub(super) fn proposal_for(&self, name: &str) -> Option<Proposal> {
        let proposal = &self.campaign.as_ref()?.proposal;
        let contact = self.contacts.get(self.rank(name)?)?;
        let has_heard = match proposal.change {
            None => contact.votes.promised.as_ref() == Some(&proposal.ballot),
            Some(_) => contact.votes.accepted.as_ref() == Some(&proposal.ballot),
        };
        (!has_heard).then(|| proposal.clone())
    }

    /// Begins, goes on with, or gives up a campaign.
    pub(super) fn campaign(&mut self, now: u64) {
        if !self.is_proposer(now) || !self.has_majority(now) {
            self.campaign = None;
            return;
        }
        let Some(campaign) = &self.campaign else { return self.begin(now) };
        let Campaign { proposal, begun } = campaign;
        if self.voter.promised() != Some(&proposal.ballot) || now >= begun.saturating_add(GIVE_UP) {
            self.campaign = None;
            self.rest_until = now.saturating_add(REST);
            return;
        }
        let ballot = proposal.ballot.clone();
        match &proposal.change {
            None if self.is_majority(now, |contact| has_promised(contact, &ballot)) => {
                let change = self.last_accepted(&ballot).unwrap_or_else(|| self.due(now));
                if change.is_empty() {
                    self.campaign = None;
                    return;
                }
                self.propose(Proposal { ballot, change: Some(change) }, now);
            }
            Some(change)
                if self.voter.accepted().is_some_and(|(own, _)| *own == ballot)
                    && self.is_majority(now, |contact| contact.votes.accepted.as_ref() == Some(&ballot)) =>
            {
                let Some(list) = &self.list else { return };
                let (next, made_by) = (list.apply(change), (list.id().version, ballot));
                self.adopt(next, Some(made_by), now);
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: u64) {
        let own = self.list.as_ref().map(List::id);
        let is_settled = now >= self.adopted.saturating_add(SETTLE)
            || self.others().all(|(_, _, contact)| contact.list == own || !contact.is_heard(now));
        if now < self.rest_until || !is_settled || self.due(now).is_empty() {
            return;
        }
        let promised = self.others().filter_map(|(_, _, contact)| contact.votes.promised.as_ref());
        let round = promised.chain(self.voter.promised()).map(|ballot| ballot.round).max().unwrap_or(0);
        let ballot = Ballot { round: round.saturating_add(1), by: self.me.name().to_owned() };
        self.propose(Proposal { ballot, change: None }, now);
    }

    fn propose(&mut self, proposal: Proposal, now: u64) {
        self.hear_proposal(&proposal, now);
        self.campaign = Some(Campaign { proposal, begun: now });
    }

    /// The change for which one of those that have promised voted last: a majority may have voted for it.
    fn last_accepted(&self, ballot: &Ballot) -> Option<Change> {
        let votes = self.others().map(|(_, _, contact)| contact).filter(|contact| has_promised(contact, ballot));
        let votes = votes.filter_map(|contact| contact.votes.accepted.as_ref().zip(contact.votes.change.as_ref()));
        let own = self.voter.accepted().map(|(ballot, change)| (ballot, change));
        votes.chain(own).max_by(|a, b| a.0.cmp(b.0)).map(|(_, change)| change.clone())
    }

    /// The change that is due: without those that most do not hear, with those that ask and answer.
    fn due(&self, now: u64) -> Change {
        let Some(list) = &self.list else { return Change::default() };
        let mut remove = self.unheard_by_most(now);
        let kept = list.members().len().saturating_sub(remove.iter().count());
        let room = MAX_MEMBERS.saturating_sub(kept).min(MAX_JOINS);
        let mut add = Vec::new();
        for stranger in self.strangers.values().filter(|stranger| stranger.may_join(&list.id(), now)) {
            let name = stranger.identity.name();
            let rank = list.rank(name);
            let found = rank.and_then(|rank| Some((rank, list.members().get(rank)?, self.contacts.get(rank)?)));
            if found.is_some_and(|(_, member, contact)| member.supersedes(&stranger.identity) && !contact.is_gone(now))
                || name == self.me.name()
                || add.len() >= room
            {
                continue;
            }
            // The one of this name that is listed loses its lease first.
            rank.into_iter().for_each(|rank| remove.insert(rank));
            add.push(stranger.identity.clone());
        }
        Change { remove, add }
    }

    fn unheard_by_most(&self, now: u64) -> Marks {
        let mut counts = vec![0; self.contacts.len()];
        let mut electorate = 1;
        let own: Marks = self.others().filter(|(_, _, contact)| contact.is_gone(now)).map(|(rank, ..)| rank).collect();
        let mut tally = |marks: &Marks| {
            marks.iter().for_each(|rank| counts.get_mut(rank).into_iter().for_each(|count| *count += 1));
        };
        tally(&own);
        for (_, _, contact) in self.voters(now) {
            electorate += 1;
            if now < contact.gone.1.saturating_add(SAID) {
                tally(&contact.gone.0);
            }
        }
        let is_due = |rank: &usize| {
            let contact = self.contacts.get(*rank);
            contact.is_some_and(|contact| contact.forgotten || contact.ended)
                || counts.get(*rank).is_some_and(|count| 2 * count > electorate)
        };
        let own_rank = self.own_rank();
        (0..self.contacts.len()).filter(|rank| Some(*rank) != own_rank).filter(is_due).collect()
    }
}

/// Whether a member has promised to vote for nothing earlier, and has said for what it has voted.
fn has_promised(contact: &Contact, ballot: &Ballot) -> bool {
    contact.votes.promised.as_ref() == Some(ballot)
        && contact.votes.accepted.is_some() == contact.votes.change.is_some()
}
