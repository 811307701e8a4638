//! A group.

use super::{
    config::{Coding, Fill, GroupConfig, Ignored, KeyHost, PassThrough, RequestRules},
    credential_rules::add_rules,
    patterns::{CallerPattern, NamePattern, Service},
};
use crate::{
    reason::Reason,
    request::{Cookie, Field, Reduced, Request, reduce, values},
    sort::sort_by,
};
use std::borrow::Cow;

/// A group: its configuration and what follows from it.
#[derive(Debug, PartialEq)]
pub struct Group {
    config: GroupConfig,
    digest: String,
    /// The digest that proxies of the feed's version 1 make. `None`: in a proxy, which compares with none.
    feed_1_digest: Option<String>,
}

/// Why a coordinator does not forward a plain client's request: the field that would let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPassed {
    /// The method is not let through.
    Methods,
    /// The group does not match the path.
    OtherPaths,
}

impl NotPassed {
    /// Returns the field, as written in the file.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Methods => "passThrough.methods",
            Self::OtherPaths => "passThrough.otherPaths",
        }
    }
}

impl Group {
    pub(super) fn new(config: GroupConfig) -> Self {
        // The digests are of the configuration as it is sent: proxies normalise its paths themselves.
        let (digest, feed_1_digest) = (config.digest(), config.for_feed(1).digest());
        Self::of(config, digest, Some(feed_1_digest))
    }

    /// A group as a proxy is told it, with the coordinators' digest. Those of the feed's version 1 tell none.
    pub(super) fn told(config: GroupConfig, digest: Option<&String>) -> Self {
        let digest = digest.cloned().unwrap_or_else(|| config.digest());
        Self::of(config, digest, None)
    }

    fn of(mut config: GroupConfig, digest: String, feed_1_digest: Option<String>) -> Self {
        add_rules(&mut config);
        config.r#match.normalize();
        Self { config, digest, feed_1_digest }
    }

    /// Creates a group `g` with these fields over a minimal configuration, for tests.
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

    /// Returns its name: the label of metrics and first part of the key.
    pub fn name(&self) -> &str {
        self.config.name.as_str()
    }

    /// Returns its configuration.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Returns a digest of its rules. A response under other rules answers one request only.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether a digest is that of these rules, made by a coordinator or by a proxy of an older version of the feed.
    pub fn accepts_digest(&self, digest: &str) -> bool {
        digest == self.digest || self.feed_1_digest.as_deref() == Some(digest)
    }

    /// Returns the service's name, in a group by `service`.
    pub fn service(&self) -> Option<&str> {
        self.config.r#match.service.as_ref().map(Service::as_str)
    }

    /// Whether its hosts share responses.
    pub fn shares_hosts(&self) -> bool {
        self.config.key.host == KeyHost::None
    }

    /// Whether its requests are anonymous: nothing of a client's own reaches the key, a load or a decision.
    pub fn is_anonymous(&self) -> bool {
        self.config.request.drop.is_all()
    }

    /// Whether it ignores what a response says of this.
    pub fn ignores(&self, what: Ignored) -> bool {
        self.config.freshness.ignore.contains(&what)
    }

    /// Whether responses that set a cookie are stored without it.
    pub fn strips_set_cookie(&self) -> bool {
        self.config.share.set_cookie || !self.config.freshness.ignore.is_empty()
    }

    /// Returns the header fields in the key, lower case.
    pub fn key_headers(&self) -> impl Iterator<Item = &str> {
        self.config.key.headers.iter().map(String::as_str)
    }

    /// Returns the cookies in the key.
    pub fn key_cookies(&self) -> impl Iterator<Item = &str> {
        self.config.key.cookies.iter().map(String::as_str)
    }

    /// Whether the proxy's route is in the key.
    pub fn keys_route(&self) -> bool {
        self.config.key.route
    }

    /// Whether requests for one target can have different keys.
    pub fn keys_more_than_target(&self) -> bool {
        let key = &self.config.key;
        // The content of a QUERY is in its key.
        key.route || !key.headers.is_empty() || !key.cookies.is_empty() || self.config.methods.query
    }

    /// Returns the part of a query that is in the key and sent to the origin. `None`: there is none.
    pub fn query<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let query = query?;
        let rules = &self.config.key.query;
        if rules.include.is_empty() && rules.exclude.is_empty() && !rules.sort {
            return Some(Cow::Borrowed(query));
        }
        let mut kept: Vec<&str> = query.split('&').filter(|pair| self.keeps_parameter(pair)).collect();
        if rules.sort {
            // By name only: the order of a name's values matters to services.
            let mut sorted: Vec<(usize, &str)> = kept.iter().copied().enumerate().collect();
            sort_by(&mut sorted, |a, b| parameter(a.1).cmp(parameter(b.1)).then(a.0.cmp(&b.0)));
            kept = sorted.into_iter().map(|(_, pair)| pair).collect();
        }
        if kept.is_empty() { None } else { Some(Cow::Owned(kept.join("&"))) }
    }

    /// Whether a pair of the query is in the key and sent to the origin.
    pub fn keeps_parameter(&self, pair: &str) -> bool {
        let rules = &self.config.key.query;
        let has = |names: &[NamePattern]| names.iter().any(|name| name.matches(parameter(pair)));
        (rules.include.is_empty() || has(&rules.include)) && !has(&rules.exclude)
    }

    /// Whether the cache answers requests of a method. All others pass.
    pub fn answers(&self, method: &[u8]) -> bool {
        self.config.methods.contains(method)
    }

    /// Whether requests may be changed before they are looked up ([`Group::edited`]).
    pub fn edits_requests(&self) -> bool {
        !self.config.request.is_default()
    }

    /// Whether a field of requests is removed. `name`: in lower case.
    pub fn drops(&self, name: &[u8]) -> bool {
        let rules = &self.config.request;
        rules.drop.contains(name) && (name != b"accept-encoding" || rules.accept_encoding.is_empty())
    }

    /// Returns a request's fields as the cache sees them and a load sends them: without those that the group drops, and
    /// with Accept-Encoding reduced. The kind of a request (upgrade, body, gRPC, event stream) is told by its own.
    pub fn edited<'a>(&'a self, fields: &'a [Field<'a>]) -> impl Iterator<Item = Field<'a>> {
        let RequestRules { drop, accept_encoding } = &self.config.request;
        let reduces = !accept_encoding.is_empty();
        let mut coding = match reduce(values(fields, "accept-encoding"), accept_encoding.iter().map(Coding::as_str)) {
            Reduced::To(coding) => Some(coding),
            // Nothing of an anonymous request is the client's own.
            Reduced::Refuses if !drop.is_all() => Some("identity;q=0"),
            Reduced::Refuses | Reduced::ToNothing => None,
        };
        fields.iter().filter(|(name, _)| !self.drops(name)).filter_map(move |(name, value)| match *name {
            // The first of its lines is replaced, the others are gone.
            b"accept-encoding" if reduces => coding.take().map(|coding| (*name, coding.as_bytes())),
            _ => Some((*name, *value)),
        })
    }

    /// Whether [`Group::edited`] changes these fields: a response to the request as it came is for its client alone.
    pub fn edits(&self, fields: &[Field<'_>]) -> bool {
        self.edits_requests() && !self.edited(fields).eq(fields.iter().copied())
    }

    /// Returns why a request bypasses the cache: it has a header, a cookie or a parameter of the group's `bypass`.
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

    /// Whether servers may read a cookie of the key differently. Such a request passes.
    pub fn has_ambiguous_cookie(&self, request: &Request<'_>) -> bool {
        self.key_cookies().any(|name| request.cookie(name) == Cookie::Ambiguous)
    }

    /// Whether a caller may have responses of the group. `None`: a caller without identity.
    pub fn admits(&self, caller: Option<&str>) -> bool {
        !self.is_guarded() || self.config.callers.iter().any(|pattern| pattern.matches(caller))
    }

    /// Whether a coordinator forwards a plain client's request to the origin. The origin sees the coordinator as the
    /// caller, and the client may not be able to reach it itself. `other_path`: the group may not match the path.
    /// `identified`: the coordinator knows its callers' identities.
    pub fn passes_through(&self, method: &str, other_path: bool, identified: bool) -> Result<(), NotPassed> {
        // Where callers cannot be told apart, this is a plain caching proxy.
        let open = self.config.callers.is_empty() && !identified;
        let PassThrough { methods, other_paths } = &self.config.pass_through;
        let method_passes = match methods {
            Some(methods) => methods.iter().any(|pattern| pattern.matches(method)),
            None => open || matches!(method, "GET" | "HEAD") || self.answers(method.as_bytes()),
        };
        if other_path && !other_paths.unwrap_or(open) {
            Err(NotPassed::OtherPaths)
        } else if !method_passes {
            Err(NotPassed::Methods)
        } else {
            Ok(())
        }
    }

    /// Whether proxies load what is not stored.
    pub fn is_filled_by_proxies(&self) -> bool {
        self.config.fill == Fill::Proxy
    }

    /// Whether a proxy with this identity may fill.
    pub fn admits_filler(&self, identity: &str) -> bool {
        self.is_filled_by_proxies() && self.config.fillers.iter().any(|pattern| pattern.matches(Some(identity)))
    }

    /// Whether it matches every path of its hosts.
    pub fn takes_every_path(&self) -> bool {
        self.config.r#match.paths.is_empty() && self.config.r#match.exclude.is_empty()
    }

    /// Whether `callers` admits only some, so that a caller's identity has to be known.
    pub fn is_guarded(&self) -> bool {
        !self.config.callers.is_empty() && !self.config.callers.iter().any(CallerPattern::is_everybody)
    }
}

fn parameter(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}
