//! `meshcache why`: why a request is, or is not, answered from the cache.

use crate::{
    failed::{Failed, NoAnswer},
    output::{Output, Status},
    server::Server,
};
use clap::Args;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache why http://config-server.platform/develop
  meshcache why http://shop.default/cart -H 'Cookie: lang=en'
  meshcache -n meshcache why http://config-server.platform/develop --probe";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// http[s]://HOST[:PORT]/PATH[?QUERY]
    #[arg(value_name = "URL")]
    pub url: String,
    /// A header of the request, as curl takes it. May be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Its method
    #[arg(short = 'X', long, default_value = "GET", value_name = "METHOD")]
    pub method: String,
    /// Ask once for real, at the owner, and show each hop with its time
    #[arg(long)]
    pub probe: bool,
}

/// Asks, and writes the answer.
pub async fn run(_: Flags, _: &Server, _: &Output) -> Result<Status, Failed> {
    Err(NoAnswer::new("not there yet").into())
}
