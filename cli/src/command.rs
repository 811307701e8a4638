//! The commands, and how one is carried out.

use crate::{
    failed::Failed,
    groups, keys,
    output::{Output, OutputFlags, Status, told},
    purge, ring,
    server::{Server, ServerFlags},
    stat, tail, top, why,
};
use clap::{Args, Subcommand};

/// The commands that ask a server.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Tell why a request is, or is not, answered from the cache
    #[command(after_help = why::EXAMPLES)]
    Why(Asked<why::Flags>),
    /// Show what requests are for at this moment, the most frequent first
    #[command(after_help = top::EXAMPLES)]
    Top(Asked<top::Flags>),
    /// Show requests as they end
    #[command(after_help = tail::EXAMPLES)]
    Tail(Asked<tail::Flags>),
    /// Show rates of the whole mesh on one screen, and what it saved
    #[command(after_help = stat::EXAMPLES)]
    Stat(Asked<stat::Flags>),
    /// List the groups, and what each of them saves
    #[command(after_help = groups::EXAMPLES)]
    Groups(Asked<groups::Flags>),
    /// List what is stored
    #[command(after_help = keys::EXAMPLES)]
    Keys(Asked<keys::Flags>),
    /// Show the coordinators: who answers, whether they agree, and who owns a URL
    #[command(after_help = ring::EXAMPLES)]
    Ring(Asked<ring::Flags>),
    /// Purge responses from all coordinators and proxies
    #[command(after_help = purge::EXAMPLES)]
    Purge(Asked<purge::Flags>),
}

/// A command's own flags, and those of all commands.
#[derive(Clone, Debug, Args)]
pub struct Asked<T: Args> {
    /// Its own.
    #[command(flatten)]
    pub own: T,
    /// How the answer is written.
    #[command(flatten)]
    pub output: OutputFlags,
    /// Whom it asks.
    #[command(flatten)]
    pub server: ServerFlags,
}

/// Carries a command out. What is wrong is one line on stderr. Returns the exit status.
pub async fn run(command: Command) -> u8 {
    match carried_out(command).await {
        Ok(status) => status.code(),
        Err(failed) if failed.is_reader_gone() => 0,
        Err(failed) => {
            told(&failed.to_string());
            failed.code()
        }
    }
}

async fn carried_out(command: Command) -> Result<Status, Failed> {
    match command {
        Command::Why(Asked { own, output, server }) => {
            let request = own.checked()?;
            let server = Server::find(server).await.map_err(Failed::of_a_question)?;
            why::run(request, &server, &Output::new(&output)).await.map_err(Failed::of_a_question)
        }
        Command::Top(Asked { own, output, server }) => {
            top::run(own, &Server::find(server).await?, &Output::new(&output)).await
        }
        Command::Tail(Asked { own, output, server }) => {
            tail::run(own, &Server::find(server).await?, &Output::new(&output)).await
        }
        Command::Stat(Asked { own, output, server }) => {
            stat::run(own, &Server::find(server).await?, &Output::new(&output)).await
        }
        Command::Groups(Asked { own, output, server }) => {
            groups::run(own, &Server::find(server).await?, &Output::new(&output)).await
        }
        Command::Keys(Asked { own, output, server }) => {
            keys::run(own, &Server::find(server).await?, &Output::new(&output)).await
        }
        Command::Ring(Asked { own, output, server }) => {
            ring::run(own, &Server::find(server).await?, &Output::new(&output)).await
        }
        Command::Purge(Asked { own, output, server }) => {
            let purge = own.checked()?;
            purge::run(purge, &Server::find(server).await?, &Output::new(&output)).await
        }
    }
}
