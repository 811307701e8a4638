//! Checks of a whole configuration, which no single field can make: equal names, a match without a host.

use super::{
    config::{Config, DroppedFields, GroupConfig, Limits},
    contradiction::contradiction,
    credential_rules::replaced,
    patterns::{Host, Match, PathRule, Status, is_field_name},
    units::Span,
};
use crate::{request::normal_form::is_unambiguous, status::is_provoked};
use std::fmt;

/// A fault of a configuration, and its place: `groups[1].match: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The number of the group, from 0; `None`: the problem is in no group.
    pub group: Option<usize>,
    /// The field, as written in the file.
    pub field: String,
    /// The fault.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            Some(n) => write!(f, "groups[{n}].{}: {}", self.field, self.what),
            None => write!(f, "{}: {}", self.field, self.what),
        }
    }
}

impl std::error::Error for Problem {}

/// Checks a configuration.
///
/// # Errors
/// The first problem.
pub fn check(config: &Config) -> Result<(), Problem> {
    problems(config).into_iter().next().map_or(Ok(()), Err)
}

/// Returns all problems of a configuration, in the order of its groups.
pub fn problems(config: &Config) -> Vec<Problem> {
    if config.version != 1 {
        let what = format!("{} is not a version of this format (1)", config.version);
        return vec![Problem { group: None, field: "version".into(), what }];
    }
    let mut all = Vec::new();
    for (n, group) in config.groups.iter().enumerate() {
        let mut problem = |field: &str, what| all.push(Problem { group: Some(n), field: field.into(), what });
        if config.groups.iter().take(n).any(|other| other.name == group.name) {
            problem("name", format!("two groups have the name `{}`", group.name));
        }
        check_group(group, &mut problem);
    }
    all
}

/// Checks what one group says. `problem` takes a field, and what is wrong with it.
fn check_group(group: &GroupConfig, problem: &mut impl FnMut(&str, String)) {
    let of = &group.r#match;
    match (&of.service, of.hosts.is_empty()) {
        (None, true) => problem("match", "needs `service` or `hosts`".into()),
        (Some(_), false) => problem("match", "has both `service` and `hosts`: choose one".into()),
        _ => {}
    }
    for (field, rules) in [("match.paths", &of.paths), ("match.exclude", &of.exclude)] {
        if let Some(bad) = rules.iter().find_map(|rule| match rule {
            PathRule::Prefix(path) | PathRule::Exact(path) if !path.starts_with('/') || path.contains(['?', '#']) => {
                Some(path)
            }
            _ => None,
        }) {
            problem(field, format!("`{bad}` is not a path (it begins with / and has no query)"));
        }
    }
    let mut own = DroppedFields::default();
    own.add(replaced(&group.origin));
    let removed = dropped_too(group, &group.request.drop, "request.drop removes");
    if let Some((field, what)) = removed.or_else(|| dropped_too(group, &own, "origin.headers replaces")) {
        problem(field, what);
    }
    let fresh = &group.freshness;
    if fresh.min > fresh.max {
        problem("freshness.min", format!("{} is more than freshness.max ({})", fresh.min, fresh.max));
    }
    if group.patience < Span::millis(10) {
        problem("patience", format!("{} is less than 10ms", group.patience));
    }
    if !group.hedge.is_zero() && group.hedge >= group.patience {
        let what = format!(
            "{} is not less than the patience ({}): no peer would be asked earlier",
            group.hedge, group.patience
        );
        problem("hedge", what);
    }
    if group.origin.timeout.is_zero() {
        problem("origin.timeout", "0s would fail every load".into());
    }
    if group.origin.max_connection_age.is_zero() {
        problem("origin.maxConnectionAge", "0s would keep no connection: for that write `idle: 0s`".into());
    }
    if group.origin.max_loads == 0 {
        problem("origin.maxLoads", "0 would allow no load".into());
    }
    if let Some(size) = group.limits.slices {
        let (least, most) = (Limits::LEAST_SLICE, group.limits.object);
        if size < least {
            problem("limits.slices", format!("{size} is less than {least}: requests would cost more than bytes"));
        } else if size > most {
            problem("limits.slices", format!("{size} is more than limits.object ({most}): no slice could be stored"));
        }
    }
    if let Some((field, what)) = contradiction(group) {
        problem(field, what.into());
    }
    if let Some(name) = std::iter::once(&group.tags.header).chain(&fresh.targets).find(|name| !is_field_name(name)) {
        problem("tags.header, freshness.targets", format!("`{name}` is not the name of a header"));
    }
}

/// Returns a field that names what is removed first, and would never be seen. `by`: what removes it.
fn dropped_too(group: &GroupConfig, drop: &DroppedFields, by: &str) -> Option<(&'static str, String)> {
    if matches!(drop, DroppedFields::Named(names) if names.iter().any(|name| name == "accept-encoding"))
        && !group.request.accept_encoding.is_empty()
    {
        let what = format!("{by} accept-encoding before it could be reduced: take it out there");
        return Some(("request.acceptEncoding", what));
    }
    let is_read = |name: &str| name == "accept-encoding" && !group.request.accept_encoding.is_empty();
    let named = |names: &[String]| {
        let name = names.iter().find(|name| drop.contains(name.as_bytes()) && !is_read(name))?;
        Some(format!("{by} `{name}` before this could read it: leave it out here, or there"))
    };
    let cookies = |names: &[String]| {
        (!names.is_empty() && drop.contains(b"cookie"))
            .then(|| format!("{by} `cookie` before this could read it: leave it out here, or there"))
    };
    let all = [
        ("bypass.headers", named(&group.bypass.headers)),
        ("bypass.cookies", cookies(&group.bypass.cookies)),
        ("key.headers", named(&group.key.headers)),
        ("key.cookies", cookies(&group.key.cookies)),
    ];
    all.into_iter().find_map(|(field, what)| Some((field, what?)))
}

/// Returns warnings: groups that never match because an earlier one matches all their requests, statuses that are never
/// stored, paths that no group caches, and credentials in clear.
pub fn warnings(config: &Config) -> Vec<Problem> {
    let matches_all = |earlier: &Match, later: &Match| {
        let hosts = match (&earlier.service, &later.service) {
            (Some(a), Some(b)) => a == b,
            (None, None) => later.hosts.iter().all(|host| earlier.hosts.iter().any(|h| h == host || h.is_any())),
            (None, Some(_)) => earlier.hosts.iter().any(Host::is_any),
            _ => false,
        };
        let paths = earlier.paths.is_empty()
            || (!later.paths.is_empty() && later.paths.iter().all(|path| earlier.paths.contains(path)));
        hosts && paths && earlier.exclude.is_empty()
    };
    let shadowed = |n: usize, group: &GroupConfig| {
        config.groups.iter().take(n).find(|earlier| matches_all(&earlier.r#match, &group.r#match)).map(|earlier| {
            Problem {
                group: Some(n),
                field: "match".into(),
                what: format!(
                    "`{}` can never match: `{}` before it matches all its requests",
                    group.name, earlier.name
                ),
            }
        })
    };
    let provoked = |n: usize, group: &GroupConfig| {
        let status = group.freshness.status.keys().find_map(|status| match status {
            Status::Exactly(status) if is_provoked(*status) => Some(*status),
            _ => None,
        });
        let status = status.filter(|_| !group.freshness.errors.to_the_letter() && !group.request.drop.is_all())?;
        let what = format!(
            "{status} describes the request and not the resource: it is never stored but with `request: {{drop: [\"*\"]}}`"
        );
        Some(Problem { group: Some(n), field: "freshness.status".into(), what })
    };
    let ambiguous = |n: usize, group: &GroupConfig| {
        let of = &group.r#match;
        let fields = [("match.paths", &of.paths), ("match.exclude", &of.exclude)];
        let (field, path) = fields
            .into_iter()
            .flat_map(|(field, rules)| rules.iter().map(move |rule| (field, rule)))
            .find_map(|(field, rule)| match rule {
            PathRule::Prefix(path) | PathRule::Exact(path) if !is_unambiguous(path) => Some((field, path)),
            _ => None,
        })?;
        let what = format!("`{path}` can never match: two servers may read it differently, so that no group caches it");
        Some(Problem { group: Some(n), field: field.into(), what })
    };
    let in_clear = |n: usize, group: &GroupConfig| {
        let is_read = group.origin.gets_credentials() && group.origin.url.scheme() == "http";
        let what = "credentials go to it in clear, over `http://`: whoever is on the way can read them";
        is_read.then(|| Problem { group: Some(n), field: "origin.url".into(), what: what.into() })
    };
    let secret_in_clear = |n: usize, group: &GroupConfig| {
        let is_read = group.origin.auth.oauth2.as_ref().is_some_and(|oauth2| !oauth2.token_url.is_https());
        let what = "the client's proof and its tokens go in clear, over `http://`: whoever is on the way can read them";
        is_read.then(|| Problem { group: Some(n), field: "origin.auth.oauth2.tokenUrl".into(), what: what.into() })
    };
    let all = |n, group| {
        [shadowed(n, group), provoked(n, group), ambiguous(n, group), in_clear(n, group), secret_in_clear(n, group)]
    };
    config.groups.iter().enumerate().flat_map(|(n, group)| all(n, group)).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(groups: &str) -> Config {
        serde_json::from_str(&format!(r#"{{"version": 1, "groups": {groups}}}"#)).unwrap()
    }

    #[test]
    fn a_problem_is_named_with_its_field() {
        let good = r#""origin": {"url": "http://o"}"#;
        for (groups, expected) in [
            (
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, {good}}}, {{"name": "a", "match": {{"hosts": ["h"]}}, {good}}}]"#),
                "groups[1].name: two groups have the name `a`",
            ),
            (format!(r#"[{{"name": "a", "match": {{}}, {good}}}]"#), "groups[0].match: needs `service` or `hosts`"),
            (
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"], "paths": [{{"prefix": "x"}}]}}, {good}}}]"#),
                "groups[0].match.paths: `x` is not a path (it begins with / and has no query)",
            ),
            (
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, "hedge": "1s", {good}}}]"#),
                "groups[0].hedge: 1s is not less than the patience (1s): no peer would be asked earlier",
            ),
            (
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, "limits": {{"slices": "63KiB"}}, {good}}}]"#),
                "groups[0].limits.slices: 63KiB is less than 64KiB: requests would cost more than bytes",
            ),
            (
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, "limits": {{"slices": "9MiB"}}, {good}}}]"#),
                "groups[0].limits.slices: 9MiB is more than limits.object (8MiB): no slice could be stored",
            ),
            (
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, "freshness": {{"min": "8d"}}, {good}}}]"#),
                "groups[0].freshness.min: 8d is more than freshness.max (7d)",
            ),
            (
                r#"[{"name": "a", "match": {"hosts": ["h"]}, "origin": {"url": "http://o", "maxConnectionAge": "0s"}}]"#.into(),
                "groups[0].origin.maxConnectionAge: 0s would keep no connection: for that write `idle: 0s`",
            ),
        ] {
            assert_eq!(check(&config(&groups)).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn what_is_dropped_cannot_be_named_elsewhere() {
        let of = |more: &str| {
            let one =
                format!(r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, "origin": {{"url": "http://o"}}, {more}}}]"#);
            check(&config(&one)).map_err(|problem| problem.to_string())
        };
        for (more, line) in [
            (
                r#""request": {"drop": ["*"]}, "bypass": {"headers": ["X-A"]}"#,
                "groups[0].bypass.headers: request.drop removes `x-a` before this could read it: leave it out here, or there",
            ),
            (
                r#""request": {"drop": ["Cookie"]}, "bypass": {"cookies": ["a"]}"#,
                "groups[0].bypass.cookies: request.drop removes `cookie` before this could read it: leave it out here, or there",
            ),
            (
                r#""request": {"drop": ["x-a"]}, "key": {"headers": ["X-A"]}"#,
                "groups[0].key.headers: request.drop removes `x-a` before this could read it: leave it out here, or there",
            ),
            (
                r#""request": {"drop": ["*"]}, "key": {"cookies": ["a"]}"#,
                "groups[0].key.cookies: request.drop removes `cookie` before this could read it: leave it out here, or there",
            ),
            (
                r#""request": {"drop": ["accept-encoding"], "acceptEncoding": ["br"]}"#,
                "groups[0].request.acceptEncoding: request.drop removes accept-encoding before it could be reduced: take it out there",
            ),
        ] {
            assert_eq!(of(more), Err(line.to_owned()));
        }
        for more in [
            r#""request": {"drop": ["x-a"]}, "key": {"headers": ["x-b"], "cookies": ["a"]}"#,
            r#""request": {"drop": ["*"], "acceptEncoding": ["br"]}, "key": {"headers": ["accept-encoding"]}"#,
            r#""request": {"drop": ["*"]}, "share": {"identity": ["x-user"]}"#,
        ] {
            assert_eq!(of(more), Ok(()), "{more}");
        }
    }

    #[test]
    fn a_group_that_can_never_match_is_a_warning() {
        let all = config(
            r#"[{"name": "a", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}, {"name": "b", "match": {"hosts": ["h"], "paths": [{"exact": "/x"}]}, "origin": {"url": "http://o"}}]"#,
        );
        assert_eq!(warnings(&all).len(), 1);
        let apart = config(
            r#"[{"name": "a", "match": {"hosts": ["*"], "paths": [{"prefix": "/y"}]}, "origin": {"url": "http://o"}}, {"name": "b", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}}]"#,
        );
        assert!(warnings(&apart).is_empty());
    }

    #[test]
    fn a_path_that_no_group_caches_is_a_warning() {
        let of = |path: &str| {
            warnings(&config(&format!(
                r#"[{{"name": "a", "match": {{"hosts": ["h"], "exclude": [{{"prefix": "{path}"}}]}}, "origin": {{"url": "http://o"}}}}]"#
            )))
        };
        assert_eq!(of("/a;b").first().map(|problem| problem.field.as_str()), Some("match.exclude"));
        assert!(of("/a/").is_empty() && of("/%7ea").is_empty() && of("/").is_empty());
    }

    #[test]
    fn a_status_that_is_never_stored_is_a_warning() {
        let of = |errors: &str, status: &str| {
            warnings(&config(&format!(
                r#"[{{"name": "a", "match": {{"hosts": ["h"]}}, "freshness": {{"errors": "{errors}", "status": {{"{status}": "1s"}}}}, "origin": {{"url": "http://o"}}}}]"#
            )))
        };
        let anonymous = config(
            r#"[{"name": "a", "match": {"hosts": ["h"]}, "request": {"drop": ["*"]}, "freshness": {"status": {"412": "1s"}}, "origin": {"url": "http://o"}}]"#,
        );
        assert_eq!(of("status", "412").first().map(|problem| problem.field.as_str()), Some("freshness.status"));
        assert!(warnings(&anonymous).is_empty());
        assert!(of("status", "404").is_empty() && of("status", "4xx").is_empty() && of("rfc9111", "412").is_empty());
    }

    #[test]
    fn a_configuration_survives_the_feed() {
        let config = config(
            r#"[{"name": "a", "mode": false, "overload": 503, "match": {"service": "a.b", "paths": [{"regex": "/x.*"}]}, "freshness": {"status": {"404": "10s", "5xx": "1s"}, "force": false}, "origin": {"url": "https://o:8443", "maxLoads": 3}}]"#,
        );
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        assert!(serde_json::from_str::<Config>(r#"{"version": 1, "groups": [{"name": "a", "math": {}}]}"#).is_err());
    }
}
