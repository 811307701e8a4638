//! The agreed list, and the change that makes the next one of it.

use crate::cluster::gossip::{identity::Identity, marks::Marks};
use meshcache_protocol::Hash;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// The most members of a list.
pub const MAX_MEMBERS: usize = 4096;
/// The most members that one change adds.
pub const MAX_JOINS: usize = 512;

/// What tells lists apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListId {
    /// The founder, as a hash: lists of one lineage are made of one another.
    pub lineage: u64,
    /// The number of changes since the lineage was founded.
    pub epoch: u64,
    /// A digest of the members.
    pub version: u64,
    /// The number of members.
    pub members: usize,
}

impl ListId {
    /// Whether who has this list takes the other one in its place. The later of one lineage; of two lineages, that of
    /// most members.
    pub fn gives_way_to(&self, other: &Self) -> bool {
        if self.lineage == other.lineage {
            (self.epoch, self.version) < (other.epoch, other.version)
        } else {
            (self.members, self.lineage) < (other.members, other.lineage)
        }
    }
}

/// The members by whom the majority is counted, by name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Message", into = "Message")]
pub struct List {
    id: ListId,
    members: Arc<[Identity]>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Message {
    lineage: u64,
    epoch: u64,
    members: Vec<Identity>,
}

impl From<Message> for List {
    fn from(Message { lineage, epoch, members }: Message) -> Self {
        Self::new(lineage, epoch, members)
    }
}

impl From<List> for Message {
    fn from(list: List) -> Self {
        Self { lineage: list.id.lineage, epoch: list.id.epoch, members: list.members.to_vec() }
    }
}

/// A change of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// The members that go, by their places in the list.
    #[serde(skip_serializing_if = "Marks::is_empty")]
    pub remove: Marks,
    /// Those that come. One of a name that is in the list takes its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Identity>,
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

impl List {
    /// The list of a founder alone. `now`: it may found another one later.
    pub(super) fn founded_by(founder: &Identity, now: u64) -> Self {
        let Identity { peer, start } = founder;
        let lineage = Hash::of(format!("{} {} {start} {now}", peer.name, peer.peer).as_bytes()).low();
        Self::new(lineage, 0, vec![founder.clone()])
    }

    fn new(lineage: u64, epoch: u64, mut members: Vec<Identity>) -> Self {
        members.sort_by(|a, b| a.name().cmp(b.name()));
        members.dedup_by(|b, a| a.name() == b.name());
        members.truncate(MAX_MEMBERS);
        let mut text = String::new();
        for Identity { peer, start } in &members {
            text.extend([&peer.name, " ", &peer.data, " ", &peer.peer, " ", &start.to_string(), "\n"]);
        }
        let id = ListId { lineage, epoch, version: Hash::of(text.as_bytes()).low(), members: members.len() };
        Self { id, members: members.into() }
    }

    /// The list that a change makes of this one.
    pub fn apply(&self, change: &Change) -> Self {
        let new: BTreeSet<&str> = change.add.iter().map(Identity::name).collect();
        let stays =
            |(rank, member): &(usize, &Identity)| !change.remove.contains(*rank) && !new.contains(member.name());
        let kept = self.members.iter().enumerate().filter(stays).map(|(_, member)| member);
        let members = change.add.iter().chain(kept).cloned().collect();
        Self::new(self.id.lineage, self.id.epoch.saturating_add(1), members)
    }

    /// What tells it apart.
    pub fn id(&self) -> ListId {
        self.id
    }

    /// The members, by name.
    pub fn members(&self) -> &[Identity] {
        &self.members
    }

    /// The place of a name.
    pub fn rank(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.name().cmp(name)).ok()
    }

    /// The place of an identity.
    pub fn rank_of(&self, identity: &Identity) -> Option<usize> {
        self.rank(identity.name()).filter(|rank| self.members.get(*rank) == Some(identity))
    }
}
