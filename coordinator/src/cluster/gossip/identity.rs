//! One start of a coordinator.

use crate::cluster::announcements::peer_problem;
use meshcache_protocol::Peer;
use serde::{Deserialize, Serialize};

/// A coordinator from its start to its end. One that starts again is another identity of the same name: it has
/// forgotten what it promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name and the addresses.
    #[serde(flatten)]
    pub peer: Peer,
    /// The start: Unix milliseconds by its own clock, later than that of the identity of its name that it found.
    pub start: u64,
}

impl Identity {
    /// The name.
    pub fn name(&self) -> &str {
        &self.peer.name
    }

    /// Whether it started later than another of its name. Of two with one name it stays.
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.start, &self.peer.peer, &self.peer.data) > (other.start, &other.peer.peer, &other.peer.data)
    }

    /// The label of what is wrong with it, if anything is.
    pub(super) fn problem(&self) -> Option<&'static str> {
        peer_problem(&self.peer)
    }
}
