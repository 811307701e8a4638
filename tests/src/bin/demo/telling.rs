//! The demo's output: chapters, lines as things happen, and the table at the end.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Speaks, and remembers what was promised and what was seen.
pub(crate) struct Telling {
    begun: Instant,
    colour: bool,
    promises: Vec<Promise>,
}

struct Promise {
    what: &'static str,
    seen: String,
    kept: bool,
}

impl Telling {
    pub(crate) fn new() -> Telling {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Telling { begun: Instant::now(), colour, promises: Vec::new() }
    }

    /// A new chapter.
    pub(crate) fn chapter(&self, title: &str) {
        println!("\n{}", self.paint("1", title));
    }

    /// A step, as it happens.
    pub(crate) fn step(&self, text: &str) {
        let at = format!("{:6.1} s", self.begun.elapsed().as_secs_f64());
        println!("{}  {text}", self.paint("2", &at));
    }

    /// Adds a promise and what was seen.
    pub(crate) fn promise(&mut self, what: &'static str, seen: String, kept: bool) {
        let mark = if kept { self.paint("32", "kept") } else { self.paint("31", "broken") };
        self.step(&format!("{what}: {seen} ({mark})"));
        self.promises.push(Promise { what, seen, kept });
    }

    /// The table of all promises, with the filter that was to keep them; whether every one was kept.
    pub(crate) fn table(&self, filter: &str) -> bool {
        let rows = || self.promises.iter().map(|promise| (promise.what, promise.seen.as_str()));
        let (what, seen) = (width(rows().map(|row| row.0)), width(rows().map(|row| row.1)));
        self.chapter(&format!("{:what$}  {:seen$}  ok", format!("promise ({filter})"), "seen"));
        for promise in &self.promises {
            let ok = if promise.kept { self.paint("32", "yes") } else { self.paint("31", "NO") };
            println!("{:what$}  {:seen$}  {ok}", promise.what, promise.seen);
        }
        self.promises.iter().all(|promise| promise.kept)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{} ms", grouped(time.as_secs_f64() * 1e3))
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0).max(7)
}
