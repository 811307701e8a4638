//! `meshcache stat`: rates of the whole mesh on one screen.

mod state;
mod tally;
#[cfg(test)]
mod tests;
mod view;

use crate::{
    failed::Failed,
    output::{Format, Output, Status},
    server::Server,
    terminal::{
        pace, paint,
        screen::{self, Model},
    },
};
use clap::Args;
use meshcache_admin::Mesh;
use state::State;
use std::time::{Duration, Instant};

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache stat
  meshcache stat --group config-server -n 10 --every 10s
  meshcache stat -o json | jq -r .sentence

In a terminal it fills the screen. Piped, it is one block.";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Only of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Write so many blocks, also in a terminal. Piped: 1
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// How often to ask
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = pace::parse)]
    pub every: Duration,
}

/// Asks, and shows the answers.
pub async fn run(flags: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let mut state = State::of(flags.group);
    let began = Instant::now();
    let first: Mesh = server.get("/mesh").await?;
    if let Some(group) = state.lacks(&first) {
        return Err(Failed::Flags(format!("--group: there is no group `{group}`: `meshcache groups` lists them")));
    }
    state.take(Ok(first), began.elapsed());
    if output.format == Format::Text && flags.count.is_none() && screen::is_there() {
        let asked = |_: &State| server.get("/mesh");
        screen::show(&mut state, view::screen, flags.every, asked).await.map_err(Failed::Output)?;
        return Ok(Status::Done);
    }
    let mut status = Status::Done;
    for number in 0..flags.count.unwrap_or(1) {
        // Rates want two answers.
        tokio::time::sleep(flags.every).await;
        let mesh: Mesh = server.get("/mesh").await?;
        let unreached: Vec<_> = mesh.coordinators.iter().filter(|coordinator| coordinator.state.is_none()).collect();
        status = Status::of(&unreached);
        state.take(Ok(mesh), began.elapsed());
        if let Some(figures) = &state.figures {
            let gap = if number > 0 && output.format == Format::Text { "\n" } else { "" };
            output.text(gap)?;
            output.answer(figures, |figures| paint::text(&view::plain(figures), output.has_colours))?;
        }
    }
    Ok(status)
}
