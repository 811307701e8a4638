//! The commands of `meshcache` that ask a server: `why`, `top`, `tail`, `stat`, `purge`, `keys`, `groups`, `ring`.
//!
//! `server/` finds the admin port and calls it. Each command is a file: it asks, and writes what came as text for
//! people, or as JSON for programs. What came is a stranger's word: control characters are never written to a terminal.

pub mod command;
pub mod failed;
pub mod groups;
pub mod keys;
pub mod output;
pub mod purge;
pub mod query;
pub mod ring;
pub mod server;
pub mod stat;
pub mod tail;
mod terminal;
pub mod text;
pub mod top;
pub mod why;

pub use command::{Command, run};
