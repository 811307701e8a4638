//! `meshcache top`: what the requests of the last seconds are for.

mod state;
#[cfg(test)]
mod tests;
mod view;

use crate::{
    failed::{Failed, NoAnswer},
    output::{Format, Output, Status},
    query::{Query, Which},
    server::Server,
    terminal::{
        pace, paint,
        screen::{self, Model},
    },
};
use clap::{Args, ValueEnum};
use meshcache_admin::{Mesh, Saved, Top, TopBy};
use state::{Answer, State};
use std::time::{Duration, Instant};

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache top
  meshcache top --by reasons --group config-server
  meshcache top --count 1 --by origins | head

In a terminal it fills the screen; ? shows its keys. Piped, it is one table.
A row with ~ is what proxies told: anybody's word.";

/// What rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Host and path.
    Keys,
    /// Groups.
    Groups,
    /// Group and reason.
    Reasons,
    /// Origins, the slowest first.
    Origins,
}

impl From<By> for TopBy {
    fn from(by: By) -> Self {
        match by {
            By::Keys => Self::Keys,
            By::Groups => Self::Groups,
            By::Reasons => Self::Reasons,
            By::Origins => Self::Origins,
        }
    }
}

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// What the rows are
    #[arg(
        long,
        value_enum,
        default_value = "keys",
        value_name = "keys|groups|reasons|origins",
        hide_possible_values = true
    )]
    pub by: By,
    /// Of which requests.
    #[command(flatten)]
    pub which: Which,
    /// At most so many rows
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    pub limit: u16,
    /// Write so many tables, also in a terminal. Piped: 1
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// How often to ask
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = pace::parse)]
    pub every: Duration,
}

/// The most that a screen scrolls through.
const SCREEN_ROWS: u16 = 200;
/// How often a table that has just begun is asked for again.
const TRIES: usize = 5;

/// Asks, and shows the answers.
pub async fn run(flags: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let is_screen = output.format == Format::Text && flags.count.is_none() && screen::is_there();
    if is_screen {
        // A server that is not there is told on the command line.
        ask_top(server, flags.by.into(), &flags, 1).await?;
        let mut state = State::of(flags.by.into());
        let asked = |state: &State| ask(server, state.by, &flags, SCREEN_ROWS);
        screen::show(&mut state, view::screen, flags.every, asked).await.map_err(Failed::Output)?;
        return Ok(Status::Done);
    }
    let (mut state, began) = (State::of(flags.by.into()), Instant::now());
    let mut status = Status::Done;
    for number in 0..flags.count.unwrap_or(1) {
        if number > 0 {
            tokio::time::sleep(flags.every).await;
        }
        let top = counted(server, &flags).await?;
        status = Status::of(&top.unreached);
        match output.format {
            Format::Json => output.json(&top)?,
            Format::Text => {
                let answer = Answer { by: state.by, top: Ok(top), saved: saved(server).await };
                state.take(answer, began.elapsed());
                let gap = if number > 0 { "\n" } else { "" };
                output.text(&format!("{gap}{}", paint::text(&view::plain(&state), output.has_colours)))?;
            }
        }
    }
    Ok(status)
}

/// Asks until something has been counted: the first question only begins it.
async fn counted(server: &Server, flags: &Flags) -> Result<Top, Failed> {
    let mut tries = 0;
    loop {
        let top = ask_top(server, flags.by.into(), flags, flags.limit).await?;
        tries += 1;
        if top.seconds >= 1.0 || tries > TRIES {
            return Ok(top);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn ask(server: &Server, by: TopBy, flags: &Flags, limit: u16) -> Answer {
    // One after the other, by the connection that is kept.
    let top = ask_top(server, by, flags, limit).await;
    Answer { by, top, saved: saved(server).await }
}

async fn ask_top(server: &Server, by: TopBy, flags: &Flags, limit: u16) -> Result<Top, NoAnswer> {
    let query = Query::of("/top").and("by", Some(view::word(by))).and("limit", Some(&limit.to_string()));
    server.get(&flags.which.of(query).path()).await
}

/// What the mesh saved. Without it the table is still one.
async fn saved(server: &Server) -> Option<Saved> {
    server.get::<Mesh>("/mesh").await.ok().map(|mesh| mesh.saved)
}
