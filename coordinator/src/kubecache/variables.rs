//! The environment as kubecache reads it: an empty variable has its default, a bad simple value is logged and has its
//! default, a reference to a secret is refused.

use super::go_values::{parse_bool, parse_duration};
use std::{collections::BTreeMap, fmt};

/// The words that begin a reference to a value elsewhere, each with what stands between its parts.
const REFERENCES: [(&str, &str); 8] = [
    ("aws-secretsmanager", ":"),
    ("aws-parameterstore", ":"),
    ("aws-s3", ":"),
    ("aws-dynamodb", ":"),
    ("aws-lambda", ":"),
    ("vault", "::"),
    ("proxy", "||"),
    ("#http", "::"),
];

/// A value with which kubecache would not start, or that has no counterpart here: `VARIABLE: what is wrong with it`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadVariable(String);

impl BadVariable {
    pub(super) fn new(name: &str, what: impl fmt::Display) -> Self {
        Self(format!("{name}: {what}"))
    }
}

/// A line about what becomes of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Nothing to do about it.
    Info(String),
    /// Something is not as the variable says.
    Warning(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Info(text) => f.write_str(text),
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

/// The environment, and what there is to say of it.
pub(super) struct Variables<'v> {
    all: &'v BTreeMap<String, String>,
    pub(super) notes: Vec<Note>,
}

impl<'v> Variables<'v> {
    pub(super) fn new(all: &'v BTreeMap<String, String>) -> Self {
        Self { all, notes: Vec::new() }
    }

    pub(super) fn info(&mut self, text: impl Into<String>) {
        self.notes.push(Note::Info(text.into()));
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.notes.push(Note::Warning(text.into()));
    }

    /// Whether a variable has a value. An empty one has none.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.all.get(name).is_some_and(|value| !value.is_empty())
    }

    /// The names of all variables that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &'v str> {
        self.all.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Returns the variables that have a value and whose names begin so.
    pub(super) fn all_with(&self, prefix: &str) -> BTreeMap<String, String> {
        let is_wanted = |(name, value): &(&String, &String)| name.starts_with(prefix) && !value.is_empty();
        self.all.iter().filter(is_wanted).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Returns a variable's value; `None`: it has its default.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'v str>, BadVariable> {
        let Some(value) = self.all.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        match REFERENCES.iter().find(|(word, separator)| is_reference(value, word, separator)) {
            Some((word, _)) => Err(BadVariable::new(
                name,
                format!("a reference ({word}) is not read here: write the value itself, as from a Secret by envFrom"),
            )),
            None => Ok(Some(value)),
        }
    }

    /// Returns a value by its parser, or the default of one that is missing or bad. `what` names the type as people
    /// know it.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        what: &str,
        default: T,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, BadVariable> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        Ok(parse(text).unwrap_or_else(|| {
            self.warn(format!("{name}: `{text}` is not {what}: its default counts"));
            default
        }))
    }

    pub(super) fn bool(&mut self, name: &str, default: bool) -> Result<bool, BadVariable> {
        self.value(name, "true or false", default, parse_bool)
    }

    /// Returns the milliseconds of a duration; less than zero: zero.
    pub(super) fn millis(&mut self, name: &str, default: u64) -> Result<u64, BadVariable> {
        self.value(name, "a duration such as 300s", default, parse_duration)
    }
}

/// Whether a value is a reference: it begins with the word and its separator, or it has three parts, which the
/// character after the word separates.
fn is_reference(value: &str, word: &str, separator: &str) -> bool {
    value.strip_prefix(word).is_some_and(|rest| {
        rest.starts_with(separator) || rest.chars().next().is_some_and(|between| rest.matches(between).count() >= 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, BadVariable> {
        let all = BTreeMap::from([("NAME".to_owned(), value.to_owned())]);
        Variables::new(&all).text("NAME").map(|text| text.map(str::to_owned))
    }

    #[test]
    fn a_reference_is_refused_by_name_and_what_only_looks_like_one_is_not() {
        for (value, word) in [
            ("aws-secretsmanager:us-east-1:name:field", "aws-secretsmanager"),
            ("aws-secretsmanager:", "aws-secretsmanager"),
            ("aws-parameterstore:us-east-1:/name", "aws-parameterstore"),
            ("aws-s3,us-east-1,bucket,key", "aws-s3"),
            ("aws-dynamodb:us-east-1:table", "aws-dynamodb"),
            ("aws-lambda:us-east-1:name", "aws-lambda"),
            ("vault::token,dev-only-token,http,localhost,8200,secret/data/app", "vault"),
            ("proxy||http://localhost:8080/secret", "proxy"),
            ("#http::http://localhost/value", "#http"),
        ] {
            let refused = read(value).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("NAME: a reference ({word})")), "{value}: {refused}");
        }
        for value in ["proxy:8080", "vault", "http://vault:8080", "aws", "proxyfoo"] {
            assert_eq!(read(value), Ok(Some(value.to_owned())));
        }
        assert_eq!(read(""), Ok(None));
    }
}
