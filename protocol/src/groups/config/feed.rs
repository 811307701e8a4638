//! The configuration of a group as proxies are told it.

use super::{Errors, GroupConfig, KeyHost, Methods, Mode, Origin, OriginProxies, RequestRules};
use crate::groups::{
    credential_rules::with_rules,
    patterns::{CallerPattern, Match, PathRule},
};

impl GroupConfig {
    /// Returns the configuration for proxies that speak this version of the feed: without the origin's address and what
    /// it gets. A group with rules that they do not know, or that is not for proxies, is off for them: they pass all that
    /// it may match.
    pub(crate) fn for_feed(&self, version: u32) -> Self {
        if version < self.feed_version() || !self.is_for_proxies() {
            return self.off();
        }
        let mut config = with_rules(self).into_owned();
        config.origin = Origin::hidden(self.origin.timeout);
        config.callers = callers(&self.callers);
        if version < 3 {
            // Their requests with QUERY pass.
            config.methods = Methods::default();
        }
        // Version 1 makes the digest of the configuration itself.
        if version < 2 && config.freshness.errors == Errors::Safe {
            config.freshness.errors = Errors::Rfc9111;
        }
        config
    }

    /// Whether proxies serve the group. Where they do not, what passes there would go without the origin's credentials.
    pub fn is_for_proxies(&self) -> bool {
        !self.origin.gets_credentials() || self.origin.proxies == OriginProxies::Inject
    }

    /// Returns the first version of the feed whose readers serve this group rightly. Readers pass over fields that they
    /// do not know, so each field that changes what a proxy must do stands here.
    pub(crate) fn feed_version(&self) -> u32 {
        let ruled = with_rules(self);
        let is_as_ever = ruled.request.is_default() && self.methods.get && self.methods.head;
        // Filters before version 3 read statuses of errors alone.
        let lists_errors_alone = self.freshness.status.keys().all(|status| status.is_error());
        let stores_as_ever = self.freshness.ignore.is_empty() && lists_errors_alone;
        let keys_as_ever = self.key.host == KeyHost::Client && self.key.query.include.is_empty();
        let is_new = !(is_as_ever && stores_as_ever && keys_as_ever)
            || self.r#match.paths.iter().chain(&self.r#match.exclude).any(is_target);
        if is_new { 3 } else { 1 }
    }

    /// Returns a group of this name that is off and matches at least what this one does, in words that every version
    /// reads.
    fn off(&self) -> Self {
        let Match { service, hosts, paths, exclude } = self.r#match.clone();
        let paths = if paths.iter().any(is_target) { Vec::new() } else { paths };
        let exclude = exclude.into_iter().filter(|rule| !is_target(rule)).collect();
        Self {
            name: self.name.clone(),
            mode: Mode::Off,
            r#match: Match { service, hosts, paths, exclude },
            methods: Methods::default(),
            request: RequestRules::default(),
            bypass: Default::default(),
            callers: Vec::new(),
            pass_through: Default::default(),
            key: Default::default(),
            origin: Origin::hidden(self.origin.timeout),
            patience: super::patience(),
            overload: Default::default(),
            freshness: Default::default(),
            hedge: Default::default(),
            stream_after: super::stream_after(),
            min_uses: super::min_uses(),
            limits: Default::default(),
            hot: Default::default(),
            share: Default::default(),
            tags: Default::default(),
        }
    }
}

/// Returns the callers that a proxy can tell apart: it knows no DNS names, and its filter may not read such a pattern.
pub(in crate::groups) fn callers(all: &[CallerPattern]) -> Vec<CallerPattern> {
    let known: Vec<_> = all.iter().filter(|pattern| !pattern.is_dns()).cloned().collect();
    // An empty list would be everybody.
    if known.is_empty() && !all.is_empty() { vec![CallerPattern::nobody()] } else { known }
}

fn is_target(rule: &PathRule) -> bool {
    matches!(rule, PathRule::Target(_))
}
