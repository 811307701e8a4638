//! `meshcache ring`.

use crate::{
    failed::{Failed, NoAnswer},
    output::{Output, Status},
    server::Server,
};
use clap::Args;

pub(crate) const EXAMPLES: &str = "";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {}

/// Asks, and writes the answer.
pub async fn run(_: Flags, _: &Server, _: &Output) -> Result<Status, Failed> {
    Err(NoAnswer::new("not there yet").into())
}
