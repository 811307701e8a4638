//! Headers that an origin gets with each request, from files.

use crate::groups::{InvalidValue, config::request::is_kept, patterns::is_field_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The place of a request in its trace (W3C Trace Context): each request has its own.
const TRACE_FIELDS: [&str; 2] = ["traceparent", "tracestate"];

/// The headers, by their names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, HeaderFile>", into = "BTreeMap<String, HeaderFile>")]
pub struct OriginHeaders(BTreeMap<String, HeaderFile>);

/// Where the value of a header comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct HeaderFile {
    /// The file of the value. One newline at its end is not part of it.
    ///
    /// Example: `/etc/meshcache/prices/api-key`. Change it when the origin wants a key.
    pub file: String,
    /// What stands before it, as in `Bearer TOKEN`.
    ///
    /// Example: `"Bearer "`. Change it when the file has the token alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "")))]
    pub prefix: String,
}

impl OriginHeaders {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names, in lower case, each with its file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderFile)> {
        self.0.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Whether one has this name, in lower case.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl TryFrom<BTreeMap<String, HeaderFile>> for OriginHeaders {
    type Error = InvalidValue;
    fn try_from(headers: BTreeMap<String, HeaderFile>) -> Result<Self, InvalidValue> {
        let mut lower = BTreeMap::new();
        for (written, header) in headers {
            let name = written.to_ascii_lowercase();
            if !is_field_name(&name) || name.contains('*') {
                return Err(InvalidValue::new(&written, "the name of a header"));
            }
            if is_kept(name.as_bytes()) || TRACE_FIELDS.contains(&name.as_str()) {
                let what = "a header that `origin.headers` may set: it belongs to the connection, to the request or to its way";
                return Err(InvalidValue::new(&written, what));
            }
            if !header.prefix.bytes().all(|b| matches!(b, b' '..=b'~')) || header.prefix.starts_with(' ') {
                // It may be more than a prefix by mistake: it is not shown.
                return Err(InvalidValue::new(&written, "a header with such a prefix: write visible ASCII"));
            }
            if lower.insert(name, header).is_some() {
                return Err(InvalidValue::new(&written, "unique: the header stands there in two spellings"));
            }
        }
        Ok(Self(lower))
    }
}

impl From<OriginHeaders> for BTreeMap<String, HeaderFile> {
    fn from(headers: OriginHeaders) -> Self {
        headers.0
    }
}

// A filter reads none of these fields.
#[cfg(not(target_family = "wasm"))]
#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(headers: serde_json::Value) -> Result<OriginHeaders, String> {
        serde_json::from_value(headers).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_in_lower_case_and_a_prefix_may_stand_before_the_value() {
        let headers =
            read(json!({"X-Key": {"file": "/a"}, "authorization": {"file": "/b", "prefix": "Bearer "}})).unwrap();
        let all: Vec<_> = headers.iter().map(|(name, from)| (name, from.file.as_str(), from.prefix.as_str())).collect();
        assert_eq!(all, [("authorization", "/b", "Bearer "), ("x-key", "/a", "")]);
    }

    #[test]
    fn what_a_request_is_routed_and_understood_by_cannot_be_set() {
        for name in [
            "Host",
            "connection",
            "transfer-encoding",
            "content-length",
            "te",
            "upgrade",
            "expect",
            "range",
            "if-none-match",
            "if-range",
            "Via",
            "cdn-loop",
            "meshcache-wire",
            "Traceparent",
            "tracestate",
            "x-forwarded-client-cert",
            "x-forwarded-proto",
        ] {
            let error = read(json!({ name: {"file": "/a"} })).unwrap_err();
            assert!(error.starts_with(&format!("`{name}` is not a header that `origin.headers` may set")), "{error}");
        }
        for name in ["", "a b", "x-*", "x:y"] {
            assert_eq!(read(json!({ name: {"file": "/a"} })), Err(format!("`{name}` is not the name of a header")));
        }
    }

    #[test]
    fn a_mistake_names_itself() {
        for (headers, line) in [
            (
                json!({"X-Key": {"file": "/a"}, "x-key": {"file": "/b"}}),
                "`x-key` is not unique: the header stands there in two spellings",
            ),
            (
                json!({"x": {"file": "/a", "prefix": "a\n"}}),
                "`x` is not a header with such a prefix: write visible ASCII",
            ),
            (json!({"x": {"value": "a"}}), "unknown field `value`, expected `file` or `prefix`"),
            (json!({"x": {"prefix": "a"}}), "missing field `file`"),
        ] {
            assert_eq!(read(headers), Err(line.to_owned()));
        }
    }
}
