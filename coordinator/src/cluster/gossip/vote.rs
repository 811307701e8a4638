//! The voting on the next list: Paxos for each list's one successor. Every member votes, the first that is heard
//! proposes.

use crate::cluster::gossip::list::Change;
use serde::{Deserialize, Serialize};

/// The number of a proposal: of two, the later is the greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ballot {
    /// The round: more than any that the proposer has seen.
    pub round: u64,
    /// The proposer's name.
    pub by: String,
}

/// A proposal, as its proposer repeats it until a member has voted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number.
    pub ballot: Ballot,
    /// What is proposed. `None`: members are asked to promise, and to say for what they have voted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change: Option<Change>,
}

/// The votes of a member on the successor of its list, as it tells of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Votes {
    /// It votes for no earlier proposal any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<Ballot>,
    /// The last proposal that it has voted for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Ballot>,
    /// The change of that proposal. Only the proposer that it has promised to is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

impl Votes {
    /// Whether nothing was promised.
    pub fn is_empty(&self) -> bool {
        self.promised.is_none()
    }
}

/// A proposal of this coordinator under way.
#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) proposal: Proposal,
    pub(super) begun: u64,
}

/// The votes of this coordinator on the successor of its list.
#[derive(Debug, Default)]
pub(super) struct Voter {
    promised: Option<Ballot>,
    accepted: Option<(Ballot, Change)>,
    /// A proposal that is voted for as soon as no member that it removes can rest its lease on an answer from here.
    pending: Option<(Ballot, Change)>,
}

impl Voter {
    pub(super) fn promised(&self) -> Option<&Ballot> {
        self.promised.as_ref()
    }

    pub(super) fn accepted(&self) -> Option<&(Ballot, Change)> {
        self.accepted.as_ref()
    }

    /// Hears a proposal. An earlier one than what was promised changes nothing.
    pub(super) fn hear(&mut self, proposal: &Proposal) {
        let Proposal { ballot, change } = proposal;
        if self.promised.as_ref().is_some_and(|promised| ballot < promised) {
            return;
        }
        if self.promised.as_ref() != Some(ballot) {
            self.promised = Some(ballot.clone());
            self.pending = None;
        }
        if let Some(change) = change
            && self.accepted.as_ref().is_none_or(|(accepted, _)| accepted != ballot)
        {
            self.pending = Some((ballot.clone(), change.clone()));
        }
    }

    /// Votes for the pending proposal, if each member that it removes may be removed.
    pub(super) fn vote(&mut self, may_remove: impl Fn(usize) -> bool) {
        if self.pending.as_ref().is_some_and(|(_, change)| change.remove.iter().all(may_remove)) {
            self.accepted = self.pending.take();
        }
    }

    /// Whether a vote that is cast or pending removes a member.
    pub(super) fn removes(&self, rank: usize) -> bool {
        [&self.accepted, &self.pending].into_iter().flatten().any(|(_, change)| change.remove.contains(rank))
    }

    /// What a member is told.
    pub(super) fn told_to(&self, name: &str) -> Votes {
        let is_proposer = self.promised.as_ref().is_some_and(|ballot| ballot.by == name);
        Votes {
            promised: self.promised.clone(),
            accepted: self.accepted.as_ref().map(|(ballot, _)| ballot.clone()),
            change: self.accepted.as_ref().filter(|_| is_proposer).map(|(_, change)| change.clone()),
        }
    }
}
