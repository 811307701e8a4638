//! Where answers are written, and how a command ends.

use crate::{failed::Failed, text};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The flags of writing.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputFlags {
    /// text for people, json for programs
    #[arg(short, long, value_enum, default_value = "text", value_name = "text|json", hide_possible_values = true)]
    pub output: Format,
}

/// The standard output.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// How answers are written.
    pub format: Format,
    /// Whether a person looks: not a pipe, not a file.
    pub is_terminal: bool,
    /// Whether colours are wanted: in a terminal, and without NO_COLOR.
    pub has_colours: bool,
}

impl Output {
    /// Looks at the flags, the environment and what standard output is.
    pub fn new(flags: &OutputFlags) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let has_colours =
            is_terminal && is_set("NO_COLOR").is_none() && is_set("TERM").is_none_or(|term| term != "dumb");
        Self { format: flags.output, is_terminal, has_colours }
    }

    /// Writes an answer, as JSON or as the text that is made of it.
    pub fn answer<T: Serialize>(&self, answer: &T, as_text: impl FnOnce(&T) -> String) -> Result<(), Failed> {
        match self.format {
            Format::Json => self.json(answer),
            Format::Text => self.text(&as_text(answer)),
        }
    }

    /// Writes JSON and a line's end. For a terminal it is indented.
    pub fn json(&self, answer: &impl Serialize) -> Result<(), Failed> {
        let made = if self.is_terminal { serde_json::to_string_pretty(answer) } else { serde_json::to_string(answer) };
        // JSON escapes C0 only.
        self.text(&text::escaped_json(&made.map_err(|error| Failed::Output(error.into()))?))?;
        self.text("\n")
    }

    /// Writes text. What a server told has to be escaped before (`text::escaped`).
    pub fn text(&self, text: &str) -> Result<(), Failed> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failed::Output)
    }

    /// Tells people something beside the answer, on stderr.
    pub fn note(&self, line: &str) {
        told(line);
    }
}

/// Writes a line to stderr. Whether somebody reads it changes nothing.
pub(crate) fn told(line: &str) {
    let _ = writeln!(io::stderr(), "{}", text::escaped(line));
}

/// How a command ended that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything was done, everybody answered.
    Done,
    /// The answer is no.
    No,
    /// Some coordinators gave no answer.
    Partly,
}

impl Status {
    /// Returns `Partly` if somebody gave no answer.
    pub fn of<T>(unreached: &[T]) -> Self {
        if unreached.is_empty() { Self::Done } else { Self::Partly }
    }

    /// Returns the exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Partly => 3,
        }
    }
}
