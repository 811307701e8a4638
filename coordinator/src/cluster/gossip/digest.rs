//! What coordinators tell one another with each call. Its JSON names are part of the wire.

use crate::cluster::gossip::{
    identity::Identity,
    list::{List, ListId, MAX_JOINS},
    marks::Marks,
    vote::{Proposal, Votes},
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
        let changes =
            [self.votes.change.as_ref(), self.proposal.as_ref().and_then(|proposal| proposal.change.as_ref())];
        let added = || changes.into_iter().flatten().map(|change| &change.add);
        if added().any(|add| add.len() > MAX_JOINS) {
            return Some("too-many-members");
        }
        let listed = self.members.iter().flat_map(List::members);
        [&self.from].into_iter().chain(listed).chain(added().flatten()).find_map(Identity::problem)
    }
}
