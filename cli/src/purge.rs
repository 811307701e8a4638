//! `meshcache purge`: removes responses, or makes them stale, on all coordinators and proxies.

use crate::{
    failed::Failed,
    output::{Output, Status},
    server::Server,
    text,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, IsTerminal, Write};

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache purge http://config-server.platform/develop
  meshcache purge --group config-server
  meshcache purge --group shop --prefix /catalog/ --dry-run
  meshcache purge --host shop.default --tag product-17 --soft
  meshcache purge --all --yes

Status: 0 all coordinators did it, 3 some gave no answer: they do it when they
are back, and answer nothing from their stores before (docs/purge.md).";

/// The flags: one way to name what is purged.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// These URLs, all variants: http[s]://HOST[:PORT]/PATH[?QUERY]
    #[arg(value_name = "URL", conflicts_with_all = ["group", "hosts", "all", "within"])]
    urls: Vec<String>,
    /// Responses of this group
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,
    /// Responses of this host, of all groups or of --group. May be repeated
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Of these: with this path, with the query. May be repeated
    #[arg(long = "path", value_name = "PATH", group = "within")]
    paths: Vec<String>,
    /// Of these: whose path begins so. May be repeated
    #[arg(long = "prefix", value_name = "PREFIX", group = "within")]
    prefixes: Vec<String>,
    /// Of these: whose path and query match. May be repeated
    #[arg(long, value_name = "REGEX", group = "within")]
    regex: Vec<String>,
    /// Of these: with this tag. May be repeated
    #[arg(long = "tag", value_name = "TAG", group = "within")]
    tags: Vec<String>,
    /// Everything. In a terminal it asks before
    #[arg(long, conflicts_with_all = ["group", "hosts", "within"])]
    all: bool,
    /// Make them stale: they are asked for again, and serve until then where the group allows it
    #[arg(long)]
    soft: bool,
    /// Count them, and leave them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before --all
    #[arg(short, long)]
    yes: bool,
}

/// The body of `POST /purge`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Purge {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regex: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    all: bool,
    soft: bool,
    dry_run: bool,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Report {
    id: String,
    entries: u64,
    bytes: u64,
    unreached: Vec<String>,
}

/// A purge that names something.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    purge: Purge,
    /// Whether a person is asked before.
    asks: bool,
}

impl Flags {
    /// Refuses flags that name nothing.
    pub fn checked(self) -> Result<Checked, Failed> {
        if self.urls.is_empty() && self.group.is_none() && self.hosts.is_empty() && !self.all {
            return Err(Failed::Flags(
                "name what is purged: URLs, --group GROUP, --host HOST or --all (meshcache purge -h has examples)"
                    .into(),
            ));
        }
        let asks = self.all && !self.yes && !self.dry_run;
        let Self { urls, group, hosts, paths, prefixes, regex, tags, all, soft, dry_run, yes: _ } = self;
        Ok(Checked { purge: Purge { urls, group, hosts, paths, prefixes, regex, tags, all, soft, dry_run }, asks })
    }
}

/// Purges, and writes the report.
pub async fn run(Checked { purge, asks }: Checked, server: &Server, output: &Output) -> Result<Status, Failed> {
    if asks && io::stdin().is_terminal() && !is_meant(&server.name()) {
        return Err(Failed::Flags("nothing was purged".into()));
    }
    let report: Report = server.post("/purge", &purge).await?;
    output.answer(&report, |report| told(&purge, report))?;
    Ok(Status::of(&report.unreached))
}

fn is_meant(server: &str) -> bool {
    let server = text::escaped(server);
    let _ = write!(io::stderr(), "purge everything that {server} and the coordinators beside it store? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

fn told(purge: &Purge, report: &Report) -> String {
    let done = match (purge.dry_run, purge.soft) {
        (true, _) => "would purge",
        (false, true) => "made stale",
        (false, false) => "purged",
    };
    let responses = if report.entries == 1 { "response" } else { "responses" };
    let mut line = format!("{done} {} {responses} ({})", text::number(report.entries), text::bytes(report.bytes));
    if !purge.dry_run {
        line.push_str(&format!(", id {}", text::escaped(&report.id)));
    }
    if !report.unreached.is_empty() {
        line.push_str(&format!("; no answer from {}", text::escaped(&report.unreached.join(", "))));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_done_and_who_gave_no_answer() {
        let report = Report { id: "a.1:3".into(), entries: 1, bytes: 2048, unreached: vec!["b\u{1b}".into()] };
        let purge = Purge { all: true, ..Purge::default() };
        assert_eq!(told(&purge, &report), "purged 1 response (2.0 KiB), id a.1:3; no answer from b\\u{1b}\n");
        let dry = Purge { dry_run: true, ..purge };
        assert_eq!(told(&dry, &Report::default()), "would purge 0 responses (0 B)\n");
    }
}
