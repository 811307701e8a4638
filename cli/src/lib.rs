//! The commands of `meshcache` that ask a server: `why`, `top`, `tail`, `stat`, `purge`, `keys`, `groups`, `ring`.
//!
//! `server/` finds the admin port and calls it. Each command is a file: it asks, and writes what came as text for
//! people, or as JSON for programs. What came is a stranger's word: control characters are never written to a terminal.

pub mod groups;
pub mod server;
