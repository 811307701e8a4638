//! Where the demo writes: lines, and on a terminal one more below them that is renewed in place.

use std::{
    io::{IsTerminal, Write, stdout},
    sync::Arc,
};

use parking_lot::Mutex;

/// Standard output, for all who write.
#[derive(Clone)]
pub(crate) struct Screen {
    is_terminal: bool,
    colour: bool,
    /// What stands below the last line; none: nothing any more.
    below: Arc<Mutex<Option<String>>>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let is_terminal = stdout().is_terminal();
        let colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { is_terminal, colour, below: Arc::new(Mutex::new(Some(String::new()))) }
    }

    /// Whether a line can be renewed in place.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"), self.below.lock().as_deref().unwrap_or_default());
    }

    /// Renews the line below.
    pub(crate) fn renew(&self, text: &str) {
        if let Some(below) = self.below.lock().as_mut() {
            *below = text.to_owned();
            self.write("", below);
        }
    }

    /// Ends the line below, which is renewed no more.
    pub(crate) fn end(&self) {
        let below = self.below.lock().take();
        if self.is_terminal && below.is_some_and(|below| !below.is_empty()) {
            let _ = writeln!(stdout());
        }
    }

    /// Text in a colour, where there are any.
    pub(crate) fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&self, text: &str, below: &str) {
        let mut out = stdout().lock();
        // Nobody may read on, as with `| head`: the demo runs on.
        let _ = if self.is_terminal {
            // Without wrapping: what is renewed must be one row.
            write!(out, "\r\x1b[K{text}\x1b[?7l{}\x1b[?7h", self.paint("36", below))
        } else {
            write!(out, "{text}")
        };
        let _ = out.flush();
    }
}
