//! `meshcache why`: why a request is, or is not, answered from the cache.

#[cfg(test)]
mod tests;
mod timeline;
mod view;

use crate::{
    failed::Failed,
    output::{Output, Status},
    server::Server,
    terminal::paint,
};
use clap::Args;
use http::{HeaderName, Method, Uri};
use meshcache_admin::{Why, WhyRequest};

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache why http://config-server.platform/develop
  meshcache why http://shop.default/cart -H 'Cookie: lang=en'
  meshcache -n meshcache why http://config-server.platform/develop --probe

Status: 0 answered from the cache, 1 not, 2 a flag is wrong, 3 no server
answers.";

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

impl Flags {
    /// Returns the request that is explained. What is wrong with it is told before anybody is asked.
    pub fn checked(self) -> Result<WhyRequest, Failed> {
        let Self { url, headers, method, probe } = self;
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
        if !uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
            return Err(Failed::Flags(format!("URL: write http[s]://HOST[:PORT]/PATH[?QUERY], not `{url}`")));
        }
        if Method::from_bytes(method.as_bytes()).is_err() {
            return Err(Failed::Flags(format!("-X: write a method, such as GET, not `{method}`")));
        }
        let is_header =
            |header: &&String| header.split_once(':').is_some_and(|(name, _)| name.parse::<HeaderName>().is_ok());
        if let Some(wrong) = headers.iter().find(|header| !is_header(header)) {
            // Not the value: it may be a secret.
            let name = wrong.split(':').next().unwrap_or_default();
            return Err(Failed::Flags(format!(
                "-H: write 'NAME: VALUE', as for curl: `{name}` is no name with a value"
            )));
        }
        Ok(WhyRequest { url, headers, method, probe })
    }
}

/// Asks, and writes the answer.
pub async fn run(request: WhyRequest, server: &Server, output: &Output) -> Result<Status, Failed> {
    let why: Why = server.post("/why", &request).await?;
    output.answer(&why, |why| paint::text(&view::lines(why, &request.method), output.has_colours))?;
    Ok(if view::is_answered(&why) { Status::Done } else { Status::No })
}
