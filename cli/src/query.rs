//! Paths with a query, written so that no value can end it.

use clap::Args;
use std::fmt::Write;

/// A path with a query.
#[derive(Clone, Debug)]
pub(crate) struct Query(String);

impl Query {
    /// Begins one.
    pub(crate) fn of(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Adds a parameter; none: adds nothing.
    pub(crate) fn and(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.extend([name, "="]);
            for byte in value.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => self.0.push(byte.into()),
                    _ => drop(write!(self.0, "%{byte:02X}")),
                }
            }
        }
        self
    }

    /// Returns it as it stands in a request.
    pub(crate) fn path(self) -> String {
        self.0
    }
}

/// Which requests are wanted.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Only of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only with this outcome: hit, miss, pass ...
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
    /// Only for this reason: docs/reasons.md
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only with this status
    #[arg(long, value_name = "404|5xx")]
    pub status: Option<String>,
    /// Only whose path begins so
    #[arg(long, value_name = "PREFIX")]
    pub path: Option<String>,
}

impl Which {
    /// Asks for these.
    pub(crate) fn of(&self, query: Query) -> Query {
        let query = query.and("group", self.group.as_deref()).and("outcome", self.outcome.as_deref());
        let query = query.and("reason", self.reason.as_deref()).and("status", self.status.as_deref());
        query.and("path", self.path.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_requests_are_wanted_is_asked_of_the_server() {
        assert_eq!(Which::default().of(Query::of("/tail")).path(), "/tail");
        let (group, status) = (Some("a b".to_owned()), Some("5xx".to_owned()));
        let some = Which { group, status, path: Some("/x&y".to_owned()), ..Which::default() };
        assert_eq!(some.of(Query::of("/tail")).path(), "/tail?group=a%20b&status=5xx&path=%2Fx%26y");
    }

    #[test]
    fn a_value_is_one_value_whatever_is_in_it() {
        let query = Query::of("/tail").and("group", None).and("path", Some("/a b&c=é")).and("status", Some("5xx"));
        assert_eq!(query.path(), "/tail?path=%2Fa%20b%26c%3D%C3%A9&status=5xx");
    }
}
