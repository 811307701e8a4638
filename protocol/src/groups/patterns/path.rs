//! Which requests a group matches, by service or host and by path.

use super::{Host, InvalidValue, Service, TargetRule, checked};
use crate::request::{Request, normal_form::normalize};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// The requests that a group matches: by `service` or by `hosts`, and by path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
#[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
pub struct Match {
    /// Every DNS name of this Kubernetes service, any port, as one authority: `name.namespace`.
    ///
    /// Example: `config-server.platform`. Change it when the service is one of Kubernetes: all its names share one
    /// cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Hosts: `example.com` (any port), `example.com:8080`, `*.example.com`, `*`. The authority is then in the key.
    ///
    /// Example: `[shop.example.com, "*.img.example.com"]`. Change it when clients know it by other names, as at a front
    /// proxy.
    pub hosts: Vec<Host>,
    /// Paths; empty: every path.
    ///
    /// Example: `[{prefix: /develop}]`. Change it when only some paths are to be cached.
    pub paths: Vec<PathRule>,
    /// Paths that do not match.
    ///
    /// Example: `[{prefix: /account}]`. Change it when some of these are not.
    pub exclude: Vec<PathRule>,
}

/// A pattern of paths: `{prefix: /a}` (whole segments), `{exact: /a}`, `{regex: "/a/?"}` (whole path), all without the
/// query; or of path and query: `{target: {regex: "^/a", search: true}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PathRule {
    /// The path or anything below it.
    Prefix(String),
    /// The path itself.
    Exact(String),
    /// Paths that it matches as a whole.
    Regex(PathRegex),
    /// Targets: paths with their queries.
    Target(TargetRule),
}

impl Match {
    /// Whether a host (lower case; `port`: `None` for the scheme's default) matches, as resolved in a namespace.
    pub(in crate::groups) fn has_host(
        &self,
        host: &str,
        port: Option<u16>,
        scheme: &str,
        namespace: Option<&str>,
    ) -> bool {
        self.service.as_ref().is_some_and(|service| service.has_name(host, namespace))
            || self.hosts.iter().any(|pattern| pattern.matches(host, port, scheme))
    }

    /// Whether a request's path matches and is not excluded. `path`: in its normal form.
    pub(in crate::groups) fn has_path(&self, path: &str, request: &Request<'_>) -> bool {
        (self.paths.is_empty() || self.paths.iter().any(|rule| rule.matches(path, request)))
            && !self.exclude.iter().any(|rule| rule.matches(path, request))
    }

    /// Normalises the paths, as those of requests are.
    pub(in crate::groups) fn normalize(&mut self) {
        for rule in self.paths.iter_mut().chain(&mut self.exclude) {
            if let PathRule::Prefix(path) | PathRule::Exact(path) = rule
                && let Cow::Owned(other) = normalize(path)
            {
                *path = other;
            }
        }
    }
}

impl PathRule {
    /// Whether a request matches. `path`: in its normal form, without query.
    pub(super) fn matches(&self, path: &str, request: &Request<'_>) -> bool {
        match self {
            Self::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Exact(exact) => path == exact,
            Self::Regex(regex) => regex.regex.is_match(path),
            // What the key has and a load sends: another spelling of it cannot lead elsewhere.
            Self::Target(rule) => rule.matches(&request.normal_target()),
        }
    }
}

/// A regular expression that matches whole paths, in time linear in the path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathRegex {
    text: String,
    regex: regex_lite::Regex,
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::str::FromStr for PathRegex {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match regex_lite::Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Ok(Self { text: text.into(), regex }),
            Err(error) => Err(InvalidValue::new(text, format!("a regex: {error}"))),
        }
    }
}

impl fmt::Display for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

checked!(PathRegex);
