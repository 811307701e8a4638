//! The messages that carry a purge between coordinators, and its report. Their JSON names are part of the wire.

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
}
