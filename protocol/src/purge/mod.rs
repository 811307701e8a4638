//! Purges: what they remove ([`Scope`], [`Matcher`]), in which order they are known ([`Position`], [`Log`]), and the
//! proof that a coordinator announced one ([`mark`]).
//!
//! Each start of a coordinator is a source that numbers its own purges from 1. Several coordinators can purge at once
//! without asking one another, no clocks are compared, and a coordinator that restarts never reuses a number. Purges
//! commute (each only removes), so a position needs no order between sources.

mod log;
pub mod mark;
mod matcher;
mod position;
mod regexes;
mod url;

pub use log::{Append, Bounds, Log, Truncated};
pub use matcher::{Candidates, KeyMatch, Matcher};
pub use position::{InvalidPosition, MAX_SOURCES, Position};
pub use regexes::{MAX_REGEXES, Regexes};

use crate::groups::Host;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// One purge. A reader that does not know its kind or one of its fields treats it as a purge of everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, from = "PurgeJson")]
pub struct Purge {
    /// The source that ordered it: one start of a coordinator.
    pub source: String,
    /// Its number at that source, from 1.
    pub n: u64,
    /// The entries that it removes.
    #[serde(rename = "what")]
    pub scope: Scope,
    /// Whether entries are made stale instead of removed.
    pub soft: bool,
}

/// A purge as it is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PurgeJson {
    source: String,
    n: u64,
    what: ScopeJson,
    soft: bool,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// A scope as far as this version understands it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeJson {
    Known(Scope),
    Unknown(IgnoredAny),
}

impl Default for ScopeJson {
    fn default() -> Self {
        Self::Known(Scope::default())
    }
}

impl From<PurgeJson> for Purge {
    fn from(json: PurgeJson) -> Self {
        let scope = match json.what {
            ScopeJson::Known(scope) if json.unknown.is_empty() => scope,
            _ => Scope { all: true, ..Scope::default() },
        };
        Self { source: json.source, n: json.n, scope, soft: json.soft }
    }
}

impl Purge {
    /// Returns its unique name in reports and logs.
    pub fn id(&self) -> String {
        format!("{}:{}", self.source, self.n)
    }

    /// Returns the purge as a reader is told it that knows `regex` and `hosts`, or does not.
    #[must_use]
    pub fn told(mut self, exact: bool) -> Self {
        if let Some(wider) = (!exact).then(|| self.scope.widened()).flatten() {
            self.scope = wider;
        }
        self
    }

    /// Estimates the bytes that it takes in memory.
    fn size(&self) -> usize {
        let Scope { urls, group, hosts, paths, prefixes, regex, tags, all: _ } = &self.scope;
        let words = [urls, paths, prefixes, regex, tags].into_iter().flatten().chain(group).map(String::len);
        let lengths = words.chain(hosts.iter().map(|host| host.to_string().len()));
        lengths
            .fold(self.source.len().saturating_add(256), |size, length| size.saturating_add(length).saturating_add(32))
    }
}

/// The entries that a purge removes. All variants of a matching entry go.
///
/// `group` and `hosts` limit what `paths`, `prefixes`, `regex` and `tags` select. With none of these, all within the
/// limits goes; without a limit, they select nothing. Readers that do not know `regex` and `hosts` are told another scope
/// ([`Scope::widened`]), or take it for everything ([`Purge`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Absolute URLs, in any group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Only what is in this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only what has one of these hosts. `*`: any, and so `{"hosts": ["*"], "tags": [..]}` are tags of every group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Paths with their query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Beginnings of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Regular expressions of whole paths with their query ([`Regexes`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regex: Vec<String>,
    /// Words of the group's tag header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Scope {
    /// Returns the scope in the words of readers that do not know `regex` and `hosts`: as its group, or as everything.
    /// `None`: they know its words.
    pub fn widened(&self) -> Option<Self> {
        (!self.regex.is_empty() || !self.hosts.is_empty()).then(|| Self {
            urls: self.urls.clone(),
            group: self.group.clone(),
            all: self.all || self.group.is_none(),
            ..Self::default()
        })
    }
}

/// Makes a source's name: the coordinator's name, shortened and escaped to fit a header, and a number that no other
/// start of it had.
pub fn source(name: &str, start: u64) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().take(64).map(fits).collect();
    format!("{name}.{start:016x}")
}

#[cfg(test)]
mod tests;
