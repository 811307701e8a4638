//! Questions, answers, and refused connections.

use crate::cluster::gossip::{
    contact::Contact,
    digest::Digest,
    event::MemberChange,
    identity::Identity,
    list::List,
    state::{Gossip, MAX_WAITING},
    stranger::Stranger,
    vote::{Proposal, Votes},
};

impl Gossip {
    /// What a question to a peer carries. `None`: it is not known who is there.
    pub fn question_for(&self, name: Option<&str>) -> Digest {
        let votes = if self.is_member() { self.voter.told_to(name.unwrap_or_default()) } else { Votes::default() };
        Digest {
            from: self.me.clone(),
            leaves: self.leaves,
            list: self.list.as_ref().map(List::id),
            members: None,
            counts_receiver: false,
            gone: self.marks.gone.clone(),
            left: self.marks.left.clone(),
            forgotten: self.marks.forgotten.clone(),
            votes,
            proposal: name.and_then(|name| self.proposal_for(name)),
        }
    }

    /// Takes a question, and returns what the answer to it carries.
    pub fn answer(&mut self, question: &Digest, now: u64) -> Digest {
        self.wake(now);
        self.record(question, now);
        let counts_receiver = self.count(&question.from, now);
        let members = self.list.as_ref().filter(|list| self.is_to_be_told(list, question)).cloned();
        Digest { counts_receiver, members, ..self.question_for(Some(question.from.name())) }
    }

    /// Takes the answer to a question that was sent to an address at `sent`. Returns whether the lease may be renewed by
    /// it: a member has answered that counts this one.
    pub fn answered(&mut self, at: &str, answer: &Digest, sent: u64, now: u64) -> bool {
        self.wake(now);
        self.note_response(at);
        self.record(answer, now);
        let from = &answer.from;
        if let Some(stranger) = self.strangers.get_mut(from.name()).filter(|stranger| stranger.identity == *from) {
            stranger.answered = stranger.answered.max(Some(sent));
        }
        let rank = self.list.as_ref().and_then(|list| list.rank_of(from));
        if let Some(contact) = rank.and_then(|rank| self.contacts.get_mut(rank)) {
            contact.answers(sent);
        }
        if rank.is_none() || from.peer.peer != at {
            // One port has one process: whoever else is listed there has ended.
            let others = self.listed_at(at).filter(|(member, contact)| *member != from && sent > contact.since);
            others.for_each(|(_, contact)| contact.replaced = true);
        }
        answer.counts_receiver && rank.is_some() && self.is_member()
    }

    /// Hears that an address refused a connection at `sent`.
    pub fn refused(&mut self, at: &str, sent: u64, now: u64) {
        self.wake(now);
        self.note_response(at);
        self.listed_at(at).for_each(|(_, contact)| contact.refuses(sent, now));
    }

    fn listed_at(&mut self, at: &str) -> impl Iterator<Item = (&Identity, &mut Contact)> {
        let members = self.list.iter().flat_map(List::members).zip(&mut self.contacts);
        members.filter(move |(member, _)| member.peer.peer == at)
    }

    fn note_response(&mut self, at: &str) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.at == at) {
            seed.has_responded = true;
        }
    }

    /// Whether a member counts, and is told so: it is heard, and no vote from here removes it.
    fn count(&mut self, identity: &Identity, now: u64) -> bool {
        let Some(rank) = self.list.as_ref().and_then(|list| list.rank_of(identity)) else { return false };
        let (is_member, is_removed) = (self.is_member(), self.voter.removes(rank));
        let Some(contact) = self.contacts.get_mut(rank) else { return false };
        let counts = is_member && !is_removed && !contact.forgotten && contact.is_heard(now);
        if counts {
            contact.counted = Some(now);
        }
        counts
    }

    fn record(&mut self, digest: &Digest, now: u64) {
        let from = &digest.from;
        if from.name() == self.me.name() {
            if *from != self.me {
                self.tell(from.name(), MemberChange::NameTaken);
                self.learn(digest, now);
            }
            return;
        }
        self.learn(digest, now);
        match self.list.as_ref().and_then(|list| list.rank_of(from)) {
            Some(rank) => self.record_member(rank, digest, now),
            None => self.record_stranger(digest, now),
        }
    }

    fn record_member(&mut self, rank: usize, digest: &Digest, now: u64) {
        if digest.leaves {
            self.member_leaves(digest.from.name(), false, now);
        }
        let own = self.list.as_ref().map(List::id);
        let Some(contact) = self.contacts.get_mut(rank) else { return };
        contact.list = digest.list;
        contact.defected = digest.list.map(|list| list.lineage) != own.map(|list| list.lineage);
        if digest.list != own {
            return;
        }
        contact.gone = (digest.gone.clone(), now);
        // Messages overtake one another, votes do not go back.
        if (&digest.votes.promised, &digest.votes.accepted) >= (&contact.votes.promised, &contact.votes.accepted) {
            contact.votes = digest.votes.clone();
        }
        if let Some(proposal) = &digest.proposal {
            self.hear_proposal(proposal, now);
        }
        self.hear_of_others(digest, now);
    }

    /// Hears who has left, and of whom an operator says that they are gone.
    fn hear_of_others(&mut self, digest: &Digest, now: u64) {
        let own = self.own_rank();
        for rank in digest.left.iter().chain(digest.forgotten.iter()).filter(|rank| Some(*rank) != own) {
            let Some(contact) = self.contacts.get_mut(rank) else { continue };
            let has_left = digest.left.contains(rank) && !contact.left;
            let is_forgotten = digest.forgotten.contains(rank) && !contact.forgotten && !contact.is_heard(now);
            (contact.left, contact.forgotten) = (contact.left || has_left, contact.forgotten || is_forgotten);
            let change = match (has_left, is_forgotten) {
                (true, _) => MemberChange::Left,
                (_, true) => MemberChange::Forgotten,
                _ => continue,
            };
            self.mark(now);
            let member = self.list.as_ref().and_then(|list| list.members().get(rank));
            if let Some(name) = member.map(|member| member.name().to_owned()) {
                self.tell(&name, change);
            }
        }
    }

    pub(super) fn hear_proposal(&mut self, proposal: &Proposal, now: u64) {
        self.voter.hear(proposal);
        self.vote(now);
    }

    fn record_stranger(&mut self, digest: &Digest, now: u64) {
        let name = digest.from.name();
        let is_full = self.strangers.len() >= MAX_WAITING;
        match self.strangers.get_mut(name) {
            Some(known) if known.identity == digest.from => {
                (known.asked, known.list, known.leaves) = (now, digest.list, digest.leaves);
            }
            // A later start takes the place; an earlier one waits until that one asks no more.
            Some(known) if known.identity.supersedes(&digest.from) => self.tell(name, MemberChange::NameTaken),
            None if is_full => {}
            _ => {
                let stranger = Stranger {
                    identity: digest.from.clone(),
                    asked: now,
                    answered: None,
                    next: 0,
                    list: digest.list,
                    leaves: digest.leaves,
                };
                self.strangers.insert(name.to_owned(), stranger);
            }
        }
    }
}
