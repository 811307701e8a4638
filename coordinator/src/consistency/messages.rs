//! The messages by which a coordinator catches up with a peer. Their JSON names are part of the wire.

use crate::cluster::gossip::Digest;
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
    /// Whether the sender knows purges by `regex` and `hosts`. To others they are told as their group, or as everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// What the sender says of the members, where they find each other by gossip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gossip: Option<Digest>,
}

/// The purges that the requester lacks.
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
    /// The sender's log no longer has all purges that the requester lacks.
    #[serde(rename = "missed")]
    pub truncated: bool,
    /// The purges.
    pub purges: Vec<Purge>,
    /// The rest of the sender's lease, milliseconds.
    #[serde(rename = "rest", skip_serializing_if = "is_zero")]
    pub rest: u64,
    /// What the sender says of the members, where the requester asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gossip: Option<Digest>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_json_is_the_same_in_every_release() {
        let from = Peer { name: "a".into(), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() };
        let request = CatchUpRequest {
            position: Position::parse("a.1:3").unwrap(),
            from: Some(from.clone()),
            exact: true,
            gossip: None,
        };
        assert_eq!(serde_json::to_value(&request).unwrap(), json!({"position": "a.1:3", "by": from, "exact": true}));
        assert_eq!(serde_json::to_value(CatchUpRequest::default()).unwrap(), json!({"position": ""}));
        let response = CatchUpResponse {
            source: "a.1".into(),
            holds_lease: true,
            position: Position::parse("a.1:3").unwrap(),
            truncated: true,
            purges: Vec::new(),
            rest: 0,
            gossip: None,
        };
        let json = json!({"source": "a.1", "holds": true, "position": "a.1:3", "missed": true, "purges": []});
        assert_eq!(serde_json::to_value(&response).unwrap(), json);
    }
}
