//! The patterns of a group: names, services, hosts, paths and callers, each checked while it is read.

use super::{
    config::{Match, PathRule},
    units::Span,
};
use crate::request::{default_port, normal_form::normalize, split_port};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{borrow::Cow, fmt};

/// A type that is a checked string: reads with `FromStr`, writes as it was written.
macro_rules! checked {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
checked!(Name, Service, Host, PathRegex, NamePattern, CallerPattern, MethodPattern, OriginUrl, Force, Status);

/// A name as Kubernetes has them: at most 63 of a-z, 0-9 and `-`, begins and ends with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if is_label(text) {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{text}` is not a name (at most 63 of a-z, 0-9 and `-`, no `-` at either end)"))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63
        && text.bytes().all(|b| ok(b) || b == b'-')
        && text.bytes().next().is_some_and(ok)
        && text.bytes().last().is_some_and(ok)
}

/// A Kubernetes service: `name.namespace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Service {
    full: String,
    dot: usize,
}

impl Service {
    /// `name.namespace`.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// Whether a host is a DNS name of this service, seen from a namespace.
    fn is_named(&self, host: &str, namespace: Option<&str>) -> bool {
        let (name, rest) = self.full.split_at(self.dot);
        match host.strip_prefix(&self.full) {
            Some("" | ".svc" | ".svc.cluster.local" | ".svc.cluster.local.") => true,
            _ => host == name && rest.strip_prefix('.') == namespace,
        }
    }
}

impl std::str::FromStr for Service {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some((name, namespace)) if is_label(name) && is_label(namespace) => {
                Ok(Self { full: text.into(), dot: name.len() })
            }
            _ => Err(format!("`{text}` is not a service (name.namespace, for example config-server.platform)")),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// A host: `example.com` (any port), `example.com:8080`, `*.example.com`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    any_label: bool,
    host: String,
    port: Option<u16>,
}

impl Host {
    /// Whether every host matches.
    pub fn is_any(&self) -> bool {
        self.any_label && self.host.is_empty() && self.port.is_none()
    }

    /// `port`: the request's, `None` where it is the scheme's own.
    fn matches(&self, host: &str, port: Option<u16>, scheme: &str) -> bool {
        let host_fits =
            if self.any_label { host.len() > self.host.len() && host.ends_with(&self.host) } else { host == self.host };
        host_fits && self.port.is_none_or(|wanted| wanted == port.unwrap_or_else(|| default_port(scheme)))
    }
}

impl std::str::FromStr for Host {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Err(format!("`{text}` is not a host (examples: example.com, example.com:8080, *.example.com)"));
        let (any_label, rest) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let (host, port) = split_port(rest);
        let fits = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'-' | b'_' | b'[' | b']')
                || (b == b':' && host.starts_with('['))
        };
        if !host.bytes().all(fits)
            || (host.is_empty() && !any_label)
            || (any_label && !host.is_empty() && !host.starts_with('.'))
        {
            return wrong();
        }
        Ok(Self { any_label, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.any_label { "*" } else { "" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A regular expression over a whole path. Matching takes time linear in the path.
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
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match regex_lite::Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Ok(Self { text: text.into(), regex }),
            Err(error) => Err(format!("`{text}` is not a regex: {error}")),
        }
    }
}

impl fmt::Display for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of a query parameter, or the beginning of one: `utm_*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        self.0.strip_suffix('*').map_or(self.0 == name, |start| name.starts_with(start))
    }
}

impl std::str::FromStr for NamePattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || name.contains(['*', '&', '=', '#', ' ']) {
            return Err(format!("`{text}` is not the name of a query parameter (examples: session, utm_*)"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A caller's SPIFFE id, `*` for any characters but `/`; `*` alone is everybody, with or without identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallerPattern(String);

impl CallerPattern {
    /// Whether it is everybody.
    pub fn is_everybody(&self) -> bool {
        self.0 == "*"
    }

    /// Whether a caller fits. `None`: one without identity.
    pub fn matches(&self, caller: Option<&str>) -> bool {
        self.is_everybody() || caller.is_some_and(|caller| glob(self.0.as_bytes(), caller.as_bytes()))
    }
}

/// `*` stands for any characters but `/`: an id's parts are of one kind each. Linear: the last star is the only one to
/// come back to.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut back) = (0, 0, None);
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(x) if x == c => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) if text.get(from).is_some_and(|skipped| *skipped != b'/') => {
                    (p, t) = (star + 1, from + 1);
                    back = Some((star, from + 1));
                }
                _ => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|b| *b == b'*')
}

impl std::str::FromStr for CallerPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" || (text.starts_with("spiffe://") && text.bytes().all(|b| b.is_ascii_graphic())) {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "`{text}` is not a caller (examples: spiffe://cluster.local/ns/shop/sa/web, spiffe://*/ns/shop/sa/*, *)"
            ))
        }
    }
}

impl fmt::Display for CallerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An HTTP method, in capitals as they are sent; `*`: every method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MethodPattern(String);

impl MethodPattern {
    /// Whether a method is meant.
    pub fn matches(&self, method: &str) -> bool {
        self.0 == "*" || self.0 == method
    }
}

impl std::str::FromStr for MethodPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // Methods are case-sensitive (RFC 9110 section 9.1): `get` would be another one than GET, and is a mistake.
        if is_field_name(text) && !text.bytes().any(|b| b.is_ascii_lowercase()) && (text == "*" || !text.contains('*'))
        {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{text}` is not a method (examples: GET, POST, *)"))
        }
    }
}

impl fmt::Display for MethodPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An origin: `http://host:port`, without path, query or user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginUrl {
    https: bool,
    authority: String,
}

impl OriginUrl {
    /// What stands in its place where it is nobody's business.
    pub(crate) fn hidden() -> Self {
        Self { https: false, authority: "hidden".into() }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Host and port as written.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl std::str::FromStr for OriginUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not an origin's URL (http://host:port or https://host:port, without a path)");
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(authority);
        let fits = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'-' | b'_')
                || (host.starts_with('[') && matches!(b, b'[' | b']' | b':'))
        };
        if host.is_empty() || !host.bytes().all(fits) || port == Some(0) || authority.ends_with(':') {
            return Err(wrong());
        }
        Ok(Self { https, authority: authority.into() })
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

/// `off`, or a freshness that overrides what answers say. YAML may write `off` as false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum Force {
    /// Answers say for themselves.
    #[default]
    Off,
    /// Every answer that is not private or no-store is fresh for so long.
    For(Span),
}

impl<'de> Deserialize<'de> for Force {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected off or a duration such as 10s")]
        enum Word {
            Bool(bool),
            Text(String),
        }
        match Word::deserialize(deserializer)? {
            Word::Bool(false) => Ok(Self::Off),
            Word::Bool(true) => Err(D::Error::custom("force: `true` is not off or a duration")),
            Word::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl std::str::FromStr for Force {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::For) }
    }
}

impl fmt::Display for Force {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::For(span) => span.fmt(f),
        }
    }
}

/// A status or a class of error statuses: `404`, `4xx`, `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Status {
    /// This status.
    Exactly(u16),
    /// All of a class: its first digit.
    Class(u16),
}

impl Status {
    /// Whether a status is meant.
    pub const fn matches(self, status: u16) -> bool {
        match self {
            Self::Exactly(this) => this == status,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl std::str::FromStr for Status {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<u16>()) {
            ("4xx", _) => Ok(Self::Class(4)),
            ("5xx", _) => Ok(Self::Class(5)),
            (_, Ok(status @ 400..=599)) => Ok(Self::Exactly(status)),
            _ => Err(format!("`{text}` is not an error status (examples: \"404\", \"4xx\", \"5xx\")")),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl Match {
    /// Whether a host (lower case, the port `None` where it is the scheme's own) is named, seen from a namespace.
    pub(super) fn names_host(&self, host: &str, port: Option<u16>, scheme: &str, namespace: Option<&str>) -> bool {
        self.service.as_ref().is_some_and(|service| service.is_named(host, namespace))
            || self.hosts.iter().any(|pattern| pattern.matches(host, port, scheme))
    }

    /// Whether a path is named and not left out again.
    pub(super) fn names_path(&self, path: &str) -> bool {
        (self.paths.is_empty() || self.paths.iter().any(|rule| rule.matches(path)))
            && !self.exclude.iter().any(|rule| rule.matches(path))
    }
}

impl Match {
    /// With its paths as requests have them.
    pub(super) fn normalise(&mut self) {
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
    /// Whether a path in its normal form, without query, is meant.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Exact(exact) => path == exact,
            Self::Regex(regex) => regex.regex.is_match(path),
        }
    }
}

/// Header names in lower case; an invalid one is an error.
pub(super) fn lower_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.iter().find(|name| !is_field_name(name)) {
        Some(bad) => Err(D::Error::custom(format!("`{bad}` is not the name of a header"))),
        None => Ok(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()),
    }
}

/// Whether a text is a header's name: a token (RFC 9110 section 5.6.2).
pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_matched_part_by_part() {
        let matches = |pattern: &str, id: &str| pattern.parse::<CallerPattern>().unwrap().matches(Some(id));
        assert!(matches("spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/web"));
        assert!(matches("spiffe://*/ns/shop/sa/*", "spiffe://cluster.local/ns/shop/sa/web"));
        assert!(matches("spiffe://*/ns/*-a/sa/w*b", "spiffe://x/ns/shop-a-a/sa/web"));
        assert!(!matches("spiffe://*/sa/web", "spiffe://x/ns/shop/sa/web"), "a star is no slash");
        assert!(!matches("spiffe://x/ns/shop/sa/web", "spiffe://x/ns/shop/sa/web2"));
        assert!("shop".parse::<CallerPattern>().is_err());
    }

    #[test]
    fn wrong_values_are_named() {
        for (error, part) in [
            ("Not_A_Name".parse::<Name>().err(), "name"),
            ("config".parse::<Service>().err(), "service"),
            ("exa mple.com".parse::<Host>().err(), "host"),
            ("*example.com".parse::<Host>().err(), "host"),
            ("(".parse::<PathRegex>().err(), "regex"),
            ("ftp://h".parse::<OriginUrl>().err(), "URL"),
            ("http://h/path".parse::<OriginUrl>().err(), "URL"),
            ("http://user:pw@h".parse::<OriginUrl>().err(), "URL"),
            ("http://h:99999".parse::<OriginUrl>().err(), "URL"),
            ("200".parse::<Status>().err(), "status"),
            ("6xx".parse::<Status>().err(), "status"),
        ] {
            assert!(error.as_ref().is_some_and(|e| e.contains(part)), "{error:?} names {part}");
        }
    }
}
