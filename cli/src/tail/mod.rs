//! `meshcache tail`: requests as they end.

mod line;
#[cfg(test)]
mod tests;

use crate::{
    failed::{Failed, NoAnswer},
    output::{Format, Output, Status},
    query::{Query, Which},
    server::{Lines, Server},
    terminal::{paint, screen},
};
use clap::Args;
use meshcache_admin::EndedRequest;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache tail --group config-server
  meshcache tail --outcome pass --path /api/
  meshcache tail --status 5xx -o json | jq .reason

A line has time (UTC), status, outcome, reason, how long it took, bytes, who
asked, group and request. Of too many requests some are left out, and counted.
It ends with Ctrl-C; where the server starts anew it goes on.";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Which requests.
    #[command(flatten)]
    pub which: Which,
    /// End after so many requests
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// The first pause before the server is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Asks, and writes a line for each request.
pub async fn run(flags: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    tokio::select! {
        ended = follow(&flags, server, output) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Status::Done),
    }
}

async fn follow(flags: &Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let path = flags.which.of(Query::of("/tail")).path();
    // A server that is not there, or takes no such filter, is told and not waited for.
    let mut lines = server.lines(&path).await?;
    let mut left = flags.count.unwrap_or(u64::MAX);
    while left > 0 {
        let why = match lines.next::<EndedRequest>().await {
            Ok(Some(ended)) => {
                write(&ended, output)?;
                left = left.saturating_sub(1);
                continue;
            }
            Ok(None) => NoAnswer::new(format!("{}: the server ended the answer", server.name())),
            Err(why) => why,
        };
        lines = again(server, &path, &why, output).await?;
    }
    Ok(Status::Done)
}

/// Asks until there is an answer, ever more seldom, and says on stderr what it waits for. The error is one that stays.
async fn again(server: &Server, path: &str, why: &NoAnswer, output: &Output) -> Result<Lines, NoAnswer> {
    let mut told = why.to_string();
    output.note(&format!("{told}; asking again"));
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        match server.lines(path).await {
            Ok(lines) => {
                output.note(&format!("{} answers again", server.name()));
                return Ok(lines);
            }
            Err(why) if why.is_final() => return Err(why),
            Err(why) => {
                let line = why.to_string();
                if line != told {
                    output.note(&format!("{line}; asking again"));
                    told = line;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn write(ended: &EndedRequest, output: &Output) -> Result<(), Failed> {
    match output.format {
        // One line each, also in a terminal.
        Format::Json => output.text(&line::json(ended)?),
        Format::Text => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let columns = if output.is_terminal { screen::columns() } else { None };
            output.text(&paint::text(&line::lines(ended, since, columns), output.has_colours))
        }
    }
}
