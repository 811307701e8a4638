//! Which of a group's patterns a request matched, as people read it.

use super::{Host, Match, PathRule};
use crate::request::Request;

impl Match {
    /// Returns the pattern of the host and that of the path that a request matches: `hosts: *.example.com, paths: prefix
    /// /a`. A group without paths takes every one. `namespace`: where short names of services are resolved.
    pub fn matched(&self, request: &Request<'_>, namespace: Option<&str>) -> String {
        let (host, port) = request.host_port();
        let by_service = self.service.as_ref().filter(|service| service.has_name(&host, namespace));
        let by_host = || self.hosts.iter().find(|pattern| pattern.matches(&host, port, request.scheme));
        let host = match by_service {
            Some(service) => format!("service: {}", service.as_str()),
            None => format!("hosts: {}", by_host().map_or_else(String::new, Host::to_string)),
        };
        let path = request.normal_path();
        let excluded = self.exclude.iter().find(|rule| rule.matches(&path, request));
        let path = match (excluded, self.paths.iter().find(|rule| rule.matches(&path, request))) {
            (Some(rule), _) => format!("exclude: {}", rule.words()),
            (None, Some(rule)) => format!("paths: {}", rule.words()),
            (None, None) if self.paths.is_empty() => "every path".into(),
            (None, None) => "no path".into(),
        };
        format!("{host}, {path}")
    }
}

impl PathRule {
    fn words(&self) -> String {
        match self {
            Self::Prefix(path) => format!("prefix {path}"),
            Self::Exact(path) => format!("exact {path}"),
            Self::Regex(regex) => format!("regex {regex}"),
            Self::Target(rule) => format!("target {}", rule.regex()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(of: &str, host: &'static str, path: &'static str) -> String {
        let of: Match = serde_json::from_str(of).unwrap();
        of.matched(&Request::read(b"GET", b"http", host.as_bytes(), path.as_bytes(), &[]).unwrap(), None)
    }

    #[test]
    fn the_patterns_that_a_request_matches_are_told() {
        let hosts = r#"{"hosts": ["a.test", "*.b.test:80"], "paths": [{"prefix": "/x"}, {"regex": "/y.*"}], "exclude": [{"exact": "/x/z"}]}"#;
        for (host, path, words) in [
            ("a.test", "/x/y", "hosts: a.test, paths: prefix /x"),
            ("c.b.test", "/yes", "hosts: *.b.test:80, paths: regex /y.*"),
            ("a.test", "/x/z", "hosts: a.test, exclude: exact /x/z"),
            ("a.test", "/", "hosts: a.test, no path"),
        ] {
            assert_eq!(matched(hosts, host, path), words);
        }
        assert_eq!(matched(r#"{"service": "s.n"}"#, "s.n.svc:80", "/"), "service: s.n, every path");
    }
}
