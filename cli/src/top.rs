//! `meshcache top`: what requests are for at this moment.

use crate::{
    failed::{Failed, NoAnswer},
    output::{Output, Status},
    server::Server,
};
use clap::Args;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache top
  meshcache top --by reasons --group config-server";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// What the rows are
    #[arg(long, default_value = "keys", value_name = "keys|groups|reasons|origins")]
    pub by: String,
    /// Only of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// At most so many rows
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
}

/// Asks, and writes the answer.
pub async fn run(_: Flags, _: &Server, _: &Output) -> Result<Status, Failed> {
    Err(NoAnswer::new("not there yet").into())
}
