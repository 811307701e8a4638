//! `meshcache tail`: requests as they end.

use crate::{
    failed::{Failed, NoAnswer},
    output::{Output, Status},
    server::Server,
};
use clap::Args;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache tail --group config-server
  meshcache tail --outcome pass -o json | jq .reason";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Only of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only with this outcome: hit, hot, miss, pass ...
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
    /// Only for this reason: docs/reasons.md
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only with this status
    #[arg(long, value_name = "404|5xx")]
    pub status: Option<String>,
    /// Only whose path begins so
    #[arg(long, value_name = "PREFIX")]
    pub path: Option<String>,
}

/// Asks, and writes the answer.
pub async fn run(_: Flags, _: &Server, _: &Output) -> Result<Status, Failed> {
    Err(NoAnswer::new("not there yet").into())
}
