//! The messages by which a coordinator catches up with a peer. Their JSON names are part of the wire.

use meshcache_protocol::{
    Peer,
    purge::{Position, Purge},
};
use serde::{Deserialize, Serialize};

/// Asks a peer for the purges that the sender lacks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CatchUpRequest {
    /// The purges that the sender has carried out.
    pub position: Position,
    /// The sender.
    #[serde(rename = "by", skip_serializing_if = "Option::is_none")]
    pub from: Option<Peer>,
}

/// The purges that the asker lacks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CatchUpResponse {
    /// The sender's source. Another one than before has forgotten earlier purges.
    pub source: String,
    /// Whether the sender's own lease holds.
    #[serde(rename = "holds")]
    pub holds_lease: bool,
    /// The purges that the sender has carried out.
    pub position: Position,
    /// The sender's log no longer has all purges that the asker lacks.
    #[serde(rename = "missed")]
    pub truncated: bool,
    /// The purges.
    pub purges: Vec<Purge>,
}
