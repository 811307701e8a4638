//! Groups: which requests are cached and by which rules. The first group that matches wins.

pub mod check;
mod config;
mod patterns;
pub mod units;

pub use config::*;
pub use patterns::{
    CallerPattern, Force, Host, MethodPattern, Name, NamePattern, OriginUrl, PathRegex, Service, Status,
};

use crate::{
    hash::Hash,
    reason::Reason,
    request::{Cookie, Request},
};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// One group with what follows from its configuration.
#[derive(Debug, PartialEq)]
pub struct Group {
    config: GroupConfig,
    digest: String,
    /// What proxies of the feed's version 1 make of what they are told.
    older: String,
}

/// What the groups say about a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GroupMatch<'g> {
    /// This group's rules hold.
    Group(&'g Arc<Group>),
    /// The host is named by this group (the first that names it), the path by none: passed, uncached, to its origin.
    HostOnly(&'g Arc<Group>),
    /// No group names the host.
    Nothing,
}

/// Why a coordinator does not send a plain client's request on: the field that would let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPassed {
    /// The method is not among those that pass.
    Methods,
    /// The group does not name the path.
    OtherPaths,
}

impl NotPassed {
    /// The field, as written in the file.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Methods => "passThrough.methods",
            Self::OtherPaths => "passThrough.otherPaths",
        }
    }
}

/// All groups, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    groups: Vec<Arc<Group>>,
    debuggers: Vec<CallerPattern>,
    digest: String,
}

impl Groups {
    /// The groups of a configuration that [`check::check`] accepts.
    pub fn new(config: Config) -> Result<Self, check::Problem> {
        check::check(&config)?;
        let digest = digest(&config);
        let groups = config.groups.into_iter().map(|group| Arc::new(Group::new(group))).collect();
        Ok(Self { groups, debuggers: config.debuggers, digest })
    }

    /// Only the groups of these names, in their own order: what a proxy serves whose configuration names groups.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let groups = self.groups.iter().filter(|g| names.iter().any(|n| n == g.name())).cloned().collect();
        Self { groups, debuggers: self.debuggers.clone(), digest: self.digest.clone() }
    }

    /// What the groups say about a request from a caller in this namespace (short service names count only there).
    pub fn find(&self, request: &Request<'_>, namespace: Option<&str>) -> GroupMatch<'_> {
        let path = request.normal_path();
        let mut host_only = None;
        for group in self.of_host(request, namespace) {
            if group.config.r#match.names_path(&path) {
                return GroupMatch::Group(group);
            }
            host_only = host_only.or(Some(group));
        }
        host_only.map_or(GroupMatch::Nothing, GroupMatch::HostOnly)
    }

    /// All groups that name a request's host, whatever its path.
    pub fn of_host<'g>(
        &'g self,
        request: &Request<'_>,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'g Arc<Group>> {
        let (host, port) = request.host_port();
        self.groups.iter().filter(move |group| group.config.r#match.names_host(&host, port, request.scheme, namespace))
    }

    /// The group of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.iter().find(|group| group.name() == name)
    }

    /// All groups, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter()
    }

    /// Whether this caller's meshcache-bypass and meshcache-debug are believed. `None`: a caller without identity.
    pub fn is_debugger(&self, caller: Option<&str>) -> bool {
        self.debuggers.iter().any(|pattern| pattern.matches(caller))
    }

    /// The same with these digests, by the groups' names.
    #[must_use]
    pub fn with_digests(mut self, digests: &BTreeMap<String, String>) -> Self {
        for group in self.groups.iter_mut().filter_map(Arc::get_mut) {
            if let Some(digest) = digests.get(group.config.name.as_str()) {
                group.digest.clone_from(digest);
            }
        }
        self
    }

    /// A digest of the whole configuration.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Group {
    fn new(mut config: GroupConfig) -> Self {
        // Of the configuration as it is told: who hears of it normalises its paths, too.
        let (digest, older) = (config.digest(), config.for_feed_1().digest());
        config.r#match.normalise();
        Self { config, digest, older }
    }

    /// A group `g` with these fields over a minimal configuration. For tests.
    #[doc(hidden)]
    #[allow(clippy::unwrap_used)]
    pub fn for_tests(json: &str) -> Self {
        let mut value =
            serde_json::json!({"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": "http://origin:80"}});
        let over: serde_json::Value = serde_json::from_str(json).unwrap();
        for (name, field) in over.as_object().unwrap() {
            value.as_object_mut().unwrap().insert(name.clone(), field.clone());
        }
        Self::new(serde_json::from_value(value).unwrap())
    }

    /// Label of metrics, first part of the key.
    pub fn name(&self) -> &str {
        self.config.name.as_str()
    }

    /// As configured.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// A digest of the group's rules: an answer by other rules is good for one request only.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether a digest is that of these rules, as this coordinator has them or as a proxy makes it that speaks an
    /// older version of the feed.
    pub fn accepts_digest(&self, digest: &str) -> bool {
        digest == self.digest || digest == self.older
    }

    /// The service's name, in a group by `service`.
    pub fn service(&self) -> Option<&str> {
        self.config.r#match.service.as_ref().map(Service::as_str)
    }

    /// Headers that are part of the key, lower case.
    pub fn key_headers(&self) -> impl Iterator<Item = &str> {
        self.config.key.headers.iter().map(String::as_str)
    }

    /// Cookies that are part of the key.
    pub fn key_cookies(&self) -> impl Iterator<Item = &str> {
        self.config.key.cookies.iter().map(String::as_str)
    }

    /// Whether the route that the proxy chose is part of the key.
    pub fn keys_route(&self) -> bool {
        self.config.key.route
    }

    /// Whether requests for one target may have different keys.
    pub fn keys_more_than_target(&self) -> bool {
        let key = &self.config.key;
        key.route || !key.headers.is_empty() || !key.cookies.is_empty()
    }

    /// The query as the group has it: in the key, and towards the origin. `None` where there is none.
    pub fn query<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let query = query?;
        let rules = &self.config.key.query;
        if rules.exclude.is_empty() && !rules.sort {
            return Some(Cow::Borrowed(query));
        }
        let mut kept: Vec<&str> =
            query.split('&').filter(|pair| !rules.exclude.iter().any(|name| name.matches(parameter(pair)))).collect();
        if rules.sort {
            // By name only and stable: the order of values of one name means something to services.
            kept.sort_by(|a, b| parameter(a).cmp(parameter(b)));
        }
        if kept.is_empty() { None } else { Some(Cow::Owned(kept.join("&"))) }
    }

    /// Which of the group's `bypass` is present: a header, a cookie or a query parameter.
    pub fn bypass_reason(&self, request: &Request<'_>) -> Option<Reason> {
        let bypass = &self.config.bypass;
        if bypass.headers.iter().any(|name| request.value(name).is_some()) {
            return Some(Reason::BypassHeader);
        }
        if bypass.cookies.iter().any(|name| request.cookie(name) != Cookie::Absent) {
            return Some(Reason::BypassCookie);
        }
        let query = || {
            request
                .normal_query()
                .is_some_and(|q| q.split('&').any(|pair| bypass.query.iter().any(|name| name == parameter(pair))))
        };
        (!bypass.query.is_empty() && query()).then_some(Reason::BypassQuery)
    }

    /// Whether a cookie of the key is there in a way that not every server reads the same: such a request is none of
    /// the cache's business.
    pub fn has_ambiguous_cookie(&self, request: &Request<'_>) -> bool {
        self.key_cookies().any(|name| request.cookie(name) == Cookie::Ambiguous)
    }

    /// Whether a caller may have answers of this group. `None`: a caller without identity.
    pub fn admits(&self, caller: Option<&str>) -> bool {
        !self.is_guarded() || self.config.callers.iter().any(|pattern| pattern.matches(caller))
    }

    /// Whether a coordinator sends a plain client's request on to the origin that no cache answers: it is the
    /// coordinator's own call there, and may be one that its client could not make. `other_path`: the group may not
    /// name its path. `identified`: callers have an identity here.
    pub fn passes_through(&self, method: &str, other_path: bool, identified: bool) -> Result<(), NotPassed> {
        // Where nobody is told apart, this is a plain caching proxy.
        let open = self.config.callers.is_empty() && !identified;
        let PassThrough { methods, other_paths } = &self.config.pass_through;
        let method_passes = match methods {
            Some(methods) => methods.iter().any(|pattern| pattern.matches(method)),
            None => open || matches!(method, "GET" | "HEAD"),
        };
        if other_path && !other_paths.unwrap_or(open) {
            Err(NotPassed::OtherPaths)
        } else if !method_passes {
            Err(NotPassed::Methods)
        } else {
            Ok(())
        }
    }

    /// Whether every path of its hosts is the group's, however it is read.
    pub fn takes_every_path(&self) -> bool {
        self.config.r#match.paths.is_empty() && self.config.r#match.exclude.is_empty()
    }

    /// Whether `callers` lets in only some, so that a caller's identity has to be known.
    pub fn is_guarded(&self) -> bool {
        !self.config.callers.is_empty() && !self.config.callers.iter().any(CallerPattern::is_everybody)
    }
}

fn parameter(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// A digest of some configuration: of its JSON, whose fields have one order.
fn digest(config: &impl serde::Serialize) -> String {
    // A configuration of strings, numbers and lists always serialises; if it ever did not, nothing would agree with the
    // empty digest's owner but itself.
    let json = serde_json::to_vec(config).unwrap_or_default();
    format!("{:016x}", Hash::of(&json).low())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(json: serde_json::Value) -> Groups {
        Groups::new(serde_json::from_value(json).unwrap()).unwrap()
    }

    fn found(groups: &Groups, authority: &'static str, path: &'static str, namespace: Option<&str>) -> String {
        match groups
            .find(&Request::read(b"GET", b"http", authority.as_bytes(), path.as_bytes(), &[]).unwrap(), namespace)
        {
            GroupMatch::Group(g) => g.name().to_owned(),
            GroupMatch::HostOnly(g) => format!("({})", g.name()),
            GroupMatch::Nothing => String::new(),
        }
    }

    #[test]
    fn the_first_group_that_matches_wins() {
        let groups = groups(serde_json::json!({"version": 1, "groups": [
            {"name": "config", "match": {"service": "config.platform", "paths": [{"prefix": "/develop"}, {"exact": "/status"}, {"regex": "/prod/?"}], "exclude": [{"prefix": "/develop/private"}]}, "origin": {"url": "http://o"}},
            {"name": "wild", "match": {"hosts": ["*.example.com", "api.test:8080"]}, "origin": {"url": "http://o"}}]}));
        for (authority, path, expected) in [
            ("config.platform", "/develop", "config"),
            ("config.platform.svc.cluster.local:9000", "/develop/a", "config"),
            ("CONFIG.platform.svc", "/status", "config"),
            ("config.platform", "/prod/", "config"),
            ("config.platform", "/prod/x", "(config)"),
            ("config.platform", "/developer", "(config)"),
            ("config.platform", "/develop/private/x", "(config)"),
            ("a.example.com", "/", "wild"),
            ("example.com", "/", ""),
            ("api.test:8080", "/", "wild"),
            ("api.test", "/", ""),
            ("config.platform.svc.evil.com", "/develop", ""),
        ] {
            assert_eq!(found(&groups, authority, path, None), expected, "{authority}{path}");
        }
        assert_eq!(found(&groups, "config", "/develop", Some("platform")), "config");
        assert_eq!(found(&groups, "config", "/develop", Some("other")), "");
        assert_eq!(found(&groups.only(&["wild".into()]), "config.platform", "/develop", None), "");
    }

    #[test]
    fn a_query_is_as_sent_unless_the_group_normalises_it() {
        let as_sent = Group::for_tests("{}");
        assert_eq!(as_sent.query(Some("b=1&utm_x=2&a=3")).unwrap(), "b=1&utm_x=2&a=3");
        let group = Group::for_tests(r#"{"key": {"query": {"exclude": ["utm_*"], "sort": true}}}"#);
        assert_eq!(group.query(Some("b=2&utm_x=2&a=3&b=1")).unwrap(), "a=3&b=2&b=1");
        assert_eq!(group.query(Some("utm_x=2")), None);
    }

    #[test]
    fn bypass_and_callers_are_what_the_group_says() {
        let group = Group::for_tests(
            r#"{"bypass": {"query": ["nocache"], "cookies": ["session"]}, "callers": ["spiffe://*/ns/shop/sa/*"]}"#,
        );
        let request = |target: &'static str| Request::read(b"GET", b"http", b"h", target.as_bytes(), &[]).unwrap();
        assert_eq!(
            (group.bypass_reason(&request("/?nocache")), group.bypass_reason(&request("/?nocache2"))),
            (Some(Reason::BypassQuery), None)
        );
        assert!(group.admits(Some("spiffe://cluster.local/ns/shop/sa/web")));
        assert!(!group.admits(Some("spiffe://cluster.local/ns/bank/sa/web")) && !group.admits(None));
        assert!(Group::for_tests(r#"{"callers": ["*"]}"#).admits(None));
    }
}
