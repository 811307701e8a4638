//! The demo's output: chapters, lines as things happen, and the table at the end.

use std::time::{Duration, Instant};

use crate::screen::Screen;

/// Speaks, and remembers what was promised and what was seen.
pub(crate) struct Telling {
    begun: Instant,
    screen: Screen,
    promises: Vec<Promise>,
}

struct Promise {
    what: &'static str,
    seen: String,
    kept: bool,
}

impl Telling {
    pub(crate) fn new(screen: Screen) -> Telling {
        Telling { begun: Instant::now(), screen, promises: Vec::new() }
    }

    /// A line.
    pub(crate) fn line(&self, text: &str) {
        self.screen.line(text);
    }

    /// A new chapter.
    pub(crate) fn chapter(&self, title: &str) {
        self.line("");
        self.line(&self.paint("1", title));
    }

    /// A step, as it happens.
    pub(crate) fn step(&self, text: &str) {
        let at = format!("{:6.1} s", self.begun.elapsed().as_secs_f64());
        self.line(&format!("{}  {text}", self.paint("2", &at)));
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
            self.line(&format!("{:what$}  {:seen$}  {ok}", promise.what, promise.seen));
        }
        self.promises.iter().all(|promise| promise.kept)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        self.screen.paint(code, text)
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
