//! `meshcache stat`: rates of the whole mesh on one screen.

use crate::{
    failed::{Failed, NoAnswer},
    output::{Output, Status},
    server::Server,
};
use clap::Args;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache stat
  meshcache stat -o json | jq .saved";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Only of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
}

/// Asks, and writes the answer.
pub async fn run(_: Flags, _: &Server, _: &Output) -> Result<Status, Failed> {
    Err(NoAnswer::new("not there yet").into())
}
