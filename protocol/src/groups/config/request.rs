//! What is changed in requests before all else, and which methods the cache answers.

use crate::{
    groups::patterns::{InvalidValue, is_field_name},
    request::{FORWARDED_PROTO, PREFIX, is_hop_by_hop},
};
use serde::{Deserialize, Serialize};

/// What is removed from requests, or normalized, first of all: before `bypass`, key, identity and Vary. Loads are sent
/// without it. Requests that pass keep all that they have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct RequestRules {
    /// Header names that are removed; `*`: all that tell clients apart.
    ///
    /// Example: `[cookie]`. Change it when the service ignores these headers, and they keep responses from being
    /// shared; `["*"]`: it treats all clients alike.
    pub drop: DroppedFields,
    /// The codings to which Accept-Encoding is reduced: the first of these that the client accepts, else none. Empty:
    /// it stays as it is.
    ///
    /// Example: `[br, gzip]`. Change it when clients send many spellings of Accept-Encoding, each of which would be a
    /// variant.
    pub accept_encoding: Vec<Coding>,
}

impl RequestRules {
    /// Whether requests are left as they are.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The header fields that are removed from requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub enum DroppedFields {
    /// Those of these names, in lower case.
    Named(Vec<String>),
    /// Every field that can be named: requests are anonymous.
    All,
}

/// Fields by which a request is understood, routed and answered. They are never dropped.
const KEPT: [&str; 13] = [
    "host",
    "content-length",
    "expect",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "cdn-loop",
    "via",
    "x-forwarded-client-cert",
    // The scheme of the key. Every load is sent it.
    FORWARDED_PROTO,
];

impl DroppedFields {
    /// Whether a field is removed. `name`: in lower case.
    pub fn contains(&self, name: &[u8]) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|own| own.as_bytes() == name),
            Self::All => !is_kept(name),
        }
    }

    /// Adds fields, by their names in lower case.
    pub(in crate::groups) fn add<'n>(&mut self, more: impl Iterator<Item = &'n str>) {
        if let Self::Named(names) = self {
            names.extend(more.map(str::to_owned));
        }
    }

    /// Whether requests are anonymous.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether no field is removed.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Named(names) if names.is_empty())
    }
}

/// Whether a field is never dropped.
pub(super) fn is_kept(name: &[u8]) -> bool {
    KEPT.iter().any(|kept| kept.as_bytes() == name) || is_hop_by_hop(name) || name.starts_with(PREFIX.as_bytes())
}

impl Default for DroppedFields {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl TryFrom<Vec<String>> for DroppedFields {
    type Error = InvalidValue;
    fn try_from(names: Vec<String>) -> Result<Self, InvalidValue> {
        let names: Vec<String> = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        if let Some(bad) = names.iter().find(|name| !is_field_name(name) || (name.contains('*') && *name != "*")) {
            return Err(InvalidValue::new(bad, "the name of a header, or \"*\" for all"));
        }
        if let Some(kept) = names.iter().find(|name| is_kept(name.as_bytes())) {
            let what = "a header that can be dropped: the request cannot be understood, routed or answered without it";
            return Err(InvalidValue::new(kept, what));
        }
        Ok(if names.iter().any(|name| name == "*") { Self::All } else { Self::Named(names) })
    }
}

impl From<DroppedFields> for Vec<String> {
    fn from(dropped: DroppedFields) -> Self {
        match dropped {
            DroppedFields::Named(names) => names,
            DroppedFields::All => vec!["*".into()],
        }
    }
}

/// A content coding, in lower case: `br`, `gzip`, `zstd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Coding(String);

impl Coding {
    /// Returns its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Coding {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let coding = text.to_ascii_lowercase();
        if is_field_name(&coding) && !coding.contains('*') && coding != "identity" {
            Ok(Self(coding))
        } else {
            Err(InvalidValue::new(&text, "a content coding (examples: br, gzip, zstd; none of them is identity)"))
        }
    }
}

impl From<Coding> for String {
    fn from(coding: Coding) -> Self {
        coding.0
    }
}

/// The methods that the cache answers. The requests of all others pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Methods {
    /// GET.
    pub get: bool,
    /// HEAD.
    pub head: bool,
    /// QUERY (RFC 10008), from plain clients of a coordinator.
    pub query: bool,
}

impl Methods {
    /// Whether they are GET and HEAD.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a method is one of them.
    pub fn contains(&self, method: &[u8]) -> bool {
        match method {
            b"GET" => self.get,
            b"HEAD" => self.head,
            b"QUERY" => self.query,
            _ => false,
        }
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self { get: true, head: true, query: false }
    }
}

impl TryFrom<Vec<String>> for Methods {
    type Error = InvalidValue;
    fn try_from(names: Vec<String>) -> Result<Self, InvalidValue> {
        let mut methods = Self { get: false, head: false, query: false };
        for name in &names {
            match name.as_str() {
                "GET" => methods.get = true,
                "HEAD" => methods.head = true,
                "QUERY" => methods.query = true,
                other => return Err(InvalidValue::new(other, "a method that a cache may answer (GET, HEAD, QUERY)")),
            }
        }
        if names.is_empty() {
            return Err(InvalidValue::new("[]", "a list of methods (GET, HEAD, QUERY); to cache nothing: `mode: off`"));
        }
        Ok(methods)
    }
}

impl From<Methods> for Vec<String> {
    fn from(methods: Methods) -> Self {
        let all = [("GET", methods.get), ("HEAD", methods.head), ("QUERY", methods.query)];
        all.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_can_be_named_is_dropped_by_a_star() {
        let all: DroppedFields = serde_json::from_value(json!(["*"])).unwrap();
        for name in ["cookie", "authorization", "x-user-id", "accept", "cache-control", "user-agent", "x-envoy-a"] {
            let one: DroppedFields = serde_json::from_value(json!([name.to_uppercase()])).unwrap();
            assert!(all.contains(name.as_bytes()) && one.contains(name.as_bytes()), "{name}");
        }
        assert!(all.is_all() && !all.is_empty());
    }

    #[test]
    fn what_a_request_needs_is_never_dropped() {
        let all: DroppedFields = serde_json::from_value(json!(["*"])).unwrap();
        for name in [
            "host",
            "range",
            "if-none-match",
            "cdn-loop",
            "via",
            "connection",
            "te",
            "content-length",
            "transfer-encoding",
            "x-forwarded-client-cert",
            "x-forwarded-proto",
            "meshcache-wire",
        ] {
            let error = serde_json::from_value::<DroppedFields>(json!([name])).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{name}` is not a header that can be dropped")), "{error}");
            assert!(!all.contains(name.as_bytes()), "{name}");
        }
        for bad in ["x-*", "a b", ""] {
            assert!(serde_json::from_value::<DroppedFields>(json!([bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn methods_that_a_cache_may_not_answer_are_refused_by_name() {
        let methods: Methods = serde_json::from_value(json!(["GET", "QUERY"])).unwrap();
        assert!(methods.contains(b"QUERY") && methods.contains(b"GET") && !methods.contains(b"HEAD"));
        for bad in [json!(["POST"]), json!(["get"]), json!(["*"]), json!([])] {
            assert!(serde_json::from_value::<Methods>(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_value(methods).unwrap(), json!(["GET", "QUERY"]));
    }

    #[test]
    fn a_coding_is_a_name() {
        for bad in ["identity", "*", "", "br;q=1"] {
            assert!(serde_json::from_value::<Coding>(json!(bad)).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_value::<Coding>(json!("GZip")).unwrap().as_str(), "gzip");
    }
}
