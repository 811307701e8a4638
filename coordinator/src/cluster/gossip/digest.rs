//! What coordinators tell one another with each call. Its JSON names are part of the wire.

use crate::cluster::{
    announcements::is_bad_name,
    gossip::{
        identity::Identity,
        list::{List, ListId, MAX_JOINS, MAX_MEMBERS},
        marks::Marks,
        vote::{Proposal, Votes},
    },
};
use serde::{Deserialize, Serialize};

/// The longest digest, bytes: a list of the most members with long names.
pub const MAX_BYTES: usize = 2 << 20;

/// The digest of one coordinator for another, in a question and in an answer alike. In quiet times 300 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The sender.
    pub from: Identity,
    /// The sender owns no keys any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
    /// The sender's list. Absent: it has heard of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListId>,
    /// That list in full, where the receiver has another one that gives way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<List>,
    /// The sender counts the receiver: the answer may renew its lease.
    #[serde(default, rename = "counts", skip_serializing_if = "std::ops::Not::not")]
    pub counts_receiver: bool,
    /// The members that the sender does not hear.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub gone: Marks,
    /// The members that have announced that they leave.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub left: Marks,
    /// The members that an operator says are gone for good.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub forgotten: Marks,
    /// The sender's votes on the list's successor.
    #[serde(default, skip_serializing_if = "Votes::is_empty")]
    pub votes: Votes,
    /// The sender's proposal of a successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
}

impl Digest {
    /// The label of what is wrong with it, if anything is.
    pub fn problem(&self) -> Option<&'static str> {
        let (votes, proposal) = (&self.votes, self.proposal.as_ref());
        let ballots = [votes.promised.as_ref(), votes.accepted.as_ref(), proposal.map(|proposal| &proposal.ballot)];
        if ballots.into_iter().flatten().any(|ballot| is_bad_name(&ballot.by)) {
            return Some("bad-name");
        }
        let changes = [votes.change.as_ref(), proposal.and_then(|proposal| proposal.change.as_ref())];
        let changes = || changes.into_iter().flatten();
        if changes().any(|change| change.add.len() > MAX_JOINS) {
            return Some("too-many-members");
        }
        let mut marks =
            [&self.gone, &self.left, &self.forgotten].into_iter().chain(changes().map(|change| &change.remove));
        if marks.any(|marks| marks.is_longer_than(MAX_MEMBERS)) {
            return Some("too-many-marks");
        }
        let added = changes().flat_map(|change| &change.add);
        let listed = self.members.iter().flat_map(List::members);
        [&self.from].into_iter().chain(listed).chain(added).find_map(Identity::problem)
    }
}
