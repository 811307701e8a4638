//! The environment as OpenTelemetry reads it: an empty variable has its default, a bad value is a line and has it, too.

use crate::telemetry::trace::{Propagator, Propagators};
use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

/// The longest time, milliseconds.
const DAY: u64 = 86_400_000;

/// The environment, and what is wrong with it.
pub(super) struct Variables<'v> {
    all: &'v BTreeMap<String, String>,
    pub(super) problems: Vec<String>,
}

impl<'v> Variables<'v> {
    pub(super) fn new(all: &'v BTreeMap<String, String>) -> Self {
        Self { all, problems: Vec::new() }
    }

    pub(super) fn say(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Returns a value, or says that `text` is not `what`, and what is done.
    pub(super) fn or_say<T>(
        &mut self,
        value: Option<T>,
        name: &str,
        text: &str,
        what: &str,
        done: impl Display,
    ) -> Option<T> {
        if value.is_none() {
            self.say(format!("{name}: `{text}` is not {what}: {done}"));
        }
        value
    }

    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        self.all.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the value for traces, else that for all signals, and which variable has it.
    pub(super) fn word(&self, own: &'static str, all: &'static str) -> Option<(&'static str, &'v str)> {
        [own, all].into_iter().find_map(|name| Some((name, self.text(name)?)))
    }

    fn parsed<T: FromStr + Display>(&mut self, name: &str, what: &str, default: T, fits: impl Fn(&T) -> bool) -> T {
        let Some(text) = self.text(name) else { return default };
        let parsed = text.parse().ok().filter(fits);
        self.or_say(parsed, name, text, what, format_args!("{default} counts")).unwrap_or(default)
    }

    /// Returns a size.
    pub(super) fn number(&mut self, name: &str, default: usize) -> usize {
        self.parsed(name, "a number from 1 to 1000000", default, |number| (1..=1_000_000).contains(number))
    }

    /// Returns the first of these times that is set.
    pub(super) fn millis(&mut self, names: &[&str], default: u64) -> Duration {
        let name = names.iter().find(|name| self.text(name).is_some()).unwrap_or(&"");
        Duration::from_millis(self.parsed(name, "a number of milliseconds", default, |millis| *millis <= DAY))
    }

    /// Returns a time limit: 0 is none, by the specification, which is a day here.
    pub(super) fn limit(&mut self, names: &[&str], default: u64) -> Duration {
        let limit = self.millis(names, default);
        if limit.is_zero() { Duration::from_millis(DAY) } else { limit }
    }

    /// Returns `NAME=VALUE,..`, with values percent-encoded.
    pub(super) fn pairs(&mut self, name: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for item in self.text(name).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once('=').map(|(key, value)| (key.trim(), decoded(value.trim()))) {
                Some((key, Some(value))) if !key.is_empty() => pairs.push((key.to_owned(), value)),
                _ => {
                    let what = "each is NAME=VALUE, with a comma between them: the rest counts";
                    self.say(format!("{name}: {what}"));
                }
            }
        }
        pairs
    }

    /// Returns the ways in which traces are carried.
    pub(super) fn propagators(&mut self) -> Propagators {
        let name = "OTEL_PROPAGATORS";
        let Some(list) = self.text(name) else { return Propagators::default() };
        let mut found = Vec::new();
        for word in list.split(',').map(str::trim) {
            let propagator = match word {
                "tracecontext" => Propagator::TraceContext,
                "b3" => Propagator::B3,
                "b3multi" => Propagator::B3Multi,
                // Baggage goes on as it came.
                "baggage" | "none" => continue,
                other => {
                    let all = "tracecontext, baggage, b3, b3multi or none";
                    self.or_say(None::<()>, name, other, all, "it is left out");
                    continue;
                }
            };
            if !found.contains(&propagator) {
                found.push(propagator);
            }
        }
        Propagators(found)
    }
}

/// Decodes `%20` and its like.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(if byte == b'%' { digit(rest.next())? << 4 | digit(rest.next())? } else { byte });
    }
    String::from_utf8(bytes).ok()
}
