//! Groups: which requests are cached, and by which rules.

pub mod check;
mod config;
mod contradiction;
mod credential_rules;
mod digest;
mod group;
mod patterns;
#[cfg(feature = "schema")]
mod schema;
pub mod units;

pub use config::{
    Bypass, ClientAuthMethod, Coding, Config, Directives, DroppedFields, Errors, Freshness, GroupConfig, HeaderFile,
    Hot, Ignored, KeyHost, KeyRules, Limits, Methods, Mode, OAuth2, Origin, OriginAuth, OriginHeaders, OriginHost,
    OriginProxies, OriginTls, Overload, PassThrough, QueryRules, RequestRules, Share, SigningAlgorithm, Tags, TokenUrl,
};
pub use group::{Group, NotPassed};
pub use patterns::{
    CallerPattern, Force, Host, InvalidValue, Match, MethodPattern, Name, NamePattern, OriginUrl, PathRegex, PathRule,
    Service, Status, TargetRule,
};

use crate::request::Request;
use digest::digest;
use std::{collections::BTreeMap, sync::Arc};

/// The group of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GroupMatch<'g> {
    /// The group that matches it.
    Group(&'g Arc<Group>),
    /// The first group that matches the host; none matches the path, too. The request passes to this group's origin.
    HostOnly(&'g Arc<Group>),
    /// No group matches the host.
    Nothing,
}

/// All groups, in the order of the configuration. The first that matches a request is its group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    groups: Vec<Arc<Group>>,
    debuggers: Vec<CallerPattern>,
    digest: String,
}

impl Groups {
    /// Creates the groups of a configuration.
    ///
    /// # Errors
    /// The findings of [`check::check`].
    pub fn new(config: Config) -> Result<Self, check::Problem> {
        Self::of(config, Group::new)
    }

    /// Creates the groups as a proxy is told them, with the digests of the coordinators, by name.
    pub(crate) fn told(config: Config, digests: &BTreeMap<String, String>) -> Result<Self, check::Problem> {
        Self::of(config, |group| {
            let digest = digests.get(group.name.as_str());
            Group::told(group, digest)
        })
    }

    fn of(config: Config, group: impl Fn(GroupConfig) -> Group) -> Result<Self, check::Problem> {
        check::check(&config)?;
        let digest = digest(&config);
        let groups = config.groups.into_iter().map(|config| Arc::new(group(config))).collect();
        Ok(Self { groups, debuggers: config.debuggers, digest })
    }

    /// Returns only the groups of these names, in the same order, for a proxy whose configuration names groups.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let groups = self.groups.iter().filter(|g| names.iter().any(|n| n == g.name())).cloned().collect();
        Self { groups, debuggers: self.debuggers.clone(), digest: self.digest.clone() }
    }

    /// Finds the group of a request from a caller in this namespace (short service names match only there).
    pub fn find(&self, request: &Request<'_>, namespace: Option<&str>) -> GroupMatch<'_> {
        let path = request.normal_path();
        let mut host_only = None;
        for group in self.of_host(request, namespace) {
            if group.config().r#match.has_path(&path, request) {
                return GroupMatch::Group(group);
            }
            host_only = host_only.or(Some(group));
        }
        host_only.map_or(GroupMatch::Nothing, GroupMatch::HostOnly)
    }

    /// Returns all groups that match a request's host, whatever its path.
    pub fn of_host<'g>(
        &'g self,
        request: &Request<'_>,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'g Arc<Group>> {
        let (host, port) = request.host_port();
        self.groups.iter().filter(move |group| group.config().r#match.has_host(&host, port, request.scheme, namespace))
    }

    /// Returns the group of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.iter().find(|group| group.name() == name)
    }

    /// Returns all groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter()
    }

    /// Whether this caller's meshcache-bypass and meshcache-debug are honoured. `None`: a caller without identity.
    pub fn is_debugger(&self, caller: Option<&str>) -> bool {
        self.debuggers.iter().any(|pattern| pattern.matches(caller))
    }

    /// Returns a digest of the whole configuration.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

#[cfg(test)]
mod tests;
