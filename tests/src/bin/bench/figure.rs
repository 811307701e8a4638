//! One figure: what was measured, what it must be, and whether it is.

use serde_json::{Value, json};

/// The target of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// No more than this; the second is what we would like, where that is less.
    AtMost(f64, Option<f64>),
    /// No less than this; the second is what we would like, where that is more.
    AtLeast(f64, Option<f64>),
    /// No more than this in any of the samples.
    Never(f64),
    /// This and nothing else.
    Exactly(f64),
    /// It only stands beside the others.
    Beside,
}

/// In what a figure is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    /// One side's cost over another's.
    Ratio,
    /// A part of all.
    Share,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// Milliseconds, of values in seconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Requests in a second.
    Rate,
    /// A number.
    Count,
}

/// A figure: its median counts.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Its name, in a few words.
    pub(crate) name: String,
    /// One value for each round.
    pub(crate) samples: Vec<f64>,
    /// In what.
    pub(crate) unit: Unit,
    /// Its target.
    pub(crate) target: Target,
}

impl Figure {
    /// A figure of several rounds.
    pub(crate) fn new(name: &str, unit: Unit, samples: Vec<f64>, target: Target) -> Figure {
        Figure { name: name.to_owned(), samples, unit, target }
    }

    /// A figure that is measured once.
    pub(crate) fn once(name: &str, unit: Unit, value: f64, target: Target) -> Figure {
        Figure::new(name, unit, vec![value], target)
    }

    /// The middle one of the samples.
    pub(crate) fn median(&self) -> f64 {
        median(&self.samples)
    }

    /// `None`: there is nothing that it must be.
    pub(crate) fn ok(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(most, _) => Some(self.median() <= most),
            Target::AtLeast(least, _) => Some(self.median() >= least),
            Target::Never(most) => Some(self.samples.iter().all(|sample| *sample <= most)),
            Target::Exactly(value) => Some(self.samples.iter().all(|sample| *sample == value)),
            Target::Beside => None,
        }
    }

    /// The median, with the least and the largest of several rounds.
    pub(crate) fn measured(&self) -> String {
        let text = self.unit.text(self.median());
        match (self.samples.iter().copied().reduce(f64::min), self.samples.iter().copied().reduce(f64::max)) {
            (Some(least), Some(largest)) if self.samples.len() > 1 => {
                format!("{text} ({}–{})", self.unit.number(least), self.unit.number(largest))
            }
            _ => text,
        }
    }

    /// Its target, in words.
    pub(crate) fn wanted(&self) -> String {
        match self.target {
            Target::AtMost(most, None) => format!("≤ {}", self.unit.text(most)),
            Target::AtMost(most, Some(aim)) => format!("≤ {}, aim {}", self.unit.text(most), self.unit.text(aim)),
            Target::AtLeast(least, None) => format!("≥ {}", self.unit.text(least)),
            Target::AtLeast(least, Some(aim)) => format!("≥ {}, aim {}", self.unit.text(least), self.unit.text(aim)),
            Target::Never(most) => format!("each ≤ {}", self.unit.text(most)),
            Target::Exactly(value) => format!("= {}", self.unit.text(value)),
            Target::Beside => String::new(),
        }
    }

    /// `ok`, `missed`, or nothing.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.ok() {
            Some(true) => "ok",
            Some(false) => "missed",
            None => "",
        }
    }

    /// For out/bench.json.
    pub(crate) fn json(&self) -> Value {
        json!({"name": self.name, "unit": format!("{:?}", self.unit), "median": self.median(), "samples": self.samples,
            "measured": self.measured(), "target": self.wanted(), "ok": self.ok()})
    }
}

impl Unit {
    /// A value with its unit.
    pub(crate) fn text(self, value: f64) -> String {
        let number = self.number(value);
        match self {
            Unit::Ratio => number,
            Unit::Share => format!("{number} %"),
            Unit::Millis => format!("{number} ms"),
            Unit::Micros => format!("{number} us"),
            Unit::Nanos => format!("{number} ns"),
            Unit::Seconds => format!("{number} s"),
            Unit::Bytes => format!("{number} MiB"),
            Unit::Rate => format!("{number}/s"),
            Unit::Count => number,
        }
    }

    fn number(self, value: f64) -> String {
        match self {
            Unit::Share => format!("{:.2}", value * 100.0),
            Unit::Millis => format!("{:.1}", value * 1000.0),
            Unit::Ratio | Unit::Seconds => format!("{value:.2}"),
            Unit::Micros | Unit::Nanos => format!("{value:.1}"),
            Unit::Bytes => format!("{:.2}", value / f64::from(1 << 20)),
            Unit::Rate | Unit::Count => format!("{value:.0}"),
        }
    }
}

/// The middle one; of an even number the mean of the two in the middle. Not a number where there is none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 1 => sorted[half],
        (_, half) => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}
