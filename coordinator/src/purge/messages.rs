//! The messages that carry a purge between coordinators, and its report. Their JSON names are part of the wire.

use crate::cluster::gossip::list::ListId;
use meshcache_protocol::purge::{Purge, Scope};
use serde::{Deserialize, Serialize};

/// A purge on its way between coordinators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PurgeCall {
    /// It is carried out.
    Purge(Purge),
    /// The entries that it would remove are only counted.
    Count(Scope),
}

impl PurgeCall {
    /// Returns the purge in the words of a peer that did not understand it; `None`: there are no others.
    pub(super) fn widened(&self) -> Option<Self> {
        match self {
            Self::Purge(purge) => Some(Self::Purge(Purge { scope: purge.scope.widened()?, ..purge.clone() })),
            // More would be counted.
            Self::Count(_) => None,
        }
    }
}

/// The result of a purge, on one coordinator or on all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PurgeReport {
    /// The purge's id.
    pub id: String,
    /// Entries removed or made stale, all variants.
    pub entries: u64,
    /// Bytes of these entries.
    pub bytes: u64,
    /// Coordinators that did not acknowledge the purge.
    pub unreached: Vec<String>,
    /// Between coordinators: the peers that have asked the sender within a lease.
    #[serde(rename = "asked", skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Vec<String>>,
    /// Between coordinators: the sender's list of members, where they find each other by gossip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<ListId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_json_is_the_same_in_every_release() {
        let count = PurgeCall::Count(Scope { all: true, ..Scope::default() });
        assert_eq!(serde_json::to_value(&count).unwrap(), json!({"count": {"all": true}}));
        let purge = Purge { source: "a.1".into(), n: 3, ..Purge::default() };
        let json = serde_json::to_value(&purge).unwrap();
        assert_eq!(serde_json::to_value(PurgeCall::Purge(purge)).unwrap(), json!({"purge": json}));
        let by_regex = Scope { group: Some("g".into()), regex: vec!["/a".into()], ..Scope::default() };
        let call = PurgeCall::Purge(Purge { source: "a.1".into(), n: 3, scope: by_regex.clone(), soft: true });
        let wider = call.widened().unwrap();
        let json = json!({"purge": {"source": "a.1", "n": 3, "what": {"group": "g"}, "soft": true}});
        assert_eq!(serde_json::to_value(&wider).unwrap(), json, "as an older peer reads it");
        assert_eq!((wider.widened(), PurgeCall::Count(by_regex).widened()), (None, None));
        let report = PurgeReport { id: "a.1:3".into(), entries: 1, bytes: 2, ..PurgeReport::default() };
        let json = json!({"id": "a.1:3", "entries": 1, "bytes": 2, "unreached": []});
        assert_eq!(serde_json::to_value(&report).unwrap(), json);
        let between = PurgeReport { listeners: Some(vec!["b".into()]), ..report };
        assert_eq!(serde_json::to_value(&between).unwrap()["asked"], json!(["b"]));
    }
}
