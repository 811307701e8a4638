//! Paths with a query, written so that no value can end it.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_value_whatever_is_in_it() {
        let query = Query::of("/tail").and("group", None).and("path", Some("/a b&c=é")).and("status", Some("5xx"));
        assert_eq!(query.path(), "/tail?path=%2Fa%20b%26c%3D%C3%A9&status=5xx");
    }
}
